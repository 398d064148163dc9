"""The recorder: outcomes in groups, and a thread that nothing ends but `stop`."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import event

from jobs.metrics import Place
from jobs.settings import DatabaseSettings
from jobs.store.database import open_database
from tests.processes import wait_until
from tests.protocol import PROBLEM, bad, claim, good, register, split, states, submit
from workers.presence import Presence
from workers.recorder import Recorder


@pytest.fixture
def impatient(sqlite_store_url):
    """A database that is away as soon as somebody else writes for 50 ms."""
    found = open_database(DatabaseSettings(database_url=sqlite_store_url, database_busy_timeout=0.05))
    yield found
    found.dispose()


class Told:
    """What a recorder told."""

    def __init__(self):
        self.settled = []
        self.assemblies = []
        self.recorded = 0
        self.pages = 0

    def on_recorded(self, recorded):
        self.recorded += 1
        self.pages += sum(outcome.state != "pending" for outcome in recorded.kept)


@contextmanager
def recorder(db, worker, patience=60.0, capacity=0, presence=None):
    told = Told()
    running = Recorder(
        db, lambda: worker, patience=patience, capacity=capacity, on_assemblies=told.assemblies.extend,
        on_recorded=told.on_recorded, presence=presence,
    )  # fmt: skip
    running.start()
    try:
        yield running, told
    finally:
        running.stop()


def claimed(db, pages=3):
    """A worker, a document, and its pages in that worker's hands."""
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages)
    return worker, document, claim(db, worker, document)


@contextmanager
def somebody_writes(db):
    """A write transaction of another process: SQLite lets no other in."""
    with db.write() as session:
        session.connection().exec_driver_sql("UPDATE job SET state = state")
        yield


def test_what_ends_during_a_commit_is_one_group(db):
    worker, document, pages = claimed(db, 30)
    commits = []
    event.listen(db.engine, "commit", commits.append)
    entered = threading.Event()
    with recorder(db, worker) as (running, told):
        # The first commit stands still inside `settled` until all others have been added.
        running.add(good(pages)[0], lambda: entered.wait(30))
        for outcome in good(pages)[1:]:
            running.add(outcome, lambda: told.settled.append(1))
        before = len(commits)
        entered.set()
        wait_until(lambda: len(told.settled) == 29, "all to be settled")
        assert len(commits) - before <= 2, "the one that was on its way, and the group"
        wait_until(lambda: told.assemblies, "the document to be claimed for assembling")
        assert [claim.document.id for claim in told.assemblies] == [document]
    assert states(db, document) == ["succeeded"] * 30


@pytest.fixture
def no_end_of_rest(monkeypatch):
    monkeypatch.setattr("workers.recorder.REST", 3600.0)


def half_full(capacity=64):
    """An engine that has as many pages as are needed for a rest."""
    presence = Presence()
    presence.move(None, Place.ENGINE, capacity // 2)
    return presence


def added(running, told, outcomes, as_what):
    for outcome in outcomes:
        running.add(outcome, lambda: told.settled.append(as_what))


def begun(running, told, outcomes):
    """The first one is recorded, for which nothing waits; the rest after it has begun. Returns the others."""
    added(running, told, outcomes[:1], "first")
    wait_until(lambda: told.recorded == 1, "the first, which waits for nothing")
    return outcomes[1:]


@pytest.mark.usefixtures("no_end_of_rest")
def test_soon_after_a_commit_others_are_waited_for_until_an_eighth_of_the_engine_waits(db):
    worker, document, pages = claimed(db, 9)
    commits = []
    event.listen(db.engine, "commit", commits.append)
    with recorder(db, worker, capacity=64, presence=half_full()) as (running, told):
        *seven, last = begun(running, told, good(pages))
        before = len(commits)
        added(running, told, seven, "gathered")
        time.sleep(0.2)
        assert told.settled == ["first"], "seven of the eight that it waits for"
        added(running, told, [last], "gathered")
        wait_until(lambda: len(told.settled) == 9, "the eight")
        assert len(commits) - before == 1
    assert states(db, document) == ["succeeded"] * 9


@pytest.mark.usefixtures("no_end_of_rest")
def test_a_whole_group_waits_for_no_more(db, monkeypatch):
    monkeypatch.setattr("workers.recorder.GROUP", 4)
    worker, _, pages = claimed(db, 5)
    with recorder(db, worker, capacity=6400, presence=half_full(6400)) as (running, told):
        added(running, told, begun(running, told, good(pages)), "gathered")
        wait_until(lambda: len(told.settled) == 5, "the four")


@pytest.mark.usefixtures("no_end_of_rest")
def test_nobody_is_waited_for_while_the_engine_runs_empty(db):
    worker, _, pages = claimed(db, 4)
    presence = half_full()
    with recorder(db, worker, capacity=64, presence=presence) as (running, told):
        *two, last = begun(running, told, good(pages))
        added(running, told, two, "gathered")
        presence.move(Place.ENGINE, Place.STORING)
        added(running, told, [last], "gathered")
        wait_until(lambda: len(told.settled) == 4, "all, without a rest")


@pytest.mark.usefixtures("no_end_of_rest")
def test_what_waits_for_others_is_recorded_at_the_end(db):
    worker, document, pages = claimed(db, 3)
    with recorder(db, worker, capacity=64, presence=half_full()) as (running, told):
        added(running, told, begun(running, told, good(pages)), "gathered")
    assert (states(db, document), len(told.settled)) == (["succeeded"] * 3, 3)


@pytest.mark.usefixtures("no_end_of_rest")
def test_an_engine_of_few_places_waits_for_none(db):
    worker, _, pages = claimed(db, 3)
    with recorder(db, worker, capacity=15, presence=half_full()) as (running, told):
        for outcome in good(pages):
            settled = threading.Event()
            running.add(outcome, settled.set)
            assert settled.wait(60)
    assert told.recorded == 3


def test_stop_records_what_was_added(db):
    worker, document, pages = claimed(db, 20)
    with recorder(db, worker) as (running, told):
        for outcome in good(pages):
            running.add(outcome, lambda: told.settled.append(1))
    assert (states(db, document), len(told.settled)) == (["succeeded"] * 20, 20)


def test_a_late_outcome_is_settled_and_changes_nothing(db):
    worker, document, pages = claimed(db)
    with recorder(db, worker) as (running, told):
        running.add(good(pages)[0], lambda: told.settled.append("first"))
        wait_until(lambda: told.settled, "the first to be recorded")
        running.add(bad(pages)[0], lambda: told.settled.append("late"))
    assert told.settled == ["first", "late"]
    assert states(db, document) == ["succeeded", "running", "running"]


def test_a_database_that_is_away_is_asked_again(impatient, caplog):
    worker, document, pages = claimed(impatient)
    with recorder(impatient, worker) as (running, told):
        with somebody_writes(impatient):
            running.add(good(pages)[0], lambda: told.settled.append(1))
            wait_until(lambda: "cannot record 1 pages" in caplog.text, "the database to be missed")
            assert told.settled == []
        wait_until(lambda: told.settled, "the page to be recorded")
    assert states(impatient, document)[0] == "succeeded"


def test_patience_ends_and_the_next_outcome_is_recorded(impatient):
    worker, document, pages = claimed(impatient)
    first, second, _ = good(pages)
    with recorder(impatient, worker, patience=0.0) as (running, told):
        with somebody_writes(impatient):
            running.add(first, lambda: told.settled.append("given up"))
            wait_until(lambda: told.settled, "the outcome to be given up")
        assert told.recorded == 0
        running.add(second, lambda: told.settled.append("recorded"))
        wait_until(lambda: len(told.settled) == 2, "the next one")
    assert states(impatient, document) == ["running", "succeeded", "running"]


def test_an_outcome_that_no_database_takes_is_alone_in_that(db):
    """Half a surrogate pair, as in a file name of another system: it can be written as no JSON."""
    worker, document, pages = claimed(db, 12)
    outcomes = bad(pages)
    outcomes[4] = replace(outcomes[4], error=PROBLEM | {"detail": "\ud800"})
    entered = threading.Event()
    with recorder(db, worker) as (running, told):
        running.add(outcomes[0], lambda: entered.wait(30))
        for outcome in outcomes[1:]:
            running.add(outcome, lambda: told.settled.append(1))
        entered.set()
        wait_until(lambda: len(told.settled) == 11, "all to be settled")
    assert states(db, document) == ["failed"] * 4 + ["running"] + ["failed"] * 7
