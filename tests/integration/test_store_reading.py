"""What people and programs see: in order, in parts, and not found where there is nothing."""

from __future__ import annotations

import pytest

from jobs import deletion, lifecycle
from jobs.errors import NotFound
from jobs.models import PageState, State
from jobs.store import reading, submitting
from tests.protocol import (
    PROBLEM,
    bad,
    claim,
    good,
    record,
    register,
    split,
    submit,
)


@pytest.fixture
def worker(db):
    return register(db)


def test_jobs_are_listed_newest_first_by_pages_and_states(db):
    jobs = [submit(db)[0] for _ in range(4)]
    lifecycle.cancel(db, jobs[1])
    with db.read() as session:
        listed = reading.list_jobs(session, limit=2)
        assert [j.id for j in listed] == [jobs[3], jobs[2]]
        assert [j.id for j in reading.list_jobs(session, limit=2, before=listed[-1].id)] == [jobs[1], jobs[0]]
        assert [j.id for j in reading.list_jobs(session, limit=9, states=[State.CANCELED])] == [jobs[1]]
        assert reading.list_jobs(session, limit=9, states=[State.FAILED]) == []


def test_documents_and_pages_are_listed_in_order_and_in_parts(db, worker):
    job, documents = submit(db, 3)
    split(db, worker, documents[:1], pages=5)
    with db.read() as session:
        listed = reading.list_documents(session, job, limit=2)
        assert [d.position for d in listed] == [0, 1]
        assert [d.position for d in reading.list_documents(session, job, limit=2, after=1)] == [2]
        assert [p.number for p in reading.list_pages(session, documents[0], limit=2)] == [1, 2]
        assert [p.number for p in reading.list_pages(session, documents[0], limit=9, after=3)] == [4, 5]
        assert reading.list_pages(session, "doc_nothing", limit=9) == []


def test_a_page_is_shown_as_it_is(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    record(db, bad(claim(db, worker, document, [2])))
    with db.read() as session:
        page = reading.get_page(session, document, 2)
        assert (page.state, page.attempt, page.errors, page.worker) == (PageState.FAILED, 1, 1, worker)
        assert page.error.model_dump(exclude_none=True) == PROBLEM
        assert page.finished_at is not None
        with pytest.raises(NotFound):
            reading.get_page(session, document, 3)


def test_finished_pages_are_all_there_however_many(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=7)
    pages = claim(db, worker, document, [1, 2, 4, 6])
    record(db, good(pages[:3]) + bad(pages[3:]))
    with db.read() as session:
        assert [p.number for p in reading.finished_pages(session, document, limit=2)] == [1, 2]
        assert [p.number for p in reading.finished_pages(session, document, after=2)] == [4, 6]
        found = list(reading.all_finished_pages(session, document))
    assert [(p.number, p.state) for p in found] == [
        (1, PageState.SUCCEEDED), (2, PageState.SUCCEEDED), (4, PageState.SUCCEEDED), (6, PageState.FAILED)
    ]  # fmt: skip


def test_what_is_not_there_is_not_found(db):
    job, [document] = submit(db)
    other, _ = submit(db)
    with db.read() as session:
        assert reading.get_document(session, job, document).id == document
        assert reading.result_attempt(session, document) is None
        assert reading.result_attempt(session, "doc_nothing") is None
        for call in (lambda: reading.get_job(session, "job_nothing"),
                     lambda: reading.get_document(session, other, document),
                     lambda: reading.get_document(session, job, "doc_nothing"),
                     lambda: reading.list_documents(session, "job_nothing", limit=1),
                     lambda: reading.get_source(session, "doc_nothing")):  # fmt: skip
            with pytest.raises(NotFound):
                call()


def test_jobs_that_were_ever_entered_are_told_apart_from_those_that_never_were(db, blobs):
    job, _ = submit(db)
    deleted, _ = submit(db)
    deletion.delete(db, blobs, deleted)
    with db.read() as session:
        assert submitting.existing_jobs(session, [job, deleted, "job_nothing"]) == {job, deleted}
        assert submitting.existing_jobs(session, []) == set()


def test_the_source_of_a_document_is_told(db):
    _, [document] = submit(db)
    with db.read() as session:
        source = reading.get_source(session, document)
    assert (source.key, source.media_type, source.password) == (f"uploads/{document}", "application/pdf", None)
