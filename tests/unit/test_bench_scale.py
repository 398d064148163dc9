"""What the scale benchmark reads out of its journal and of PostgreSQL's log."""

import pytest

from jobs.store import claiming
from tests.bench.scale.journal import Journal, entries
from tests.bench.scale.questions import shown
from tests.bench.scale.statements import StatementLog, name_of
from tests.bench.scale.telling import told
from tests.bench.scale.tenths import edges, nearest, spread, taken

STAMP = "2026-11-30 02:52:55.123 UTC [4711] "


def sample(at, done, **more):
    return {"kind": "sample", "t": at, "done": done, "statements": {}, **more}


def test_tenths_are_found_between_samples():
    found = edges([sample(0.0, 0), sample(10.0, 50), sample(30.0, 100)], "done", 100, 0.0)
    assert found == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 14.0, 18.0, 22.0, 26.0, 30.0]


def test_what_came_before_the_load_counts_from_its_beginning():
    """A first sample, a document to warm up, and then the load that begins at 20."""
    found = edges([sample(0.0, 0), sample(15.0, 1), sample(30.0, 1001)], "done", 1001, 20.0)
    assert len(found) == 11
    assert found[0] == 20.0
    assert found[1] == pytest.approx(21.0, abs=0.05)
    assert found[-1] == pytest.approx(30.0)


def test_of_a_run_that_was_cut_short_there_are_fewer_tenths():
    assert edges([sample(0.0, 0), sample(10.0, 25)], "done", 100, 0.0) == [0.0, 4.0, 8.0]


def test_spread_is_the_median_and_the_99th_of_a_hundred():
    calls = [{"name": "status", "ms": float(ms)} for ms in range(1, 101)] + [{"name": "list", "ms": 1000.0}]
    assert spread(calls, "status") == (50.5, 100.0)
    assert spread(calls, "nothing") is None


def test_the_nearest_sample():
    assert nearest([sample(0.0, 0), sample(5.0, 1), sample(9.0, 2)], 6.0)["done"] == 1


def test_statements_are_added_up_over_samples():
    samples = [sample(1.0, 0) | {"statements": {"a": [2, 3.0]}}, sample(2.0, 0) | {"statements": {"a": [1, 1.5]}}]
    assert taken(samples) == {"a": (3, 4.5)}


def test_a_statement_is_called_by_where_it_stands():
    # As PostgreSQL logs what SQLAlchemy and psycopg sent: numbers for the names of parameters.
    logged = claiming._LOCK_CLAIMABLE._postgresql.text.replace(":refs", "$1")
    assert name_of(logged) == "claiming._LOCK_CLAIMABLE"
    assert name_of("SELECT  1\n\tFROM nowhere") == "SELECT 1 FROM nowhere"


def test_the_log_is_read_on_from_where_it_stopped(tmp_path):
    path = tmp_path / "log"
    path.write_text(f"{STAMP}LOG:  duration: 99.0 ms  statement: SELECT 'before'\n")
    log = StatementLog(path)
    with path.open("a") as file:
        file.write(f"{STAMP}LOG:  duration: 1.5 ms  execute _pg3_7: SELECT 1\n\tFROM somewhere\n")
        file.write(f"{STAMP}LOG:  duration: 0.1 ms  bind _pg3_7: SELECT 1\n\tFROM somewhere\n")
        file.write(f'{STAMP}LOG:  automatic vacuum of table "bench.public.page": index scans: 1\n\tpages: 0 removed\n')
        file.write(f"{STAMP}LOG:  duration: 2.5 ms  execute <unnamed>: SELECT 1\n\tFROM some")
        file.flush()
        assert log.read() == {"SELECT 1 FROM somewhere": (1, 1.5)}, "the last record may go on"
        file.write(f"where\n{STAMP}LOG:  checkpoint complete\n")
    assert log.read() == {"SELECT 1 FROM somewhere": (1, 2.5)}
    assert dict(log.vacuums) == {"page": 1}


def test_a_journal_that_was_cut_short_still_tells(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin("many", workers=2)
    journal.note("loaded", what="begin")
    for at, done in ((5.0, 0), (10.0, 1000), (15.0, 2500)):
        journal.note(
            "sample", t=at, documents=101, split=101, pages=10_001, done=done, finished=0, sizes={"page": 8192},
            dead={"page": 5}, wal=1000 * done, database=500 * done, redis=2**20, memory={"API": 80.0}, statements={},
            vacuums={}, cpu=1.0, sync=1.5, connections=9,
        )  # fmt: skip
    with journal.path.open("a") as file:
        file.write('{"kind": "sample", "part": "ma')
    assert [entry["kind"] for entry in entries(journal.path, "many")] == ["begin", "loaded", *["sample"] * 3]
    section = told(journal.path)
    assert "| API | 80 | 80 | 80 | 80 | 80 |" in section.text
    assert "| 1 | 40 |" in section.text, "250 pages in 6.25 s"
    assert set(section.plots) == {"scale-many.svg"}
    assert section.text.startswith("One run of each load.")
    assert "in samples, 5 s apart" in section.text


def test_what_has_not_grown_is_a_line():
    found = [{"fold": 1.0, "claim": 2.0, "status": 0.1}, {"fold": 10.0, "claim": 2.2, "status": 0.3}]
    text = shown(found, [1000, 10_000], grown=True)
    assert "| fold | 1.00 | 10.00 | 10.0 |" in text
    assert "claim" not in text
    assert "The other 2: last ÷ first 2.0 (1.1 to 3.0)." in text, "0.3 ms are nothing, whatever they were"
    assert "| claim | 2.00 | 2.20 | 1.1 |" in shown(found, [1000, 10_000], grown=False)
