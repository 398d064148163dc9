"""Worker rows and leases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.ids import new_worker_id
from jobs.models import WorkerState
from jobs.store import leases, reading, rescue, workers
from jobs.store.workers import Registration
from tests.protocol import (
    age_heartbeat,
    back,
    change,
    claim,
    claim_splits,
    good,
    one,
    record,
    register,
    rows,
    split,
    states,
    submit,
)

ROOT = Path(__file__).resolve().parents[2]


def workers_by_id(db):
    with db.read() as session:
        return {worker.id: worker for worker in reading.list_workers(session)}


def test_a_worker_is_shown_with_what_it_holds(db):
    worker = register(db, "cpu-0", capacity=4)
    _, [document] = submit(db)
    split(db, worker, [document])
    claim(db, worker, document, [1, 2])
    shown = workers_by_id(db)[worker]
    assert (shown.host, shown.slot, shown.engine, shown.capacity) == ("host", "cpu-0", "echo", 4)
    assert (shown.state, shown.pages_running, shown.detail) == (WorkerState.ALIVE, 2, None)
    assert (shown.documents, shown.documents_total) == ((document,), 1)


def test_a_worker_is_shown_with_the_documents_that_keep_it_busy(db):
    """Those with most pages first; one that it only opens is among them. No more than some are named."""
    worker, other = register(db, "cpu-0"), register(db, "cpu-1")
    _, documents = submit(db, documents=10)
    split(db, worker, documents[:2], pages=3)
    claim(db, worker, documents[0], [1])
    claim(db, worker, documents[1], [1, 2, 3])
    claim_splits(db, worker, documents[2:])
    shown = workers_by_id(db)
    assert shown[worker].documents[:2] == (documents[1], documents[0])
    assert len(shown[worker].documents) == reading.SHOWN_DOCUMENTS
    assert (shown[worker].documents_total, shown[worker].pages_running) == (10, 4)
    assert (shown[other].documents, shown[other].documents_total) == ((), 0)
    with db.read() as session:
        alone = reading.get_worker(session, worker)
        assert (alone.documents_total, alone.pages_running) == (10, 4)
        assert [row.id for row in reading.list_workers(session, limit=1)] == [worker]
        assert [row.id for row in reading.list_workers(session, after=worker)] == [other]


def test_silence_is_told_by_the_clock_of_the_database(db):
    worker = register(db)
    assert workers_by_id(db)[worker].silent_seconds < 60
    age_heartbeat(db, worker)
    assert workers_by_id(db)[worker].silent_seconds > 60


def test_a_new_incarnation_ends_its_predecessor_in_the_slot_and_nobody_else(db):
    first, neighbour = register(db, "cpu-0"), register(db, "cpu-1")
    second = register(db, "cpu-0")
    assert {w.id: w.state for w in workers_by_id(db).values()} == {
        first: WorkerState.DEAD, neighbour: WorkerState.ALIVE, second: WorkerState.ALIVE
    }  # fmt: skip


def test_a_heartbeat_updates_the_row_of_the_living(db):
    worker = register(db)
    age_heartbeat(db, worker)
    before = workers_by_id(db)[worker].heartbeat_at
    with db.write() as session:
        assert workers.heartbeat(session, worker)
        assert not workers.heartbeat(session, "wrk_nobody")
    assert workers_by_id(db)[worker].heartbeat_at > before


@pytest.mark.parametrize(("state", "beats"), [("alive", True), ("draining", True), ("stopped", False), ("dead", False)])
def test_who_has_ended_has_no_heartbeat(db, state, beats):
    worker = register(db)
    change(db, "UPDATE worker SET state = :s", s=state)
    with db.write() as session:
        assert workers.heartbeat(session, worker) is beats


def test_a_worker_tells_its_own_state_until_it_is_declared_dead(db):
    worker = register(db)
    for state, seen in (("draining", "draining"), ("stopped", "stopped"), ("draining", "stopped")):
        with db.write() as session:
            workers.set_state(session, worker, state, "why")
        assert one(db, "SELECT state FROM worker") == seen
    assert workers_by_id(db)[worker].detail == "why"


def test_workers_move_as_docs_states_draws_them(db):
    """Everything that changes a worker's state, tried from every state."""
    section = (ROOT / "docs" / "states.md").read_text().split("\n## Workers\n")[1].split("\n## ")[0]
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", section, re.MULTILINE))
    steps = [
        workers.heartbeat,
        lambda session, worker: workers.set_state(session, worker, "draining"),
        lambda session, worker: workers.set_state(session, worker, "stopped"),
        lambda session, worker: workers.declare_dead(session, -1.0),
        lambda session, worker: workers.register(session, Registration(new_worker_id(), "host", worker, 1, "echo", 1)),
    ]
    moved = set()
    for before in WorkerState:
        for step in steps:
            worker = register(db)
            change(db, "UPDATE worker SET state = :s WHERE id = :w", s=before.value, w=worker)
            with db.write() as session:
                step(session, worker)
            moved.add((before.value, one(db, "SELECT state FROM worker WHERE id = :w", w=worker)))
    assert {(a, b) for a, b in moved if a != b} == drawn


def test_only_silent_workers_are_declared_dead_each_once(db):
    silent, lively, ended = register(db), register(db), register(db)
    with db.write() as session:
        workers.set_state(session, ended, "stopped")
    age_heartbeat(db, silent)
    age_heartbeat(db, ended)
    with db.write() as session:
        assert workers.declare_dead(session, 30.0) == [silent]
        assert workers.declare_dead(session, 30.0) == []
    assert one(db, "SELECT state FROM worker WHERE id = :w", w=lively) == "alive"
    assert one(db, "SELECT state FROM worker WHERE id = :w", w=ended) == "stopped"


def test_canceled_documents_are_told_among_those_in_hand(db):
    _, [a, b] = submit(db, 2)
    _, [c] = submit(db)
    change(db, "UPDATE document SET state = 'canceled', sealed = :yes, finished_at = created_at WHERE id IN (:a, :c)",
           yes=True, a=a, c=c)  # fmt: skip
    with db.read() as session:
        assert workers.canceled_among(session, [a, b]) == {a}
        assert workers.canceled_among(session, []) == set()


def test_capacity_is_that_of_the_living_by_engine(db):
    register(db, capacity=8)
    register(db, capacity=64)
    register(db, engine="other", capacity=3)
    register(db, engine="", capacity=0)
    drained = register(db, capacity=100)
    with db.write() as session:
        workers.set_state(session, drained, "draining")
    with db.read() as session:
        assert workers.capacities(session) == {"echo": workers.Capacity(72, 64), "other": workers.Capacity(3, 3)}


def test_rows_of_the_dead_are_forgotten_when_old_and_empty_handed(db):
    alive, young, old, holder, splitter = (register(db) for _ in range(5))
    _, [document, other] = submit(db, 2)
    split(db, alive, [document])
    claim(db, holder, document, [1])
    claim_splits(db, splitter, [other])
    change(db, "UPDATE worker SET state = 'dead' WHERE id <> :a", a=alive)
    for worker in (alive, old, holder, splitter):
        age_heartbeat(db, worker)

    with db.write() as session:
        workers.forget(session, 300.0)

    assert {r[0] for r in rows(db, "SELECT id FROM worker")} == {alive, young, holder, splitter}


def take_back_pages(db, max_crashes=3):
    with db.write() as session:
        return rescue.take_back_pages(session, max_crashes)


def test_pages_of_the_living_are_left_alone(db):
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document])
    claim(db, worker, document)
    with db.write() as session:
        workers.set_state(session, worker, "draining")
    assert take_back_pages(db) == 0
    assert states(db, document) == ["running"] * 3


@pytest.mark.parametrize(("end", "crashes"), [("dead", 1), ("stopped", 0)])
def test_pages_of_those_that_ended_become_free_and_only_a_death_counts(db, end, crashes):
    worker, other = register(db), register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=4)
    record(db, good(claim(db, worker, document, [1])))
    claim(db, worker, document, [2])
    claim(db, other, document, [3])
    change(db, "UPDATE worker SET state = :s WHERE id = :w", s=end, w=worker)

    assert take_back_pages(db) == 1

    assert states(db, document) == ["succeeded", "pending", "running", "pending"]
    assert [r[0] for r in rows(db, "SELECT crashes FROM page ORDER BY number")] == [0, crashes, 0, 0]
    assert take_back_pages(db) == 0


def test_errors_and_handing_back_count_no_crash(db):
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=1)
    record(db, back(claim(db, worker, document), errors=1))
    assert one(db, "SELECT crashes FROM page") == 0


# --- leases


def take(db, holder, seconds=60.0):
    with db.write() as session:
        return leases.take_lease(session, "tick", holder, seconds)


def test_a_lease_is_held_by_one_until_it_runs_out_or_is_given_back(db):
    assert take(db, "a")
    assert not take(db, "b")
    assert take(db, "a", seconds=-1.0)
    assert take(db, "b")
    assert not take(db, "a")
    with db.write() as session:
        leases.give_lease_back(session, "tick", "a")
    assert not take(db, "a")
    with db.write() as session:
        leases.give_lease_back(session, "tick", "b")
    assert take(db, "a")


def test_leases_have_names(db):
    assert take(db, "a")
    with db.write() as session:
        assert leases.take_lease(session, "other", "b", 60.0)


def test_the_leases_of_a_predecessor_in_the_slot_are_free(db):
    killed, other = register(db, "cpu-0"), register(db, "cpu-1")
    assert take(db, killed)
    register(db, "cpu-2")
    assert not take(db, other)
    successor = register(db, "cpu-0")
    assert take(db, successor)
    register(db, "cpu-1")
    assert not take(db, "anybody"), "only those of the predecessor"
