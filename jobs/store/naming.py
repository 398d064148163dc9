"""What rows say of the object store: which jobs, documents and pages name which objects. For `pagemill reconcile`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.store.sql import Sql, grouped


@dataclass(frozen=True, slots=True)
class NamingJob:
    """A job's row as far as the store is concerned."""

    id: str
    state: str
    manifest: bool
    """job.json is said to be stored."""
    deleted: bool
    purged: bool


@dataclass(frozen=True, slots=True)
class NamingDocument:
    """A document's row as far as the store is concerned."""

    id: str
    job_id: str
    state: str
    attempt: int
    worker: str | None
    result_attempt: int | None
    source_key: str
    bytes: int
    sha256: str
    results: int
    """Pages whose result is stored, or may be at any moment, as counted."""
    copied: int
    """The last attempt that may put copies of an earlier result."""
    needs_source: bool
    """Its file is here, and it is still to be opened, or pages of it are still to be read."""


@dataclass(frozen=True, slots=True)
class NamingPage:
    """A page whose result is stored (`succeeded`) or may be at any moment (`running`)."""

    number: int
    attempt: int
    state: str


_JOB = "id, state, manifest, deleted_at IS NOT NULL, purged_at IS NOT NULL"
_NEXT_JOBS = Sql(f"SELECT {_JOB} FROM job WHERE id > :after ORDER BY id LIMIT :limit")
_JOBS = Sql(f"SELECT {_JOB} FROM job WHERE id IN (SELECT id FROM {{list:ids(id text)}}) ORDER BY id")
_DOCUMENT = """d.id, d.job_id, d.state, d.attempt, d.worker, d.result_attempt, d.source_key, d.bytes, d.sha256,
              d.succeeded + d.running, d.copied,
              d.state IN ('queued', 'running') AND d.source_url IS NULL
                AND (NOT d.sealed OR d.pending > 0 OR d.running > 0)"""
_NEXT_DOCUMENTS = Sql(
    f"SELECT {_DOCUMENT} FROM document d WHERE d.job_id = :job AND d.id > :after ORDER BY d.id LIMIT :limit"
)
_LIVING_DOCUMENTS = Sql(
    f"""SELECT {_DOCUMENT} FROM document d JOIN job j ON j.id = d.job_id
       WHERE d.id IN (SELECT id FROM {{list:ids(id text)}}) AND j.deleted_at IS NULL ORDER BY d.id"""
)
_PAGES = Sql(
    """SELECT document_id, number, attempt, state FROM page
       WHERE document_id IN (SELECT id FROM {list:ids(id text)}) AND state IN ('succeeded', 'running')
       ORDER BY document_id, number"""
)


def next_jobs(session: Session, after: str, limit: int) -> list[NamingJob]:
    """The next jobs by id, deleted ones included."""
    return [_job(row) for row in _NEXT_JOBS.run(session, after=after, limit=limit)]


def naming_jobs(session: Session, ids: Sequence[str]) -> dict[str, NamingJob]:
    """These jobs by id; those that are not there left out."""
    found = [_job(row) for row in _JOBS.run(session, ids=[{"id": i} for i in ids])]
    return {job.id: job for job in found}


def next_documents(session: Session, job: str, after: str, limit: int, pages: int) -> list[NamingDocument]:
    """The next documents of a job by id: at most `limit`, fewer where they have more than `pages` results together."""
    found: list[NamingDocument] = []
    for row in _NEXT_DOCUMENTS.run(session, job=job, after=after, limit=limit):
        found.append(_document(row))
        pages -= found[-1].results
        if pages <= 0:
            break
    return found


def living_documents(session: Session, ids: Sequence[str]) -> dict[str, NamingDocument]:
    """These documents by id; those of deleted jobs left out."""
    found = [_document(row) for row in _LIVING_DOCUMENTS.run(session, ids=[{"id": i} for i in ids])]
    return {document.id: document for document in found}


def naming_pages(session: Session, documents: Sequence[str]) -> dict[str, list[NamingPage]]:
    """By document, its pages that name an object, by number."""
    rows = _PAGES.run(session, ids=[{"id": i} for i in documents])
    return grouped((row[0], NamingPage(row[1], row[2], row[3])) for row in rows)


def _job(row: Sequence[Any]) -> NamingJob:
    return NamingJob(row[0], row[1], bool(row[2]), bool(row[3]), bool(row[4]))


def _document(row: Sequence[Any]) -> NamingDocument:
    return NamingDocument(
        id=row[0], job_id=row[1], state=row[2], attempt=row[3], worker=row[4], result_attempt=row[5],
        source_key=row[6], bytes=row[7], sha256=row[8], results=row[9], copied=row[10],
        needs_source=bool(row[11]),
    )  # fmt: skip
