"""Deadlines of jobs and documents: what has not ended by then fails, what has succeeded stays."""

from __future__ import annotations

import pytest

from jobs import deletion, dispatch, lifecycle
from jobs.blobs import manifest_key, page_key
from jobs.ids import new_job_id, new_worker_id
from jobs.lifecycle import Terms
from jobs.models import State
from jobs.options import JobOptions
from jobs.store import ending, reading, submitting
from jobs.store.workers import Registration
from tests.ledger import assert_exact
from tests.protocol import (
    back,
    bad,
    beside,
    change,
    claim,
    claim_assemblies,
    claim_refs,
    claim_splits,
    finish,
    good,
    job_of,
    new_document,
    page_refs,
    record,
    register,
    rows,
    split,
    states,
    submit,
)
from workers.hands import Hands
from workers.incarnation import Incarnation

AT_LENGTH = JobOptions(deadline_seconds=3600)


@pytest.fixture
def worker(db):
    return register(db)


def let_pass(db, job):
    """The deadline of what is open of a job."""
    change(db, "UPDATE document SET deadline_at = created_at WHERE job_id = :job AND deadline_at IS NOT NULL", job=job)


def end_late(db, timeout=None):
    return dispatch.end_late(db, timeout)


def errors(db, document):
    with db.read() as session:
        found = reading.list_pages(session, document, limit=100)
    return {page.number: page.error.code for page in found if page.error is not None}


def test_a_job_has_the_deadline_that_it_asked_for_or_the_servers(db):
    def seconds(options, timeout):
        job, new = new_job_id(), new_document()
        lifecycle.submit(
            db, job_id=job, options=options, engine="echo", documents=[new], vault=None, terms=Terms(deadline=timeout)
        )
        with db.read() as session:
            row = session.get_one(submitting.Document, new.id)
            return row.deadline_at and round((row.deadline_at - row.created_at).total_seconds())

    assert seconds(JobOptions(), None) is None
    assert seconds(JobOptions(), 100.0) == 100
    assert seconds(AT_LENGTH, None) == 3600
    assert seconds(JobOptions(deadline_seconds=50), 100.0) == 50


def test_before_its_deadline_nothing_happens(db, worker):
    _, [document] = submit(db, options=AT_LENGTH)
    split(db, worker, [document])
    assert end_late(db, 60.0) == 0
    assert states(db, document) == ["pending"] * 3


def test_pages_that_wait_and_run_fail_and_those_that_succeeded_stay(db, blobs, worker):
    job, [document] = submit(db, options=AT_LENGTH)
    split(db, worker, [document], 4)
    done, held = claim(db, worker, document, [1, 2])
    record(db, good([done]))
    let_pass(db, job)

    assert end_late(db) == 1

    assert states(db, document) == ["succeeded", "failed", "failed", "failed"]
    assert errors(db, document) == dict.fromkeys((2, 3, 4), "deadline_exceeded")
    assert_exact(db)
    assert record(db, good([held])).assemblies == []  # too late
    assert states(db, document)[1] == "failed"
    [assembly] = claim_assemblies(db, worker, [document])
    finish(db, [assembly], State.PARTIAL)
    assert lifecycle.close(db, blobs, job)
    assert job_of(db, job).state is State.PARTIAL
    assert end_late(db) == 0


def test_a_document_that_was_never_split_fails_as_a_whole(db, blobs, worker):
    job, documents = submit(db, 3, options=AT_LENGTH)
    [claimed] = claim_splits(db, worker, documents[:1])
    let_pass(db, job)

    assert end_late(db) == 3

    found = rows(db, "SELECT state, sealed, worker FROM document WHERE job_id = :job", job=job)
    assert [tuple(row) for row in found] == [("failed", True, None)] * 3
    with db.write() as session:
        assert not submitting.insert_pages(session, documents[0], worker, claimed.attempt, [1])
    assert lifecycle.close(db, blobs, job)
    with db.read() as session:
        error = reading.get_document(session, job, documents[1]).error
    assert (error.code, error.status) == ("deadline_exceeded", 422)
    assert_exact(db)


def test_what_only_waits_to_be_put_together_is_let_be(db, worker):
    job, [document] = submit(db, options=AT_LENGTH)
    split(db, worker, [document])
    record(db, good(claim(db, worker, document)))
    let_pass(db, job)
    assert end_late(db) == 0
    assert len(claim_assemblies(db, worker, [document])) == 1


def test_a_document_that_runs_for_too_long_is_ended_and_one_that_waits_is_not(db, worker):
    _, [begun, waits] = submit(db, 2)
    split(db, worker, [begun])
    change(db, "UPDATE document SET started_at = :then WHERE id = :id", then="2020-01-01 00:00:00.000", id=begun)
    change(db, "UPDATE document SET created_at = :then WHERE id = :id", then="2020-01-01 00:00:00.000", id=waits)
    assert end_late(db, 3600.0) == 1
    assert errors(db, begun) == dict.fromkeys((1, 2, 3), "deadline_exceeded")
    assert rows(db, "SELECT state FROM document WHERE id = :id", id=waits)[0][0] == "queued"
    assert end_late(db) == 0  # where nothing limits it


def test_a_retry_has_no_deadline_and_begins_anew(db, blobs, worker):
    job, [document] = submit(db, options=AT_LENGTH)
    split(db, worker, [document])
    let_pass(db, job)
    end_late(db)
    finish(db, claim_assemblies(db, worker, [document]), State.FAILED)
    lifecycle.close(db, blobs, job)
    change(db, "UPDATE document SET started_at = :then WHERE id = :id", then="2020-01-01 00:00:00.000", id=document)

    assert lifecycle.retry(db, blobs, job, code="deadline_exceeded").state is State.RUNNING

    assert blobs.stat(manifest_key(job)) is None
    assert states(db, document) == ["pending"] * 3
    assert end_late(db, 3600.0) == 0


def test_a_claim_that_waits_for_the_end_claims_nothing(db, worker):
    job, [document] = submit(db, options=AT_LENGTH)
    split(db, worker, [document])
    let_pass(db, job)
    refs = page_refs(db, document)
    with db.write() as session:
        assert dispatch.deadlines.end_late(session, None) == 1
        with beside(db, lambda: claim_refs(db, worker, refs)) as other:
            other.waits()
            session.commit()
            assert other.result() == []
    assert_exact(db)


def incarnation(db, hands, taken):
    """A registered worker without a thread, that notes in `taken` what it hears."""
    process = Incarnation(
        db, Registration(new_worker_id(), "host", "slot", 1, "echo", 8), hands, every=3600.0,
        on_canceled=taken.append, on_taken=taken.append, on_replaced=lambda: None, on_drain=lambda: None,
    )  # fmt: skip
    process.register()
    return process


def test_a_heartbeat_says_which_pages_are_no_longer_ours(db):
    hands, taken = Hands(), []
    process = incarnation(db, hands, taken)
    job, [late] = submit(db, options=AT_LENGTH)
    _, [other] = submit(db)
    split(db, process.id, [late, other])
    claimed, kept = claim(db, process.id, late), claim(db, process.id, other)
    hands.take([*claimed, *kept])
    process.beat()
    assert taken == []
    let_pass(db, job)
    end_late(db)

    process.beat()

    assert taken == [{(late, page.number, page.attempt) for page in claimed}]
    assert states(db, other) == ["running"] * 3


# --- rule 10: a worker reads on, until it hears that the time of its pages is over


def is_held(db, job):
    with db.read() as session:
        return ending.is_held(session, job)


def deleted_late(db, blobs, worker, pages=2):
    """A job whose deadline passed while its pages were read, closed and deleted: its id and the pages' claims."""
    job, [document] = submit(db, options=AT_LENGTH)
    split(db, worker, [document], pages + 1)
    claimed = claim(db, worker, document, range(1, pages + 1))
    record(db, back(claim(db, worker, document, [pages + 1])))  # handed back: nobody holds that one
    let_pass(db, job)
    end_late(db)
    finish(db, claim_assemblies(db, worker, [document]), State.FAILED)
    assert lifecycle.close(db, blobs, job)
    deletion.delete(db, blobs, job)
    return job, claimed


def test_what_is_still_written_of_a_page_whose_time_was_over_is_purged_again(db, blobs, worker):
    # The job was purged at once, and what its worker put a moment later lay there for ever.
    job, claimed = deleted_late(db, blobs, worker)
    assert is_held(db, job)

    for page in claimed:
        assert not deletion.purge(db, blobs, job)
        blobs.put(page_key(job, page.document.id, page.number, page.attempt), b"late")
        assert record(db, good([page])).late == 1

    assert not is_held(db, job)
    assert deletion.purge(db, blobs, job)
    assert list(blobs.list("")) == []


def test_a_worker_lets_go_of_what_it_aborted_with_the_next_heartbeat(db, blobs):
    hands, taken = Hands(), []
    process = incarnation(db, hands, taken)
    job, claimed = deleted_late(db, blobs, process.id)
    hands.take(claimed)
    process.beat()
    assert len(taken) == 1
    process.beat()
    assert is_held(db, job), "they are in its hands still"

    hands.put_down(claimed)
    process.beat()

    assert not is_held(db, job)
    assert deletion.purge(db, blobs, job)


def test_a_claim_that_was_lost_on_its_way_holds_no_job_for_ever(db, blobs, worker):
    job, _ = deleted_late(db, blobs, worker)
    assert is_held(db, job)
    change(db, "UPDATE page SET finished_at = '2020-01-01 00:00:00.000' WHERE state = 'failed'")
    assert not is_held(db, job)


def test_a_page_that_failed_by_itself_is_nobodys(db, blobs, worker):
    job, [document] = submit(db)
    split(db, worker, [document])
    record(db, bad(claim(db, worker, document)))
    deletion.delete(db, blobs, job)
    assert rows(db, "SELECT 1 FROM document") == [], "purged at once"
