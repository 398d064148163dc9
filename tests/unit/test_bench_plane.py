"""What B3 says of its figures."""

from statistics import mean

import pytest

from tests.bench.plane import COUNTS, NOBODY, count_table, verdicts
from tests.bench.plane.backlog import OWNERS, job_size
from tests.bench.plane.growth import between, growth
from tests.bench.plane.pace import FAST, SLOW, pace_table, pace_verdicts
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
        "- 2 ms a page of 100-page documents as fast as they go: rows 1.50 to 2.50, missed in 1 of 2 by up to 0.50;"
        " the worst round 2.75.",
        "- 6 ms a page of documents of one page as fast as they go: rows 5.00 to 6.00, met in all 2;"
        " the worst round 6.00.",
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


def test_a_goal_is_judged_at_the_rates_of_engines_too_and_idle_is_told_apart():
    """At 800 pages/s it was met, at the 50 of a GPU a page cost 9 ms, of which no line spoke."""
    fast = [Cost(40.0, {"worker": 3.0}, {"flushes": 0.5, "lpush": 0.25}), Cost(50.0, {"worker": 2.5}, {})]
    slow = [Cost(4.0, {"worker": 12.0}, {}), Cost(5.0, {"worker": 10.0}, {})]
    idle = [40.0, 50.0]  # 1 ms of a page at 40 or 50 pages/s, 10 ms at 4 or 5
    assert pace_verdicts({FAST: fast, SLOW: slow}, idle, 2.0) == [
        "2 ms a page of 100-page documents at 50 pages/s: 2.75, missed by 0.75; of it idle: 1.00,"
        " without that 1.75, met.",
        "2 ms a page of 100-page documents at 5 pages/s: 11.00, missed by 9.00; of it idle: 10.00,"
        " without that 1.00, met.",
    ]
    parts = dict.fromkeys(("api", "broker", "database"), 0.0)
    told = pace_table({FAST: [Cost(40.0, parts | {"worker": 3.0}, {"flushes": 0.5, "lpush": 0.25})]}, [40.0])
    assert told.splitlines()[-1] == (
        "| 50, 96 at once | 40.0 | 0.00 | 0.00 | 0.00 | 3.00 | 3.00 | 1.00 | 2.00 | 0.50 | 0.25 |"
    )


@pytest.mark.parametrize("pace", [FAST, SLOW])
def test_pages_of_a_pace_take_its_time_in_the_mean_and_end_apart(pace):
    echo = pace.load.options.echo
    assert echo is not None
    assert sorted(echo.seconds, key=int) == [str(number) for number in range(1, 101)]
    assert mean(echo.seconds.values()) == pytest.approx(pace.load.seconds)
    assert len(set(echo.seconds.values())) == 100
    assert LARGE.options.echo is None


def test_what_must_not_grow_is_judged_figure_by_figure():
    few, many = State(100, NOBODY), State(1_000_000, NOBODY)
    costs = {
        (few, LARGE): [cost(1.5, wal=1600, bytes=300), cost(1.7, wal=1650, bytes=340)],
        (many, LARGE): [cost(1.6, wal=2400, bytes=350), cost(1.9, wal=2500, bytes=400)],
    }
    told = growth([few, many], [LARGE], costs, {few: [33.0, 42.0], many: [70.0, 80.0]}, COUNTS)
    ends = "| 100 to 1,000,000, another engine |"
    assert (
        f"| CPU ms a page, 100-page documents {ends} 1.60 (1.50 to 1.70) | 1.75 (1.60 to 1.90)"
        " | 1.09 (1.07 to 1.12) | no growth that these rounds show: met |" in told
    )
    assert (
        f"| bytes written ahead a page, 100-page documents {ends} 1,625 (1,600 to 1,650) | 2,450 (2,400 to 2,500)"
        " | 1.51 (1.50 to 1.52) | grew: missed |" in told
    )
    assert f"| CPU ms a second while nothing can be read {ends} 38 (33 to 42) | 75 (70 to 80)" in told
    assert told.endswith(
        "Of the other 1 figures that were counted in every round grew: bytes to and from Redis,"
        " 100-page documents, 100 to 1,000,000, another engine, 1.17 times."
    )


def test_one_round_judges_no_growth():
    few, many = State(100, NOBODY), State(10_000, NOBODY)
    costs = {(few, LARGE): [cost(1.0, wal=10)], (many, LARGE): [cost(2.0, wal=20)]}
    assert growth([few, many], [LARGE], costs, {}, COUNTS).count("one round: not judged") == 2


def test_growth_is_between_states_of_one_engine():
    states = [State(100, NOBODY), State(10_000, NOBODY), State(10_000, "echo"), State(1_000_000, NOBODY)]
    assert between(states) == [(states[0], states[3]), (states[1], states[3])], "one dear row hides nothing"
    assert between([*states, MANY]) == [(states[0], states[3]), (states[1], states[3]), (states[2], MANY)]


def test_growth_that_not_every_round_shows_is_not_called_none():
    few, many = State(10_000, NOBODY), State(1_000_000, NOBODY)
    costs = {(few, LARGE): [cost(2.0), cost(1.0), cost(1.0)], (many, LARGE): [cost(1.5), cost(1.5), cost(1.5)]}
    told = growth([few, many], [LARGE], costs, {}, COUNTS)
    assert "| 1.50 (0.75 to 1.50) | more, but not in every round: not shown |" in told


def test_all_owners_wait_as_soon_as_there_are_documents_enough():
    """One owner's backlog shows nothing of what choosing among many costs."""
    documents = 10_000 // 100
    assert documents // job_size(documents) == OWNERS
    assert (job_size(1), job_size(1_000_000 // 100)) == (1, 10)
