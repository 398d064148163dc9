"""Rule 1: one lock order everywhere; on SQLite the transaction is the lock. The database's clock is the only clock."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from jobs import dispatch, lifecycle
from jobs.errors import DatabaseUnavailable
from jobs.models import State
from jobs.settings import DatabaseSettings
from jobs.store import claiming, closing, ending, recording, rescue, ringing, submitting, workers
from jobs.store.closing import Finish
from jobs.store.database import open_database
from jobs.store.submitting import Split
from tests.protocol import (
    PROBLEM,
    beside,
    change,
    claim,
    claim_splits,
    document_refs,
    good,
    page_refs,
    record,
    register,
    split,
    submit,
    waiting,
)


def touch(session, document):
    session.connection().execute(text("UPDATE document SET pending = 0 WHERE id = :d"), {"d": document})


def take(session, document):
    """Lock it at once or fail: whoever holds it while it waits for a lower one would deadlock with us."""
    session.connection().execute(text("SELECT 1 FROM document WHERE id = :d FOR UPDATE NOWAIT"), {"d": document})


class Scene:
    """Two documents of one job, and every step that locks both, given in the wrong order."""

    def __init__(self, db):
        self.db = db
        self.worker = register(db, "slot")
        self.job, self.documents = submit(db, 2)
        self.low, self.high = self.documents

    def recording_outcomes(self):
        split(self.db, self.worker, self.documents, pages=1)
        pages = [page for document in (self.high, self.low) for page in claim(self.db, self.worker, document)]
        return lambda session: recording.record(session, good(pages), assemble_as=self.worker)

    def claiming_pages(self):
        split(self.db, self.worker, self.documents, pages=1)
        refs = page_refs(self.db, self.high) + page_refs(self.db, self.low)
        return lambda session: claiming.claim_pages(session, self.worker, refs)

    def claiming_splits(self):
        refs = document_refs(self.db, [self.high, self.low])
        return lambda session: claiming.claim_splits(session, self.worker, refs)

    def claiming_assemblies(self):
        self._read_all()
        refs = document_refs(self.db, [self.high, self.low])
        return lambda session: claiming.claim_assemblies(session, self.worker, refs)

    def splitting(self):
        claims = claim_splits(self.db, self.worker, self.documents)
        found = [Split(c.document.id, c.attempt, 1, [1]) for c in reversed(claims)]
        return lambda session: submitting.insert_and_seal(session, self.worker, found)

    def finishing(self):
        claims = claim_splits(self.db, self.worker, self.documents)
        ends = [Finish(c, State.FAILED, False, PROBLEM) for c in reversed(claims)]
        return lambda session: closing.finish_documents(session, ends)

    def handing_back(self):
        split(self.db, self.worker, self.documents, pages=1)
        pages = [page for document in (self.high, self.low) for page in claim(self.db, self.worker, document)]
        holds = [(page.document.id, page.number, page.attempt) for page in pages]
        return lambda session: workers.release_held(session, self.worker, holds)

    def taking_back_pages(self):
        split(self.db, self.worker, self.documents, pages=1)
        for document in (self.high, self.low):
            claim(self.db, self.worker, document)
        self._die()
        return lambda session: rescue.take_back_pages(session, 3)

    def taking_back_documents(self):
        claim_splits(self.db, self.worker, self.documents)
        self._die()
        return lambda session: rescue.take_back_documents(session, 3)

    def canceling(self):
        split(self.db, self.worker, self.documents, pages=1)
        return lambda session: ending.cancel_job(session, self.job)

    def retrying(self):
        claims = claim_splits(self.db, self.worker, self.documents)
        with self.db.write() as session:
            closing.finish_documents(session, [Finish(c, State.FAILED, False, PROBLEM) for c in claims])
        return lambda session: ending.lock_retriable(session, self.job)

    def dropping(self):
        with self.db.write() as session:
            ending.mark_deleted(session, self.job)
        return lambda session: ending.drop_rows(session, self.job)

    def _read_all(self):
        split(self.db, self.worker, self.documents, pages=1)
        for document in self.documents:
            record(self.db, good(claim(self.db, self.worker, document)))

    def _die(self):
        change(self.db, "UPDATE worker SET state = 'dead'")


STEPS = sorted(name for name in vars(Scene) if not name.startswith("_"))


@pytest.mark.parametrize("step", STEPS)
def test_documents_are_locked_in_ascending_order(pg, step):
    """Somebody holds the lower document and comes for the higher one: the step must not hold that one already."""
    scene = Scene(pg)
    run = getattr(scene, step)()

    def in_a_transaction():
        with pg.write() as session:
            return run(session)

    with pg.write() as session:
        take(session, scene.low)
        with beside(pg, in_a_transaction) as other:
            other.waits()
            take(session, scene.high)
            session.commit()
            assert other.result() is not False


def test_unordered_updates_do_deadlock(pg):
    """What the order is for, and that the test above would see it."""
    scene = Scene(pg)

    def the_other_way_round():
        with pg.write() as session:
            for document in (scene.high, scene.low):
                touch(session, document)

    def crossing():
        with pg.write() as session:
            touch(session, scene.low)
            with beside(pg, the_other_way_round) as other:
                other.waits()
                try:
                    touch(session, scene.high)
                finally:
                    session.rollback()
                other.result()

    with pytest.raises(DatabaseUnavailable, match="deadlock"):
        crossing()


DISPATCHING = {
    "stamping pages": lambda session: ringing.stamp_pages(session, "echo", 9),
    "stamping splits": lambda session: ringing.stamp_splits(session, 9),
    "stamping assemblies": lambda session: ringing.stamp_assemblies(session, 9),
    "clearing pages": lambda session: ringing.clear_page_stamps(session, -1.0),
    "clearing documents": lambda session: ringing.clear_document_stamps(session, -1.0),
}


@pytest.fixture
def mixed(pg):
    """A page to be rung, a document to be split, one to be assembled, and the same once more, rung already."""
    worker = register(pg)
    _, documents = submit(pg, 6)
    split(pg, worker, documents[:4], pages=1)
    for document in documents[2:4]:
        record(pg, good(claim(pg, worker, document)))
    stamp = "UPDATE {} SET rung_at = now() - interval '1 hour' WHERE {} IN (:a, :b, :c)"
    for table, column in (("page", "document_id"), ("document", "id")):
        state = " AND state = 'pending'" if table == "page" else ""
        change(pg, stamp.format(table, column) + state, a=documents[1], b=documents[3], c=documents[5])
    change(pg, "UPDATE document SET rung_at = NULL WHERE id = :d", d=documents[1])
    return documents


@pytest.mark.parametrize("step", DISPATCHING)
def test_dispatch_waits_for_nobody(pg, mixed, step):
    """It stamps pages of all jobs at once, so it keeps no order with anybody: what is locked is left for next time."""
    with pg.write() as holder:
        for lock in ("SELECT 1 FROM document FOR UPDATE", "SELECT 1 FROM page FOR UPDATE"):
            holder.connection().execute(text(lock))
        with pg.write() as session:
            session.connection().execute(text("SET LOCAL lock_timeout = '2s'"))
            assert not DISPATCHING[step](session)
    with pg.write() as session:
        assert DISPATCHING[step](session)


def test_taking_rings_back_waits_for_nobody(pg, mixed):
    documents, pages = document_refs(pg, mixed), page_refs(pg, mixed[1])
    with pg.write() as holder:
        for lock in ("SELECT 1 FROM document FOR UPDATE", "SELECT 1 FROM page FOR UPDATE"):
            holder.connection().execute(text(lock))
        with pg.write() as session:
            session.connection().execute(text("SET LOCAL lock_timeout = '2s'"))
            ringing.unring_pages(session, pages)
            ringing.unring_documents(session, documents)


def test_a_cancel_and_the_dispatcher_cross_without_a_deadlock(pg):
    """The dispatcher has stamped pages and comes for documents; the cancel has locked documents and comes for pages."""
    worker = register(pg)
    job, documents = submit(pg, 2)
    split(pg, worker, documents[:1], pages=3)

    with pg.write() as session:
        assert len(ringing.stamp_pages(session, "echo", 9)) == 3
        with beside(pg, lambda: lifecycle.cancel(pg, job)) as other:
            other.waits()
            assert ringing.stamp_splits(session, 9) == []
            session.commit()
            assert other.result().state is State.CANCELED
    assert waiting(pg) == 0


def test_a_page_claimed_while_it_is_chosen_is_not_stamped(pg):
    worker = register(pg)
    _, [document] = submit(pg)
    split(pg, worker, [document], pages=2)
    refs = page_refs(pg, document, [1])

    with pg.write() as session:
        assert len(claiming.claim_pages(session, worker, refs)) == 1
        with beside(pg, lambda: dispatch.choose(pg)) as other:
            choice = other.result()
    assert choice.pages == {"echo": [page_refs(pg, document, [2])]}


# --- SQLite


def test_on_sqlite_a_writer_waits_for_the_writer_before_it(sqlite_store_url):
    db = open_database(DatabaseSettings(database_url=sqlite_store_url))
    job, _ = submit(db)
    with db.write() as session:
        ending.cancel_job(session, job)
        with beside(db, lambda: register(db)) as other:
            other.waits()
            session.commit()
            assert other.result().startswith("wrk_")
    db.dispose()


def test_on_sqlite_a_writer_that_reads_first_still_waits(sqlite_store_url):
    """A deferred transaction would read, then fail at its first write because another one wrote meanwhile."""
    db = open_database(DatabaseSettings(database_url=sqlite_store_url))
    impatient = open_database(DatabaseSettings(database_url=sqlite_store_url, database_busy_timeout=0.05))
    with db.write() as session:
        assert session.connection().execute(text("SELECT count(*) FROM job")).scalar() == 0
        with pytest.raises(DatabaseUnavailable, match="locked"), impatient.write() as second:
            second.connection()
        session.connection().execute(text("DELETE FROM lease"))
    with impatient.write() as second:
        second.connection()
    for found in (db, impatient):
        found.dispose()


def test_readers_wait_for_no_writer(db):
    job, _ = submit(db)
    with db.write() as session:
        ending.cancel_job(session, job)
        with db.read() as reader:
            assert closing.has_unfinished(reader, job)


# --- the clock


def test_times_are_the_databases_whatever_this_machine_says(db, monkeypatch):
    """A worker whose clock is a day ahead neither looks silent nor makes others look so."""
    import time

    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)
    ahead = register(db)
    with db.write() as session:
        assert workers.heartbeat(session, ahead)
        assert workers.declare_dead(session, 30.0) == []
