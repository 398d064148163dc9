"""Cancel, retry and delete, asked for while real workers are at it."""

import pytest

from jobs import deletion, lifecycle
from jobs.blobs import job_prefix, manifest_key
from jobs.errors import Gone
from jobs.models import State
from jobs.options import EchoOptions
from jobs.store import ending, reading
from tests.documents import pdf
from tests.hostile_files import renamed_text
from tests.mill import mill_fixture
from tests.soundness import unsound

mill = mill_fixture(PAGEMILL_MAX_ERRORS="1")


def test_cancel_in_the_middle(mill):
    """Of 150 pages of two documents every second one hangs: more than the engine holds, so that some wait."""
    hanging = {str(number): "hang" for number in range(2, 101, 2)}
    job_id = mill.submit(pdf(100), pdf(50), echo=EchoOptions(faults=hanging))
    mill.until(lambda: mill.count(job_id)["running"] >= 20, "the engine to be busy")
    mill.until(lambda: mill.count(job_id)["succeeded"] >= 10, "pages to be done")
    with mill.db.read() as session:
        assert reading.get_job(session, job_id).state is State.RUNNING
    job = lifecycle.cancel(mill.db, job_id)
    assert job.state is State.CANCELED
    good = mill.count(job_id)["succeeded"]
    mill.wait(job_id)

    # The engine is told to stop: the worker lets go of every page, although none of them would ever have ended.
    mill.until(lambda: all(p.worker is None for p in mill.pages(job_id) if p.state == "canceled"), "the engine to stop")
    assert unsound(mill, job_id) == []
    assert mill.job(job_id).state is State.CANCELED
    assert mill.count(job_id) == {"succeeded": good, "canceled": 150 - good}
    assert len(mill.results(job_id)) == good >= 10
    manifest = mill.manifest(job_id)
    assert (manifest["state"], {line["state"] for line in manifest["documents"]}) == ("canceled", {"canceled"})
    # And there is room again for others.
    assert mill.wait(mill.submit(pdf(80))).state is State.SUCCEEDED


def test_a_job_whose_deadline_passes_keeps_what_it_has_and_frees_the_engine(mill):
    """Its pages hang for as long as pages may; others need the engine's places."""
    slow = {"*": 3600.0} | {str(page): 0.01 for page in range(1, 6)}
    job_id = mill.submit(pdf(100), echo=EchoOptions(seconds=slow), deadline_seconds=3.0)
    mill.until(lambda: mill.count(job_id)["running"] > 5, "the slow pages to run")

    assert mill.wait(job_id).state is State.PARTIAL
    assert mill.count(job_id) == {"succeeded": 5, "failed": 95}
    assert {page.error.code for page in mill.pages(job_id) if page.error} == {"deadline_exceeded"}
    assert unsound(mill, job_id) == []
    other = mill.submit(*[pdf(20)] * 3)
    assert mill.wait(other).state is State.SUCCEEDED


def test_cancel_before_the_split(mill):
    job_id = mill.submit(*[pdf(30)] * 40)
    lifecycle.cancel(mill.db, job_id)
    mill.wait(job_id)
    mill.until(lambda: all(d.state is State.CANCELED for d in mill.documents(job_id)), "documents to be canceled")
    assert unsound(mill, job_id) == []


def test_retry_of_a_partial_job(mill):
    faults = {"3": "error_once", "5": "fatal_error", "7": "error_once"}
    job_id = mill.submit(pdf(8), pdf(2), echo=EchoOptions(faults=faults))
    assert mill.wait(job_id).state is State.PARTIAL
    assert unsound(mill, job_id) == []
    first = attempts(mill, job_id)
    assert mill.count(job_id) == {"succeeded": 7, "failed": 3}

    lifecycle.retry(mill.db, mill.blobs, job_id)
    assert mill.wait(job_id).state is State.PARTIAL
    assert unsound(mill, job_id) == []
    assert mill.count(job_id) == {"succeeded": 9, "failed": 1}
    again = {where[1] for where, attempt in attempts(mill, job_id).items() if attempt != first[where]}
    assert again == {3, 5, 7}, "only what had failed was read again"


def attempts(mill, job_id):
    return {(p.document_id, p.number): p.attempt for p in mill.pages(job_id)}


def test_retry_of_a_failed_split(mill):
    """Its source is damaged, as by a bad disk; later it is put right."""
    job_id = mill.submit(pdf(2), renamed_text())
    assert mill.wait(job_id).state is State.PARTIAL
    mill.blobs.put(sources(mill, job_id)[1], pdf(3))
    lifecycle.retry(mill.db, mill.blobs, job_id)
    job = mill.wait(job_id)
    assert unsound(mill, job_id) == []
    assert (job.state, job.pages.succeeded) == (State.SUCCEEDED, 5)


def sources(mill, job_id):
    """Keys by position; none when the rows are gone."""
    with mill.db.read() as session:
        return sorted(ending.source_keys(session, job_id))


def test_delete_while_running(mill):
    hanging = {str(number): "hang" for number in range(30, 41)}
    job_id = mill.submit(pdf(40), pdf(5), echo=EchoOptions(faults=hanging))
    mill.wait_for_pages(job_id, 34)
    assert list(mill.blobs.list(job_prefix(job_id)))
    keys = sources(mill, job_id)
    deletion.delete(mill.db, mill.blobs, job_id)
    with pytest.raises(Gone):
        mill.job(job_id)
    mill.until(lambda: mill.page_rows(job_id) == [] and sources(mill, job_id) == [], "the rows to be gone")
    assert list(mill.blobs.list(job_prefix(job_id))) == []
    assert [key for key in keys if mill.blobs.stat(key)] == []
    assert mill.blobs.stat(manifest_key(job_id)) is None
