"""Rules 9 and 10: cancel and delete against everything that may happen at the same moment."""

from __future__ import annotations

from threading import Event, Semaphore

import pytest

from jobs import deletion, lifecycle
from jobs.blobs import manifest_key, page_key
from jobs.errors import Gone
from jobs.models import State
from jobs.store import claiming, closing, ending, leases, recording, submitting, workers
from jobs.store.closing import Finish
from jobs.store.submitting import Split
from tests.protocol import (
    Noticing,
    beside,
    change,
    claim,
    claim_refs,
    claim_splits,
    finish,
    good,
    job_of,
    one,
    page_refs,
    read,
    record,
    register,
    rows,
    split,
    states,
    submit,
)
from workers.deliver import WAITING, Purger


@pytest.fixture
def worker(db):
    return register(db)


def document_state(db, document):
    return one(db, "SELECT state FROM document WHERE id = :d", d=document)


# --- rule 9: cancel against a split's insert


@pytest.mark.parametrize("how", ["in pieces", "at once"])
def test_a_split_that_waits_for_a_cancel_inserts_nothing(db, worker, how):
    job, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])

    with db.write() as session:
        ending.cancel_job(session, job)
        with beside(db, lambda: insert(db, worker, claimed, how)) as other:
            other.waits()
            session.commit()
            assert not other.result()

    assert states(db, document) == []
    assert document_state(db, document) == "canceled"


@pytest.mark.parametrize("how", ["in pieces", "at once"])
def test_a_cancel_that_waits_for_a_split_cancels_its_pages_too(db, worker, how):
    job, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])

    with db.write() as session:
        if how == "in pieces":
            assert submitting.insert_pages(session, document, worker, claimed.attempt, [1, 2])
        else:
            assert submitting.insert_and_seal(session, worker, [Split(document, claimed.attempt, 2, [1, 2])])
        with beside(db, lambda: lifecycle.cancel(db, job)) as other:
            other.waits()
            session.commit()
            assert other.result().pages.canceled == 2

    assert states(db, document) == ["canceled", "canceled"]
    assert not insert(db, worker, claimed, how)


def insert(db, worker, claimed, how):
    with db.write() as session:
        if how == "in pieces":
            return submitting.insert_pages(session, claimed.document.id, worker, claimed.attempt, [1, 2])
        return submitting.insert_and_seal(session, worker, [Split(claimed.document.id, claimed.attempt, 2, [1, 2])])


def test_a_seal_after_a_cancel_does_nothing(db, worker):
    job, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    lifecycle.cancel(db, job)
    with db.write() as session:
        assert not submitting.seal(session, document, worker, claimed.attempt, 5)
    assert one(db, "SELECT source_pages FROM document") is None


# --- rule 9: cancel against claim, record, finish, retry


def test_a_claim_that_waits_for_a_cancel_gets_nothing(db, worker):
    job, [document] = submit(db)
    split(db, worker, [document])
    refs = page_refs(db, document)
    with db.write() as session:
        ending.cancel_job(session, job)
        with beside(db, lambda: claim_refs(db, worker, refs)) as other:
            other.waits()
            session.commit()
            assert other.result() == []


def test_a_cancel_that_waits_for_a_claim_cancels_what_was_claimed(db, worker):
    job, [document] = submit(db)
    split(db, worker, [document], pages=2)
    refs = page_refs(db, document, [1])
    with db.write() as session:
        claimed = claiming.claim_pages(session, worker, refs)
        with beside(db, lambda: lifecycle.cancel(db, job)) as other:
            other.waits()
            session.commit()
            assert other.result().pages.canceled == 2
    with db.read() as session:
        assert workers.canceled_among(session, [document]) == {document}
    assert record(db, good(claimed)).counted == 0


def test_a_first_claim_that_waits_for_a_cancel_starts_nothing(db, worker):
    job, [document] = submit(db)
    with db.write() as session:
        ending.cancel_job(session, job)
        with beside(db, lambda: claim_splits(db, worker, [document])) as other:
            other.waits()
            session.commit()
            assert other.result() == []
    assert job_of(db, job).started_at is None


def test_a_result_that_waits_for_a_cancel_is_dropped(db, worker):
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    pages = claim(db, worker, document)
    with db.write() as session:
        ending.cancel_job(session, job)
        with beside(db, lambda: record(db, good(pages), assemble_as=worker)) as other:
            other.waits()
            session.commit()
            recorded = other.result()
    assert (recorded.counted, recorded.assemblies) == (0, [])
    assert states(db, document) == ["canceled"]


def test_a_cancel_that_waits_for_a_result_keeps_it(db, worker):
    job, [document] = submit(db)
    split(db, worker, [document], pages=2)
    pages = claim(db, worker, document)
    with db.write() as session:
        recording.record(session, good(pages[:1]))
        with beside(db, lambda: lifecycle.cancel(db, job)) as other:
            other.waits()
            session.commit()
            public = other.result()
    assert (public.state, public.pages.succeeded, public.pages.canceled) == (State.CANCELED, 1, 1)
    assert states(db, document) == ["succeeded", "canceled"]


def test_a_cancel_that_waits_for_the_end_of_a_document_leaves_it_ended(db, worker):
    """It saw the document running, then waited for its row: what was succeeded meanwhile must not become canceled."""
    job, documents = submit(db, 2)
    split(db, worker, documents[:1], pages=1)
    [claimed] = read(db, worker, documents[0])
    with db.write() as session:
        closing.finish_documents(session, [Finish(claimed, State.SUCCEEDED, True)])
        with beside(db, lambda: lifecycle.cancel(db, job)) as other:
            other.waits()
            session.commit()
            public = other.result()
    assert [document_state(db, d) for d in documents] == ["succeeded", "canceled"]
    assert (public.state, public.documents.succeeded, public.documents.canceled) == (State.CANCELED, 1, 1)


def test_an_end_that_waits_for_a_cancel_is_dropped(db, worker):
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    claims = read(db, worker, document)
    with db.write() as session:
        ending.cancel_job(session, job)
        with beside(db, lambda: finish(db, claims)) as other:
            other.waits()
            session.commit()
            assert other.result() == []
    assert document_state(db, document) == "canceled"


def test_a_cancel_and_a_close_at_once_end_the_job_once(db, worker, blobs):
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    finish(db, read(db, worker, document))
    with db.write() as session:
        end = closing.lock_ended(session, job)
        with beside(db, lambda: lifecycle.cancel(db, job)) as other:
            other.waits()
            closing.close_job(session, end)
            session.commit()
            assert other.result().state is State.SUCCEEDED


def test_a_retry_that_waits_for_a_cancel_reopens_nothing(db, worker, blobs):
    job, documents = submit(db, 2)
    finish(db, claim_splits(db, worker, documents[:1]), State.FAILED)
    with db.write() as session:
        ending.cancel_job(session, job)
        with beside(db, lambda: lifecycle.retry(db, blobs, job)) as other:
            other.waits()
            session.commit()
            assert other.result().state is State.CANCELED
    assert document_state(db, documents[0]) == "failed"


# --- rule 10: delete


def keys(blobs):
    return [stat.key for stat in blobs.list("")]


def test_what_a_worker_still_writes_after_a_delete_is_purged_again(db, worker, blobs):
    job, [document] = submit(db)
    blobs.put(f"uploads/{document}", b"source")
    split(db, worker, [document], pages=2)
    [page, _] = claim(db, worker, document)
    deletion.delete(db, blobs, job)
    assert keys(blobs) == []
    with db.read() as session:
        assert ending.jobs_to_purge(session) == [job]
        assert ending.is_held(session, job)

    blobs.put(page_key(job, document, 1, page.attempt), b"late")
    assert not deletion.purge(db, blobs, job)
    blobs.put(page_key(job, document, 1, page.attempt), b"later still")
    for late in (page, _):
        record(db, good([late]))

    assert deletion.purge(db, blobs, job)
    assert keys(blobs) == []
    assert rows(db, "SELECT 1 FROM document") == []
    with db.read() as session:
        assert ending.jobs_to_purge(session) == []


def test_a_splitter_or_assembler_holds_its_job_too(db, worker, blobs):
    job, documents = submit(db, 2)
    [splitting] = claim_splits(db, worker, documents[:1])
    split(db, worker, documents[1:], pages=1)
    [assembling] = read(db, worker, documents[1])
    deletion.delete(db, blobs, job)

    for held in (splitting, assembling):
        assert not deletion.purge(db, blobs, job)
        with db.write() as session:
            claiming.let_go(session, held)
    assert deletion.purge(db, blobs, job)


class Stuck(Noticing):
    """A store that answers no delete until it is let go."""

    def __init__(self, directory):
        super().__init__(directory)
        self.asked = Semaphore(0)
        self.answers = Event()
        self.before = self._hang

    def _hang(self, verb, key):
        self.asked.release()
        self.answers.wait(60)


@pytest.fixture
def stuck(tmp_path):
    return Stuck(tmp_path / "objects")


def deleted_job(db):
    job, _ = submit(db)
    with db.write() as session:
        ending.mark_deleted(session, job)
    return job


def test_purges_of_a_store_that_hangs_take_one_thread_and_none_of_those_who_ring(db, stuck):
    purger = Purger(db, stuck)
    jobs = [deleted_job(db) for _ in range(4)]
    assert [purger.run(job) for job in jobs] == [True] * 4
    assert [purger.run(job) for job in jobs] == [False] * 4, "rung again: once is enough"
    assert stuck.asked.acquire(timeout=60)
    assert not stuck.asked.acquire(timeout=0.2), "one at a time"
    assert [purger.run(f"job_{n}") for n in range(WAITING)].count(True) == WAITING - 3, "and not for ever more"
    stuck.answers.set()
    assert purger.wait(60)
    with db.read() as session:
        assert ending.jobs_to_purge(session) == []


def test_a_job_is_purged_by_one_worker_at_a_time(db, stuck, tmp_path):
    """Rescue rings until it is purged, and every worker that heard it listed and deleted the same objects."""
    job = deleted_job(db)
    first, second = Purger(db, stuck), Purger(db, Noticing(tmp_path / "objects"))
    assert first.run(job)
    assert stuck.asked.acquire(timeout=60)
    with db.read() as session:
        assert ending.jobs_to_purge(session) == [], "not rung while somebody is at it"
    assert second.run(job), "heard all the same"
    assert second.wait(60)
    assert one(db, "SELECT purged_at IS NULL FROM job")
    assert one(db, "SELECT count(*) FROM document") == 1
    change(db, "UPDATE lease SET expires_at = '2000-01-01'")  # it died
    with db.read() as session:
        assert ending.jobs_to_purge(session) == [job]
    assert second.run(job)
    assert second.wait(60)
    assert one(db, "SELECT purged_at IS NOT NULL FROM job")
    stuck.answers.set()
    assert first.wait(60)
    assert rows(db, "SELECT 1 FROM lease") == []


def test_a_purge_that_was_silent_for_too_long_is_left_to_who_took_it_over(db, stuck):
    job = deleted_job(db)
    purger = Purger(db, stuck, lease=0.0)
    purger.run(job)
    assert stuck.asked.acquire(timeout=60)
    with db.write() as session:
        assert leases.take_lease(session, ending.purge_lease(job), "another", 60)
    stuck.answers.set()
    assert purger.wait(60)
    assert one(db, "SELECT count(*) FROM document") == 1
    assert one(db, "SELECT holder FROM lease") == "another"


def test_a_worker_that_ends_begins_no_purge(db, stuck, monkeypatch):
    monkeypatch.setattr("workers.deliver.CLOSING", 0.1)
    purger = Purger(db, stuck)
    first, second = deleted_job(db), deleted_job(db)
    purger.run(first)
    purger.run(second)
    assert stuck.asked.acquire(timeout=60)
    purger.close()
    assert rows(db, "SELECT 1 FROM lease") == [], "what is left is not waited for"
    assert not purger.run(second)
    stuck.answers.set()
    assert purger.wait(60)
    with db.read() as session:
        assert ending.jobs_to_purge(session) == [second]


@pytest.mark.parametrize("state", ["dead", "stopped"])
def test_the_dead_hold_nothing(db, worker, blobs, state):
    job, [document] = submit(db)
    split(db, worker, [document])
    claim(db, worker, document)
    deletion.delete(db, blobs, job)
    change(db, "UPDATE worker SET state = :s", s=state)
    assert deletion.purge(db, blobs, job)


def test_a_close_that_waits_for_a_delete_writes_no_manifest(db, worker, blobs):
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    finish(db, read(db, worker, document))
    with db.write() as session:
        ending.mark_deleted(session, job)
        with beside(db, lambda: lifecycle.close(db, blobs, job)) as other:
            other.waits()
            session.commit()
            assert other.result() is False
    assert blobs.stat(manifest_key(job)) is None


def test_a_delete_that_waits_for_a_close_purges_its_manifest(db, worker, blobs):
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    finish(db, read(db, worker, document))
    with db.write() as session:
        end = closing.lock_ended(session, job)
        with beside(db, lambda: deletion.delete(db, blobs, job)) as other:
            other.waits()
            blobs.put(manifest_key(job), b"{}")
            closing.close_job(session, end)
            session.commit()
            other.result()
    assert keys(blobs) == []
    with pytest.raises(Gone):
        job_of(db, job)


def test_a_retry_that_waits_for_a_delete_reopens_nothing(db, worker, blobs):
    job, [document] = submit(db)
    finish(db, claim_splits(db, worker, [document]), State.FAILED)
    lifecycle.close(db, blobs, job)
    with db.write() as session:
        ending.mark_deleted(session, job)
        with beside(db, lambda: lifecycle.retry(db, blobs, job)) as other:
            other.waits()
            session.commit()
            with pytest.raises(Gone):
                other.result()
    assert one(db, "SELECT state FROM job") == "failed"


def test_a_purge_that_waits_for_rescue_drops_everything(db, worker, blobs):
    """Rescue frees a document of the deleted job while its rows are to be dropped: ordered, so no deadlock."""
    job, documents = submit(db, 3)
    claim_splits(db, worker, documents)
    deletion.delete(db, blobs, job)
    change(db, "UPDATE worker SET state = 'dead'")
    from jobs.store import rescue

    with db.write() as session:
        assert rescue.take_back_documents(session, 3) == 3
        with beside(db, lambda: deletion.purge(db, blobs, job)) as other:
            other.waits()
            session.commit()
            assert other.result() is True
