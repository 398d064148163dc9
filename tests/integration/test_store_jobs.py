"""Jobs from submit to purge: lifecycle, totals, closing."""

from __future__ import annotations

import orjson
import pytest

from jobs import deletion, lifecycle
from jobs.blobs import BlobMissing, manifest_key, page_key
from jobs.errors import CorruptFile, Gone, InvalidRequest, NotFound, PageTimeout
from jobs.ids import new_job_id
from jobs.lifecycle import MAX_METADATA_BYTES
from jobs.models import State
from jobs.options import JobOptions
from jobs.reconcile.rules import job_differences
from jobs.settings import SecretSettings
from jobs.store import closing, ending, mending, proving, reading
from jobs.store.locks import lock_jobs
from jobs.store.recording import Outcome
from jobs.vault import open_vault
from tests.ledger import assert_exact
from tests.protocol import (
    bad,
    change,
    claim,
    claim_splits,
    finish,
    good,
    job_of,
    new_document,
    one,
    read,
    record,
    register,
    rows,
    split,
    states,
    submit,
    through,
)


@pytest.fixture
def worker(db):
    return register(db)


@pytest.fixture
def vault():
    return open_vault(SecretSettings(secret_key="a long random text"))


def manifest(blobs, job):
    return orjson.loads(blobs.get(manifest_key(job)))


# --- submit


def test_submit_answers_with_what_get_shows(db):
    job = new_job_id()
    options = JobOptions(dpi=150, priority="interactive", metadata={"case": 7})
    public = lifecycle.submit(
        db, job_id=job, options=options, engine="echo", documents=[new_document(), new_document(1)], vault=None
    )

    assert public == job_of(db, job)
    assert (public.state, public.sealed, public.engine, public.priority) == (State.QUEUED, True, "echo", "interactive")
    assert (public.documents.total, public.documents.unfinished, public.pages.total) == (2, 2, 0)
    assert (public.metadata, public.options["dpi"]) == ({"case": 7}, 150)
    assert (public.started_at, public.finished_at, public.error) == (None, None, None)


def test_submit_refuses_what_it_cannot_keep(db, vault):
    def refused(**values):
        given = {"job_id": new_job_id(), "options": JobOptions(), "engine": "echo", "documents": [new_document()],
                 "vault": vault} | values  # fmt: skip
        with pytest.raises(InvalidRequest) as error:
            lifecycle.submit(db, **given)
        return error.value.where

    assert refused(documents=[]) == "file"
    assert refused(options=JobOptions(metadata={"x": "y" * MAX_METADATA_BYTES})) == "options.metadata"
    assert refused(options=JobOptions(password="secret"), vault=None) == "options.password"
    assert rows(db, "SELECT 1 FROM job") == []


def test_a_password_is_encrypted_reaches_the_worker_and_ends_with_the_job(db, vault, worker, blobs):
    job, document = new_job_id(), new_document()
    lifecycle.submit(db, job_id=job, options=JobOptions(password="geheim"), engine="echo", documents=[document],
                     vault=vault)  # fmt: skip
    stored = one(db, "SELECT password FROM job")
    assert "geheim" not in stored
    [claimed] = claim_splits(db, worker, [document.id])
    assert vault.open(claimed.document.password) == "geheim"
    with db.read() as session:
        assert reading.get_source(session, document.id).password == stored

    finish(db, [claimed], State.FAILED)
    assert lifecycle.close(db, blobs, job)
    assert one(db, "SELECT password FROM job") == stored  # a retry may still need it
    lifecycle.retry(db, blobs, job)
    through(db, worker, document.id)
    assert lifecycle.close(db, blobs, job)
    assert one(db, "SELECT password FROM job") is None


# --- closing


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ("ss", State.SUCCEEDED),
        ("sf", State.PARTIAL),
        ("sp", State.PARTIAL),
        ("pf", State.PARTIAL),
        ("p", State.PARTIAL),
        ("ff", State.FAILED),
    ],
)
def test_a_job_ends_as_its_documents_did(db, worker, blobs, ends, state):
    job, documents = submit(db, len(ends))
    for document, end in zip(documents, ends, strict=True):
        through(db, worker, document, failed={"s": [], "p": [1], "f": [1, 2]}[end])

    assert lifecycle.close(db, blobs, job)

    public = job_of(db, job)
    assert public.state is state
    assert public.finished_at is not None
    told = manifest(blobs, job)
    assert (told["id"], told["state"], len(told["documents"])) == (job, state.value, len(ends))
    assert public.pages.succeeded + public.pages.failed == public.pages.total == 2 * len(ends)
    assert not lifecycle.close(db, blobs, job)


def test_the_manifest_names_the_files_of_the_attempt_that_counts(db, worker, blobs):
    job, [document] = submit(db, options=JobOptions(metadata={"a": 1}))
    split(db, worker, [document])
    [claimed] = read(db, worker, document)
    finish(db, [claimed])
    lifecycle.close(db, blobs, job)

    told = manifest(blobs, job)
    assert told["metadata"] == {"a": 1}
    assert told["documents"] == [
        {"id": document, "name": "0.pdf", "state": "succeeded", "pages": 3,
         "markdown": f"{document}/document.{claimed.attempt}.md",
         "json": f"{document}/document.{claimed.attempt}.json"}
    ]  # fmt: skip


def test_nothing_closes_before_it_is_sealed_and_done(db, worker, blobs):
    job, documents = submit(db, 2)
    assert not lifecycle.close(db, blobs, job)
    through(db, worker, documents[0])
    assert not lifecycle.close(db, blobs, job)
    change(db, "UPDATE job SET sealed = :no", no=False)
    through(db, worker, documents[1])
    assert not lifecycle.close(db, blobs, job)
    change(db, "UPDATE job SET sealed = :yes", yes=True)
    assert lifecycle.close(db, blobs, job)
    assert not lifecycle.close(db, blobs, "job_nothing")


def test_a_job_born_failed_is_found_and_closed(db, blobs):
    job = new_job_id()
    broken = new_document(error=CorruptFile("no trailer"))
    lifecycle.submit(db, job_id=job, options=JobOptions(), engine="echo", documents=[broken], vault=None)
    with db.read() as session:
        assert closing.jobs_to_close(session) == [job]

    assert lifecycle.close(db, blobs, job)
    assert job_of(db, job).state is State.FAILED
    assert manifest(blobs, job)["documents"][0]["error"]["code"] == "corrupt_file"
    with db.read() as session:
        assert closing.jobs_to_close(session) == []


def test_totals_are_folded_from_documents(db, worker):
    job, documents = submit(db, 2)
    split(db, worker, documents, pages=2)
    record(db, good(claim(db, worker, documents[0], [1])) + bad(claim(db, worker, documents[0], [2])))
    claim(db, worker, documents[1], [1])
    assert job_of(db, job).pages.total == 0

    with db.write() as session:
        closing.fold_running(session)
        closing.fold_totals(session, [])

    pages = job_of(db, job).pages
    assert (pages.total, pages.pending, pages.running, pages.succeeded, pages.failed) == (4, 1, 1, 1, 1)


# --- cancel


def test_cancel_ends_what_is_open_and_leaves_what_is_done(db, worker, blobs):
    job, documents = submit(db, 3)
    through(db, worker, documents[0])
    split(db, worker, [documents[1]], pages=3)
    record(db, good(claim(db, worker, documents[1], [1])))
    claim(db, worker, documents[1], [2])

    public = lifecycle.cancel(db, job)

    assert public.state is State.CANCELED
    assert (public.documents.succeeded, public.documents.canceled) == (1, 2)
    assert (public.pages.succeeded, public.pages.canceled, public.pages.running) == (3, 2, 0)
    assert states(db, documents[1]) == ["succeeded", "canceled", "canceled"]
    assert lifecycle.close(db, blobs, job)
    assert manifest(blobs, job)["state"] == "canceled"


def test_cancel_twice_and_of_an_ended_job_changes_nothing(db, worker, blobs):
    job, _ = submit(db)
    assert lifecycle.cancel(db, job) == lifecycle.cancel(db, job)
    done, [document] = submit(db)
    through(db, worker, document)
    lifecycle.close(db, blobs, done)
    assert lifecycle.cancel(db, done).state is State.SUCCEEDED
    with db.write() as session:
        assert not ending.cancel_job(session, done)
        assert not ending.cancel_job(session, "job_nothing")


def test_unknown_jobs_are_not_found(db, blobs):
    for call in (lambda: lifecycle.cancel(db, "job_nothing"), lambda: lifecycle.retry(db, blobs, "job_nothing"),
                 lambda: deletion.delete(db, blobs, "job_nothing")):  # fmt: skip
        with pytest.raises(NotFound):
            call()


# --- retry


def test_retry_runs_failed_pages_again_and_nothing_else(db, worker, blobs):
    job, documents = submit(db, 3)
    through(db, worker, documents[0])
    through(db, worker, documents[1], pages=3, failed=[2])
    [claimed] = claim_splits(db, worker, documents[2:])
    finish(db, [claimed], State.FAILED)
    lifecycle.close(db, blobs, job)

    public = lifecycle.retry(db, blobs, job)

    assert (public.state, public.finished_at) == (State.RUNNING, None)
    assert states(db, documents[1]) == ["succeeded", "pending", "succeeded"]
    found = {r[0]: tuple(r[1:]) for r in rows(db, "SELECT id, state, sealed FROM document")}
    assert found[documents[0]] == ("succeeded", True)
    assert found[documents[1]] == ("running", True)
    assert found[documents[2]] == ("running", False)  # to be split again
    assert blobs.stat(manifest_key(job)) is None
    assert_exact(db)

    [page] = claim(db, worker, documents[1], [2])
    assert (page.attempt, page.errors, page.crashes) == (2, 0, 0)  # the fence grows, the limits begin anew
    finish(db, record(db, good([page]), assemble_as=worker).assemblies)
    through(db, worker, documents[2])
    assert lifecycle.close(db, blobs, job)
    assert job_of(db, job).state is State.SUCCEEDED
    assert manifest(blobs, job)["state"] == "succeeded"


def test_retry_while_the_job_still_runs_reopens_the_failed_document(db, worker, blobs):
    job, documents = submit(db, 2)
    through(db, worker, documents[0], failed=[1])

    assert lifecycle.retry(db, blobs, job).state is State.RUNNING

    assert states(db, documents[0]) == ["pending", "succeeded"]
    assert not lifecycle.close(db, blobs, job)


TIMEOUT = PageTimeout("it hung").problem().model_dump(exclude_none=True)


def partly(db, blobs, worker, *, documents=2):
    """A job whose documents have three pages each: the first failed with engine_error, the second with page_timeout."""
    job, ids = submit(db, documents)
    for document in ids:
        split(db, worker, [document], 3)
        first, second, third = claim(db, worker, document)
        slow = Outcome(second, "failed", error=TIMEOUT, errors=1)
        finish(db, record(db, [*bad([first]), slow, *good([third])], assemble_as=worker).assemblies, State.PARTIAL)
    lifecycle.close(db, blobs, job)
    return job, ids


def test_one_document_is_retried_and_its_neighbour_is_not(db, worker, blobs):
    job, documents = partly(db, blobs, worker)
    assert lifecycle.retry(db, blobs, job, document=documents[1]).state is State.RUNNING
    assert [states(db, d) for d in documents] == [
        ["failed", "failed", "succeeded"],
        ["pending", "pending", "succeeded"],
    ]
    assert blobs.stat(manifest_key(job)) is None
    assert_exact(db)
    finish(db, read(db, worker, documents[1]))
    assert lifecycle.close(db, blobs, job)
    assert job_of(db, job).state is State.PARTIAL


def test_what_failed_with_a_code_is_retried_and_nothing_else(db, worker, blobs):
    job, documents = partly(db, blobs, worker)
    assert lifecycle.retry(db, blobs, job, code="page_timeout").state is State.RUNNING
    assert [states(db, d) for d in documents] == [["failed", "pending", "succeeded"]] * 2
    assert_exact(db)
    for document in documents:
        finish(db, read(db, worker, document), State.PARTIAL)
    assert lifecycle.close(db, blobs, job)
    assert job_of(db, job).pages.failed == 2
    assert_exact(db)


def test_a_document_that_failed_as_a_whole_is_found_by_its_code(db, blobs):
    job = new_job_id()
    broken = new_document(error=CorruptFile("no trailer"))
    lifecycle.submit(db, job_id=job, options=JobOptions(), engine="echo", documents=[broken], vault=None)
    lifecycle.close(db, blobs, job)
    assert lifecycle.retry(db, blobs, job, code="page_timeout").state is State.FAILED
    assert manifest(blobs, job)["state"] == "failed"
    assert lifecycle.retry(db, blobs, job, code="corrupt_file").state is State.RUNNING


def test_a_code_that_nothing_fails_with_and_a_strange_document_are_refused(db, worker, blobs):
    job, _ = partly(db, blobs, worker, documents=1)
    _, strangers = partly(db, blobs, worker, documents=1)
    for code in ("page_timeuot", "queue_full", ""):
        with pytest.raises(InvalidRequest) as error:
            lifecycle.retry(db, blobs, job, code=code)
        assert error.value.where == "code"
    with pytest.raises(NotFound):
        lifecycle.retry(db, blobs, job, document=strangers[0])
    assert job_of(db, job).state is State.PARTIAL


def test_all_that_failed_with_a_code_is_retried_in_pieces(db, worker, blobs):
    jobs = [partly(db, blobs, worker, documents=1)[0] for _ in range(3)]
    good_job, [document] = submit(db)
    through(db, worker, document)
    canceled, deleted = (partly(db, blobs, worker, documents=1)[0] for _ in range(2))
    change(db, "UPDATE job SET state = 'canceled' WHERE id = :job", job=canceled)
    deletion.delete(db, blobs, deleted)

    newer, cursor = lifecycle.retry_all(db, blobs, "page_timeout", limit=2)
    assert ([job.id for job in newer], cursor) == ([jobs[2], jobs[1]], jobs[1])
    assert {job.state for job in newer} == {State.RUNNING}
    older, cursor = lifecycle.retry_all(db, blobs, "page_timeout", limit=2, before=cursor)
    assert ([job.id for job in older], cursor) == ([jobs[0]], None)
    assert lifecycle.retry_all(db, blobs, "page_timeout", limit=2) == ([], None)
    assert lifecycle.retry_all(db, blobs, "corrupt_file", limit=2) == ([], None)
    assert job_of(db, good_job).pages.pending == 0
    assert_exact(db)


def test_a_job_that_never_ran_has_started_when_its_retry_runs(db, blobs):
    job = new_job_id()
    broken = new_document(error=CorruptFile("no trailer"))
    lifecycle.submit(db, job_id=job, options=JobOptions(), engine="echo", documents=[broken], vault=None)
    lifecycle.close(db, blobs, job)
    public = lifecycle.retry(db, blobs, job)
    assert public.state is State.RUNNING
    assert public.started_at is not None


def test_a_document_whose_source_was_never_kept_is_not_retried(db, blobs):
    job = new_job_id()
    broken = new_document(error=CorruptFile("no trailer"), source_key="")
    lifecycle.submit(db, job_id=job, options=JobOptions(), engine="echo", documents=[broken], vault=None)
    lifecycle.close(db, blobs, job)
    assert lifecycle.retry(db, blobs, job).state is State.FAILED


def test_retry_with_nothing_to_do_loses_no_manifest(db, worker, blobs):
    job, [document] = submit(db)
    through(db, worker, document)
    lifecycle.close(db, blobs, job)
    before = manifest(blobs, job)

    assert lifecycle.retry(db, blobs, job).state is State.SUCCEEDED

    with db.read() as session:
        for found in closing.jobs_to_close(session):
            lifecycle.close(db, blobs, found)
    assert manifest(blobs, job) == before


def test_a_canceled_job_is_not_reopened(db, worker, blobs):
    job, documents = submit(db, 2)
    through(db, worker, documents[0], failed=[1])
    lifecycle.cancel(db, job)
    assert lifecycle.retry(db, blobs, job).state is State.CANCELED
    assert states(db, documents[0]) == ["failed", "succeeded"]


# --- delete


def test_delete_forgets_the_job_and_purges_everything(db, worker, blobs):
    job, documents = submit(db, 2)
    other, _ = submit(db)
    for document in documents:
        blobs.put(f"uploads/{document}", b"source")
    through(db, worker, documents[0])
    lifecycle.close(db, blobs, job)
    blobs.put(page_key(job, documents[0], 1, 1), b"{}")
    blobs.put(page_key(other, "doc_x", 1, 1), b"{}")

    deletion.delete(db, blobs, job)

    with db.read() as session:
        for read_again in (lambda: reading.get_job(session, job), lambda: reading.list_documents(session, job, limit=9),
                           lambda: reading.get_document(session, job, documents[0])):  # fmt: skip
            with pytest.raises(Gone):
                read_again()
        assert [j.id for j in reading.list_jobs(session, limit=9)] == [other]
        assert ending.jobs_to_purge(session) == []
    for call in (deletion.delete, lifecycle.retry):
        with pytest.raises(Gone):
            call(db, blobs, job)
    with pytest.raises(Gone):
        lifecycle.cancel(db, job)
    assert [stat.key for stat in blobs.list("")] == [page_key(other, "doc_x", 1, 1)]
    assert rows(db, "SELECT 1 FROM document WHERE job_id = :j", j=job) == []
    assert rows(db, "SELECT 1 FROM page") == []


def test_the_rows_of_a_large_job_go_in_pieces(db, worker, blobs, monkeypatch):
    """In one statement a job of some million pages ran into the time-out of statements, again with every purge."""
    monkeypatch.setattr(ending, "DROPPED_PAGES", 3)
    job, documents = submit(db, 4)
    split(db, worker, documents[:3], pages=2)
    with db.write() as session:
        ending.mark_deleted(session, job)
    with db.write() as session:
        assert not ending.drop_rows(session, job)
    assert len(rows(db, "SELECT 1 FROM document WHERE job_id = :j", j=job)) == 2, "two of two pages each are gone"
    with db.read() as session:
        assert ending.jobs_to_purge(session) == [job], "whoever dies here leaves it to the next purge"
        assert [d for facts in proving.jobs(session, [job], 0.0, 600.0) for d in job_differences(facts)] == []
    assert deletion.purge(db, blobs, job)
    with db.read() as session:
        assert ending.jobs_to_purge(session) == []
    assert rows(db, "SELECT 1 FROM page") == rows(db, "SELECT 1 FROM document") == []


def test_a_large_job_is_gone_at_once_and_purged_by_a_worker(db, worker, blobs, monkeypatch):
    monkeypatch.setattr(deletion, "PURGED_AT_ONCE", 2)
    job, documents = submit(db, 3)
    blobs.put(f"uploads/{documents[0]}", b"source")
    deletion.delete(db, blobs, job)
    with db.read() as session:
        with pytest.raises(Gone):
            reading.get_job(session, job)
        assert ending.jobs_to_purge(session) == [job]
    assert deletion.purge(db, blobs, job)
    assert [stat.key for stat in blobs.list("")] == []
    assert rows(db, "SELECT 1 FROM document") == []


def test_what_was_read_of_a_half_purged_job_stays_counted(db, worker, blobs, monkeypatch):
    """`reconcile --fix` summed up the documents that were left: pages that were read were never counted again."""
    monkeypatch.setattr(ending, "DROPPED_PAGES", 2)
    job, documents = submit(db, 3)
    for document in documents:
        through(db, worker, document)
    lifecycle.close(db, blobs, job)
    counted = "SELECT documents_total, documents_succeeded, pages_total, pages_succeeded FROM job WHERE id = :j"
    before = rows(db, counted, j=job)
    with db.write() as session:
        ending.mark_deleted(session, job)
    with db.write() as session:
        assert not ending.drop_rows(session, job)
    with db.write() as session:
        assert lock_jobs(session, [job])
        mending.mend_job(session, job)
    assert rows(db, counted, j=job) == before
    assert before[0][0] > len(rows(db, "SELECT 1 FROM document WHERE job_id = :j", j=job)) > 0
    assert deletion.purge(db, blobs, job)
    assert rows(db, counted, j=job) == before


def test_pages_of_a_moment_ago_make_a_job_large_too(db, worker, blobs, monkeypatch):
    """They were split after the last fold: whoever deletes the job would wait until they are purged."""
    monkeypatch.setattr(deletion, "PURGED_AT_ONCE", 9)
    job, [document] = submit(db)
    split(db, worker, [document], pages=10)
    assert job_of(db, job).pages.total == 0
    deletion.delete(db, blobs, job)
    with db.read() as session:
        assert ending.jobs_to_purge(session) == [job]


def test_a_deleted_job_is_neither_closed_nor_written_again(db, blobs):
    job, _ = submit(db)
    deletion.delete(db, blobs, job)
    with db.read() as session:
        assert closing.jobs_to_close(session) == []
    assert not lifecycle.close(db, blobs, job)
    with pytest.raises(BlobMissing):
        blobs.get(manifest_key(job))
