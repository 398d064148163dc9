"""Whose pages run next: nobody waits behind somebody else's backlog. Counted in pages, on both databases."""

from __future__ import annotations

import shutil
import threading
from collections import Counter, deque

import pytest

from jobs import dispatch, lifecycle
from jobs.dispatch import SPLIT_WINDOW, WINDOW
from jobs.fairness import BATCH_SHARE
from jobs.options import JobOptions
from jobs.settings import DatabaseSettings
from jobs.store import pausing, ringing, submitting
from jobs.store.database import open_database
from tests.protocol import (
    back,
    beside,
    change,
    claim,
    claim_refs,
    claim_splits,
    good,
    record,
    register,
    rows,
    split,
    submit,
)

CAPACITY = 8
URGENT = JobOptions(priority="interactive")


class Mill:
    """One worker that always holds as many pages as it can, and what waits for it, first in first out."""

    def __init__(self, db):
        self.db = db
        self.worker = register(db, capacity=CAPACITY)
        self.messages = deque()
        self.held = deque()
        self.claimed = []

    def job(self, pages, documents=1, **values):
        _, ids = submit(self.db, documents, **values)
        split(self.db, self.worker, ids, pages)
        return ids

    def dispatch(self):
        choice = dispatch.choose(self.db)
        self.messages += choice.pages.get("echo", [])
        return choice

    def fill(self):
        """Until the worker is full and the window too."""
        while sum(map(len, self.held)) < CAPACITY:
            self.dispatch()
            self.claim()
        self.dispatch()

    def claim(self):
        pages = claim_refs(self.db, self.worker, self.messages.popleft())
        self.held.append(pages)
        self.claimed += [page.document.id for page in pages]

    def step(self):
        """The pages held longest are done, the next ones are claimed, the window is filled again."""
        record(self.db, good(self.held.popleft()))
        self.claim()
        self.dispatch()

    def rung(self):
        return Counter(ref.document for message in self.messages for ref in message)


@pytest.fixture
def mill(db):
    return Mill(db)


@pytest.mark.parametrize("options", [None, URGENT], ids=["batch", "interactive"])
@pytest.mark.parametrize("backlog", [100, 5000])
def test_three_pages_behind_a_backlog_wait_for_the_window_and_for_nothing_else(mill, backlog, options):
    """The window is what lay in Redis when they came: as many pages for 5,000 as for 100."""
    mill.job(backlog)
    mill.fill()
    [small] = mill.job(3, options=options)
    before = len(mill.claimed)
    while Counter(mill.claimed)[small] < 3:
        mill.step()
    waited_for = Counter(mill.claimed[before:])
    del waited_for[small]
    assert waited_for.total() <= WINDOW * CAPACITY + 1  # one shares the last message


def test_a_small_job_behind_many_large_ones_is_rung_with_the_next_message(mill):
    for _ in range(6):
        mill.job(300)
    mill.fill()
    [small] = mill.job(2)
    mill.step()
    assert mill.rung()[small] == 2


def test_jobs_that_wait_get_equal_parts_of_the_window(mill):
    jobs = [mill.job(100)[0] for _ in range(4)]
    mill.dispatch()
    assert mill.rung() == dict.fromkeys(jobs, WINDOW * CAPACITY // 4)


def test_an_owner_with_many_jobs_weighs_as_much_as_one_with_a_single_job(mill):
    many = [mill.job(100, owner="many")[0] for _ in range(30)]
    [single] = mill.job(100, owner="single")
    mill.dispatch()
    assert mill.rung()[single] == WINDOW * CAPACITY // 2
    assert set(mill.rung()) == {single, *many[: WINDOW * CAPACITY // 2]}


def test_batch_is_never_starved_by_interactive_work(mill):
    """However much of it keeps coming: of the pages claimed, batch has its share."""
    [slow] = mill.job(200)
    mill.fill()
    mill.job(500, options=URGENT)
    for _ in range(WINDOW * CAPACITY):
        mill.step()
    before = len(mill.claimed)
    for _ in range(100):
        mill.step()
    counts = Counter(mill.claimed[before:])
    share = counts[slow] / counts.total()
    assert 1 / BATCH_SHARE <= share < 2 / BATCH_SHARE


def test_jobs_that_back_off_are_in_nobodys_way(mill):
    """More of them than there are slots, all older."""
    waiting = [document for _ in range(2 * WINDOW * CAPACITY) for document in mill.job(1)]
    for document in waiting:
        record(mill.db, back(claim(mill.db, mill.worker, document), delay=3600.0))
    [ready] = mill.job(5)
    mill.dispatch()
    assert mill.rung() == {ready: 5}


def test_what_lies_in_redis_is_bounded_however_many_jobs_and_owners_wait(mill):
    for number in range(40):
        mill.job(3, options=URGENT if number % 3 else None, owner=f"key{number % 7}")
    for _ in range(3):
        mill.dispatch()
    assert mill.rung().total() == WINDOW * CAPACITY


def test_the_last_pages_of_all_jobs_are_rung_too(mill):
    """Many small ones: what one leaves of its part goes to the next until the window is full or nothing is left."""
    for pages in (1, 2, 3, 5):
        mill.job(pages)
    mill.dispatch()
    assert mill.rung().total() == 11


def test_engines_take_turns_apart(mill):
    """What waits for another engine does not count."""
    mill.job(50, owner="key", engine="other")
    change(mill.db, "UPDATE page SET rung_at = ready_at")
    [other] = mill.job(20, owner="key2")
    [one] = mill.job(20, owner="key")
    mill.dispatch()
    assert mill.rung() == {one: CAPACITY, other: CAPACITY}


# --- splits


def test_one_document_is_split_before_the_rest_of_a_thousand(db):
    submit(db, 3 * SPLIT_WINDOW)
    with db.write() as session:
        assert len(ringing.stamp_splits(session, SPLIT_WINDOW - 8)) == SPLIT_WINDOW - 8
    _, [small] = submit(db)
    with db.write() as session:
        assert small in {ref.document for ref in ringing.stamp_splits(session, 8)}


def test_a_document_that_is_interactive_is_rung_first_though_it_is_younger(db):
    submit(db, 20)
    _, [urgent] = submit(db, options=URGENT)
    with db.write() as session:
        found = [ref.document for ref in ringing.stamp_splits(session, 8)]
    assert found[0] == urgent
    assert len(found) == 8


# --- priorities


def test_a_job_that_becomes_interactive_is_rung_first_and_back(mill):
    [first] = mill.job(100, options=URGENT)
    job, [document] = submit(mill.db, 1)
    split(mill.db, mill.worker, [document], 30)
    mill.dispatch()
    assert mill.rung() == {first: 14, document: 2}
    assert lifecycle.prioritize(mill.db, job, "interactive").priority == "interactive"
    while mill.messages:
        mill.claim()
    mill.dispatch()
    assert mill.rung() == {first: 2, document: 14}
    assert lifecycle.prioritize(mill.db, job, "batch").priority == "batch"
    while mill.messages:
        mill.claim()
    mill.dispatch()
    assert mill.rung() == {first: 16}


def test_a_job_that_becomes_interactive_before_its_split_is_split_first(db):
    jobs = [submit(db)[0] for _ in range(3)]
    lifecycle.prioritize(db, jobs[2], "interactive")
    with db.write() as session:
        stamped = [ref.document for ref in ringing.stamp_splits(session, 3)]
    [[first]] = rows(db, "SELECT job_id FROM document WHERE id = :id", id=stamped[0])
    assert first == jobs[2]


def test_a_priority_that_waits_for_a_split_covers_what_it_inserted(db):
    """Pages have no class of their own; and the change waits for who holds the document."""
    worker = register(db)
    job, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    with db.write() as session:
        assert submitting.insert_pages(session, document, worker, claimed.attempt, [1, 2])
        with beside(db, lambda: lifecycle.prioritize(db, job, "interactive")) as change:
            change.waits()
            session.commit()
            assert change.result().priority == "interactive"
    with db.write() as session:
        assert [rung.priority for rung in ringing.stamp_pages(session, "echo", 9)] == [0, 0]


# --- pauses


def pause(db, owner):
    with db.write() as session:
        return pausing.pause(session, owner)


def resume(db, owner):
    with db.write() as session:
        return pausing.resume(session, owner)


def test_nothing_of_a_paused_owner_is_rung_until_it_is_resumed(mill):
    [paused] = mill.job(10, owner="inbox")
    [other] = mill.job(3, owner="key")
    _, [unsplit] = submit(mill.db, owner="inbox")
    assert pause(mill.db, "inbox")
    assert not pause(mill.db, "inbox")
    with mill.db.read() as session:
        assert [owner for owner, _ in pausing.paused(session)] == ["inbox"]

    assert mill.dispatch().splits == []
    assert mill.rung() == {other: 3}

    assert resume(mill.db, "inbox")
    assert not resume(mill.db, "inbox")
    assert [ref.document for ref in mill.dispatch().splits] == [unsplit]
    assert mill.rung() == {other: 3, paused: 10}


def test_what_a_paused_owner_has_in_flight_ends_as_usual(mill):
    [document] = mill.job(30, owner="inbox")
    mill.fill()
    pause(mill.db, "inbox")
    in_flight = mill.rung().total()
    while mill.messages:
        mill.step()
    assert Counter(mill.claimed) == {document: CAPACITY + in_flight}


# --- two at once


def test_two_dispatchers_at_once_ring_nothing_twice_and_no_more_than_the_window(mill):
    jobs = [mill.job(200)[0] for _ in range(4)]
    choices = []
    begin = threading.Barrier(2)

    def round_after_round():
        begin.wait(30)
        for _ in range(5):
            choice = dispatch.choose(mill.db)
            if choice is not None:
                choices.append(choice)

    threads = [threading.Thread(target=round_after_round) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rung = [ref for choice in choices for message in choice.pages.get("echo", []) for ref in message]
    assert len(rung) == len(set(rung)) == WINDOW * CAPACITY
    assert Counter(ref.document for ref in rung) == dict.fromkeys(jobs, WINDOW * CAPACITY // 4)


# --- what it costs


def steps(db, act):
    """SQLite's own count of the instructions that `act` took, in hundreds."""
    count = 0

    def tick():
        nonlocal count
        count += 1

    with db.write() as session:
        raw = session.connection().connection.driver_connection
        raw.set_progress_handler(tick, 100)
        try:
            act(session)
        finally:
            raw.set_progress_handler(None, 0)
    return count


def round_steps(url, queue):
    """Of the third round over jobs of so many pages, nothing claimed in between."""
    db = open_database(DatabaseSettings(database_url=url))
    mill = Mill(db)
    for pages in queue:
        mill.job(pages)
    for _ in range(3):
        taken = steps(db, lambda session: ringing.stamp_pages(session, "echo", WINDOW * CAPACITY))
    db.dispose()
    return taken


def test_a_round_costs_the_same_whatever_the_backlog(migrated_sqlite, tmp_path):
    """A hundred times as many pages of each job, or ten times as many jobs."""
    taken = []
    for number, queue in enumerate(([60] * 20, [6000] * 20, [60] * 200)):
        shutil.copy(migrated_sqlite, tmp_path / f"{number}.db")
        taken.append(round_steps(f"sqlite:///{tmp_path / f'{number}.db'}", queue))
    few, long, many = taken
    assert 0 < long <= 1.2 * few + 1
    assert 0 < many <= 3 * few  # more jobs have nothing in flight: they are looked at instead of skipped
