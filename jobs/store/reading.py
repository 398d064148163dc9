"""What people and programs see: public shapes, never table objects. Nothing here changes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, select

from jobs.errors import Gone, NotFound, Problem
from jobs.models import (
    Document,
    DocumentCounts,
    DocumentPublic,
    Job,
    JobPublic,
    JobUsage,
    OutputPublic,
    Page,
    PageCounts,
    PagePublic,
    PageState,
    Publication,
    PublicationState,
    State,
    Worker,
    WorkerPublic,
    WorkerState,
)
from jobs.spending import MICROS
from jobs.store.workers import silences

PRIORITIES = ("interactive", "batch")
SHOWN_DOCUMENTS = 8
"""Of those that a worker is busy with."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document's file lies and what opens it."""

    key: str
    media_type: str
    password: str | None
    """Encrypted."""


@dataclass(frozen=True, slots=True)
class FinishedPage:
    """A page with an end. `attempt` names its result's key where it succeeded."""

    document: str
    number: int
    state: PageState
    attempt: int
    error: dict[str, Any] | None


def get_job(session: Session, job_id: str) -> JobPublic:
    """Raises NotFound, or Gone after a delete."""
    return job_public(_live_job(session, job_id))


def list_jobs(
    session: Session,
    *,
    limit: int,
    before: str | None = None,
    states: Sequence[State] = (),
    owner: str | None = None,
) -> list[JobPublic]:
    """Newest first. `before`: the last id seen; `owner`: only theirs."""
    query = select(Job).where(col(Job.deleted_at).is_(None)).order_by(col(Job.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(Job.id) < before)
    if owner is not None:
        query = query.where(Job.owner == owner)
    if states:
        query = query.where(col(Job.state).in_([state.value for state in states]))
    return [job_public(row) for row in session.exec(query)]


def get_document(session: Session, job_id: str, document_id: str) -> DocumentPublic:
    """Raises NotFound, or Gone after a delete."""
    return _document(_live_document(session, job_id, document_id))


def with_output(session: Session, document: DocumentPublic) -> DocumentPublic:
    """The document, and where its results are written besides, if they are."""
    row = session.get(Publication, document.id)
    if row is None:
        return document
    output = OutputPublic(
        url=f"{row.location}{row.path}/",
        state=PublicationState(row.state),
        error=_problem(row.error),
        published_at=row.published_at,
    )
    return document.model_copy(update={"output": output})


def list_documents(
    session: Session, job_id: str, *, limit: int, after: int = -1, only: Sequence[ColumnElement[bool]] = ()
) -> list[DocumentPublic]:
    """By position. `after`: the last position seen; `only`: of jobs.store.finding. Raises NotFound, or Gone after a
    delete."""
    _live_job(session, job_id)
    query = (
        select(Document)
        .where(Document.job_id == job_id, Document.position > after, *only)
        .order_by(col(Document.position))
        .limit(limit)
    )
    return [_document(row) for row in session.exec(query)]


def list_pages(
    session: Session, document_id: str, *, limit: int, after: int = 0, only: Sequence[ColumnElement[bool]] = ()
) -> list[PagePublic]:
    """By number. `after`: the last number seen; `only`: of jobs.store.finding."""
    query = (
        select(Page)
        .where(Page.document_id == document_id, Page.number > after, *only)
        .order_by(col(Page.number))
        .limit(limit)
    )
    return [_page(row) for row in session.exec(query)]


def get_page(session: Session, document_id: str, number: int) -> PagePublic:
    """Raises NotFound."""
    row = session.get(Page, (document_id, number))
    if row is None:
        raise NotFound(f"document {document_id} has no page {number}", where=f"{document_id}/{number}")
    return _page(row)


def list_workers(session: Session, *, after: str = "", limit: int | None = None) -> list[WorkerPublic]:
    """Workers alive or draining, and those that ended lately; oldest first, beginning after an id."""
    rows = session.exec(select(Worker).where(col(Worker.id) > after).order_by(col(Worker.id)).limit(limit)).all()
    held = _held(session)
    silent = silences(session)
    return [_worker(row, held.get(row.id, Counter()), silent.get(row.id, 0.0)) for row in rows]


def _held(session: Session, worker: str | None = None) -> dict[str, Counter[str]]:
    """By worker, the documents it is busy with and how many of their pages it reads; 0 of those that it opens or puts
    together. Of all workers, or of one."""
    pages = select(Page.worker, Page.document_id, func.count()).where(
        Page.state == PageState.RUNNING, col(Page.worker).is_not(None)
    )
    documents = select(Document.worker, Document.id).where(col(Document.worker).is_not(None))
    if worker is not None:
        pages, documents = pages.where(Page.worker == worker), documents.where(Document.worker == worker)
    held: dict[str, Counter[str]] = {}
    for holder, document, count in session.exec(pages.group_by(col(Page.worker), col(Page.document_id))):
        held.setdefault(str(holder), Counter())[document] += count
    for holder, document in session.exec(documents):
        held.setdefault(str(holder), Counter())[document] += 0
    return held


def get_worker(session: Session, worker_id: str) -> WorkerPublic:
    """Raises NotFound."""
    row = session.get(Worker, worker_id)
    if row is None:
        raise NotFound(f"there is no worker {worker_id}", where="worker")
    held = _held(session, worker_id).get(worker_id, Counter())
    return _worker(row, held, silences(session).get(worker_id, 0.0))


def finished_pages(session: Session, document_id: str, *, after: int = 0, limit: int = 1000) -> list[FinishedPage]:
    """Pages of a document that have ended, by number, beginning after a number."""
    query = (
        select(Page)
        .where(
            Page.document_id == document_id,
            Page.number > after,
            col(Page.state).in_([PageState.SUCCEEDED, PageState.FAILED, PageState.CANCELED]),
        )
        .order_by(col(Page.number))
        .limit(limit)
    )
    return [
        FinishedPage(row.document_id, row.number, PageState(row.state), row.attempt, row.error)
        for row in session.exec(query)
    ]


def all_finished_pages(session: Session, document_id: str) -> Iterator[FinishedPage]:
    """Every page of a document that has ended, in pieces."""
    after = 0
    while pieces := finished_pages(session, document_id, after=after):
        yield from pieces
        after = pieces[-1].number


def result_attempt(session: Session, document_id: str) -> int | None:
    """The attempt whose document.md and document.json count; None where there are none."""
    row = session.get(Document, document_id)
    return None if row is None else row.result_attempt


def get_source(session: Session, document_id: str) -> Source:
    """Raises NotFound."""
    query = (
        select(Document.source_key, Document.media_type, Job.password)
        .join(Job, col(Job.id) == Document.job_id)
        .where(Document.id == document_id)
    )
    row = session.exec(query).first()
    if row is None:
        raise NotFound(f"there is no document {document_id}", where=document_id)
    if not row[0]:
        raise Gone(f"the file of document {document_id} is not kept", where=document_id)
    return Source(*row)


def _live_job(session: Session, job_id: str) -> Job:
    row = session.get(Job, job_id)
    if row is None:
        raise NotFound(f"there is no job {job_id}", where=job_id)
    if row.deleted_at is not None:
        raise gone(row)
    return row


def gone(row: Job) -> Gone:
    """The answer to who asks for a deleted job."""
    expired = row.expires_at is not None and row.deleted_at is not None and row.deleted_at >= row.expires_at
    return Gone(f"job {row.id} {'was kept for its time and is deleted' if expired else 'was deleted'}", where=row.id)


def _live_document(session: Session, job_id: str, document_id: str) -> Document:
    _live_job(session, job_id)
    row = session.get(Document, document_id)
    if row is None or row.job_id != job_id:
        raise NotFound(f"job {job_id} has no document {document_id}", where=document_id)
    return row


def _problem(stored: dict[str, Any] | None) -> Problem | None:
    return None if stored is None else Problem.model_validate(stored)


def job_public(row: Job) -> JobPublic:
    ended = row.documents_succeeded + row.documents_partial + row.documents_failed + row.documents_canceled
    done = row.pages_running + row.pages_succeeded + row.pages_failed + row.pages_canceled
    return JobPublic(
        id=row.id,
        state=State(row.state),
        sealed=row.sealed,
        engine=row.engine,
        priority="interactive" if row.priority == 0 else "batch",
        options=row.options,
        metadata=row.meta,
        documents=DocumentCounts(
            total=row.documents_total,
            unfinished=row.documents_total - ended,
            succeeded=row.documents_succeeded,
            partial=row.documents_partial,
            failed=row.documents_failed,
            canceled=row.documents_canceled,
        ),
        pages=PageCounts(
            total=row.pages_total,
            pending=row.pages_total - done,
            running=row.pages_running,
            succeeded=row.pages_succeeded,
            failed=row.pages_failed,
            canceled=row.pages_canceled,
        ),
        usage=JobUsage(engine_seconds=row.engine_micros / MICROS, tokens_in=row.tokens_in, tokens_out=row.tokens_out),
        error=_problem(row.error),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
    )


def _document(row: Document) -> DocumentPublic:
    return DocumentPublic(
        id=row.id,
        job_id=row.job_id,
        position=row.position,
        name=row.name,
        origin=row.origin,
        media_type=row.media_type,
        bytes=row.bytes,
        sha256=row.sha256,
        state=State(row.state),
        sealed=row.sealed,
        source_pages=row.source_pages,
        cached=row.cached,
        pages=PageCounts(
            total=row.total,
            pending=row.pending,
            running=row.running,
            succeeded=row.succeeded,
            failed=row.failed,
            canceled=row.canceled,
        ),
        error=_problem(row.error),
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _page(row: Page) -> PagePublic:
    return PagePublic(
        document_id=row.document_id,
        number=row.number,
        state=PageState(row.state),
        attempt=row.attempt,
        errors=row.errors,
        crashes=row.crashes,
        worker=row.worker,
        error=_problem(row.error),
        finished_at=row.finished_at,
    )


def _worker(row: Worker, held: Counter[str], silent: float) -> WorkerPublic:
    return WorkerPublic(
        id=row.id,
        host=row.host,
        slot=row.slot,
        pid=row.pid,
        engine=row.engine,
        capacity=row.capacity,
        state=WorkerState(row.state),
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        detail=row.detail,
        drain_requested=row.drain_requested,
        pages_running=held.total(),
        pace=row.pace,
        silent_seconds=max(0.0, round(silent, 3)),
        documents=tuple(document for document, _ in held.most_common(SHOWN_DOCUMENTS)),
        documents_total=len(held),
        reader=row.reader,
    )
