"""What B3 says of its figures."""

from tests.bench.plane import COUNTS, NOBODY, count_table, verdicts
from tests.bench.plane.stand import Cost, Load, State

FEW, MANY = State(100, NOBODY), State(1_000_000, "echo")
LARGE, SMALL = Load(30, 100), Load(600, 1)


def cost(cpu: float, **counts: float) -> Cost:
    """In two parts."""
    return Cost(100.0, {"api": cpu / 2, "worker": cpu / 2}, counts)


def test_a_goal_is_missed_by_the_rows_over_it():
    costs = {
        (FEW, LARGE): [cost(1.0), cost(1.5), cost(2.25)],  # one round is over it, the median is not
        (MANY, LARGE): [cost(2.5), cost(2.0), cost(2.75)],
        (FEW, SMALL): [cost(5.0)],
        (MANY, SMALL): [cost(6.0)],
    }
    assert verdicts([FEW, MANY], [LARGE, SMALL], costs).splitlines() == [
        "- 2 ms a page of 100-page documents: rows 1.50 to 2.50, missed in 1 of 2 by up to 0.50; the worst round 2.75.",
        "- 6 ms a page of documents of one page: rows 5.00 to 6.00, met in all 2; the worst round 6.00.",
    ]


def test_counts_have_a_column_for_each_state_that_was_measured():
    costs = {
        (FEW, LARGE): [cost(1, wal=1000), cost(1, wal=3000), cost(1, wal=2000)],
        (FEW, SMALL): [cost(1, wal=7000)],
        (MANY, LARGE): [cost(1, wal=4000)],
        (MANY, SMALL): [cost(1, wal=9000, brpop=0.25)],
    }
    counted = {key: {"statements": 3.0, "transactions": 0.5} for key in costs}
    lines = count_table([FEW, MANY], [LARGE, SMALL], costs, counted).splitlines()
    assert lines[0] == "|  | 100, another engine | 1,000,000, the same engine |"
    assert "| SQL statements | 3.0 / 3.0 | 3.0 / 3.0 |" in lines
    assert "| bytes written ahead | 2,000 / 7,000 | 4,000 / 9,000 |" in lines
    assert "| waits for messages | 0 / 0 | 0 / 0.25 |" in lines
    assert len(lines) - 2 == len(COUNTS) <= 12
