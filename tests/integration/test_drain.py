"""A worker that somebody wants to end, as the database and its heartbeat see it."""

from __future__ import annotations

import pytest

from jobs import dispatch, lifecycle
from jobs.errors import NotFound
from jobs.ids import new_worker_id
from jobs.store import workers
from jobs.store.workers import Registration
from tests.protocol import change, claim, rows, split, submit
from workers.hands import Hands
from workers.incarnation import Incarnation


class Process:
    """An incarnation, and how often it was told to end."""

    def __init__(self, db, slot="slot"):
        self.drains = 0
        self.incarnation = Incarnation(
            db, Registration(new_worker_id(), "host", slot, 1, "echo", 8), Hands(), every=3600.0,
            on_canceled=lambda _: None, on_taken=lambda _: None, on_replaced=lambda: None, on_drain=self._drain,
        )  # fmt: skip
        self.incarnation.register()

    def _drain(self):
        self.drains += 1

    @property
    def id(self):
        return self.incarnation.id


@pytest.fixture
def process(db):
    return Process(db)


@pytest.fixture
def document(db, process):
    _, [document] = submit(db)
    split(db, process.id, [document], pages=3)
    return document


def test_a_drain_is_heard_with_the_heartbeat_and_until_then_changes_no_claim(db, process, document):
    """A worker that merely could not claim any more would swallow messages; so it claims until it stops consuming."""
    process.incarnation.beat()
    assert process.drains == 0
    row = lifecycle.drain(db, process.id)
    assert (row.state, row.drain_requested) == ("alive", True)
    assert len(claim(db, process.id, document, [1])) == 1
    process.incarnation.beat()
    process.incarnation.beat()
    assert process.drains == 2


def test_nothing_is_rung_for_a_worker_that_is_to_end(db, process, document):
    with db.read() as session:
        assert workers.capacities(session)["echo"].total == 8
    lifecycle.drain(db, process.id)
    other = Process(db, "other")
    with db.read() as session:
        assert workers.capacities(session)["echo"].total == 8
    lifecycle.drain(db, other.id)
    assert len(dispatch.choose(db)) == 0


def test_who_has_ended_is_not_drained_and_nobody_else_is_there(db, process):
    process.incarnation.set_state("stopped")
    assert not lifecycle.drain(db, process.id).drain_requested
    with pytest.raises(NotFound):
        lifecycle.drain(db, new_worker_id())


def test_a_drain_that_nobody_heard_survives_that_its_worker_was_declared_dead(db, process):
    """Frozen when it was asked: the incarnation that wakes up is to end as well, and the one after it."""
    old = process.id
    lifecycle.drain(db, old)
    change(db, "UPDATE worker SET state = 'dead'")
    process.incarnation.beat()
    change(db, "DELETE FROM worker WHERE id <> :old", old=old)
    process.incarnation.beat()
    assert process.id != old
    assert rows(db, "SELECT id FROM worker WHERE state = 'alive' AND drain_requested") == [(process.id,)]
    process.incarnation.beat()
    assert process.drains == 1
