"""Inserting: jobs with their documents, and the pages that a split found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from sqlalchemy import insert
from sqlmodel import Session

from jobs.models import Document, Job, State
from jobs.store.sql import Sql

PIECE = 1000
"""Rows per insert statement."""

_LOCK_SPLITTING = Sql(
    """SELECT copied FROM document WHERE id = :document AND state || '' = 'running' AND NOT sealed
       AND worker = :worker AND attempt = :attempt {update}"""
)
_INSERT_PAGES = Sql(
    """INSERT INTO page (document_id, number, state, attempt, errors, crashes, ready_at)
       SELECT :document, number, 'pending', :attempt, 0, 0, {now} FROM {list:pages(number int)} WHERE true
       ON CONFLICT (document_id, number) DO NOTHING"""
)
_COUNT_NEW = Sql("UPDATE document SET total = total + :new, pending = pending + :new WHERE id = :document")
_SEAL = Sql(
    """UPDATE document SET sealed = true, worker = NULL, source_pages = :source_pages, errors = 0, crashes = 0,
              reuse_key = :reuse_key WHERE id = :document"""
)

_END_REFUSED = Sql(
    "UPDATE document SET finished_at = {now} WHERE job_id = :job AND state = 'failed' AND finished_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class NewRow:
    """A document to be inserted. `error` is a problem as JSON: the document is then born failed."""

    id: str
    name: str
    source_key: str
    media_type: str
    bytes: int
    sha256: str
    error: dict[str, Any] | None = None
    source_url: str | None = None
    source_etag: str | None = None
    origin: str | None = None


def insert_job(session: Session, job: dict[str, Any], documents: Sequence[NewRow]) -> None:
    """Insert a job (values by column) and its documents."""
    session.connection().execute(insert(Job.__table__), [job])  # type: ignore[attr-defined]
    insert_documents(session, job, documents)


def insert_documents(session: Session, job: dict[str, Any], documents: Sequence[NewRow], first: int = 0) -> None:
    """Insert documents of a job whose row is locked or new; `first` is the position of the first."""
    rows = [_document(job, position, document) for position, document in enumerate(documents, first)]
    for start in range(0, len(rows), PIECE):
        session.connection().execute(insert(Document.__table__), rows[start : start + PIECE])  # type: ignore[attr-defined]
    if any(document.error for document in documents):
        _END_REFUSED.run(session, job=job["id"])


def _document(job: dict[str, Any], position: int, new: NewRow) -> dict[str, Any]:
    born = State.FAILED if new.error else State.QUEUED
    return asdict(new) | {
        "job_id": job["id"],
        "position": position,
        "engine": job["engine"],
        "priority": job["priority"],
        "owner": job["owner"],
        "state": born.value,
        "sealed": new.error is not None,
        "attempt": 0,
        "errors": 0,
        "crashes": 0,
        "total": 0,
        "pending": 0,
        "running": 0,
        "succeeded": 0,
        "failed": 0,
        "canceled": 0,
    }


def insert_pages(session: Session, document: str, worker: str, attempt: int, numbers: Sequence[int]) -> bool:
    """Insert a piece of a document's pages, those that exist already left alone (an earlier split got that far).

    False, and nothing done, where the document is no longer ours to split: canceled, or rescued and claimed anew.
    """
    copied = _LOCK_SPLITTING.run(session, document=document, worker=worker, attempt=attempt).scalar()
    if copied is None:
        return False
    pages = [{"number": n} for n in numbers]
    new = _INSERT_PAGES.run(session, document=document, attempt=copied, pages=pages).rowcount
    if new:
        _COUNT_NEW.run(session, document=document, new=new)
    return True


def seal(
    session: Session, document: str, worker: str, attempt: int, source_pages: int, reuse_key: str | None = None
) -> bool:
    """No more pages will come. False where the document is no longer ours to split."""
    if _LOCK_SPLITTING.run(session, document=document, worker=worker, attempt=attempt).first() is None:
        return False
    _SEAL.run(session, document=document, source_pages=source_pages, reuse_key=reuse_key)
    return True


LOCK_SMALL = Sql(
    """SELECT d.id, d.copied FROM document d JOIN {list:done(id text, attempt int)} ON d.id = done.id
       WHERE d.state || '' = 'running' AND NOT d.sealed AND d.worker = :worker AND d.attempt = done.attempt
       ORDER BY d.id {update_of_d}"""
)
_SMALL_PAGES = Sql(
    """INSERT INTO page (document_id, number, state, attempt, errors, crashes, ready_at)
       SELECT id, number, 'pending', attempt, 0, 0, {now} FROM {list:pages(id text, number int, attempt int)} WHERE true
       ON CONFLICT (document_id, number) DO NOTHING RETURNING document_id"""
)
_SMALL_SEAL = Sql(
    """UPDATE document SET sealed = true, worker = NULL, source_pages = done.source_pages, errors = 0, crashes = 0,
              total = total + done.fresh, pending = pending + done.fresh, reuse_key = done.reuse_key
       FROM {list:done(id text, source_pages int, fresh int, reuse_key text)} WHERE document.id = done.id"""
)


@dataclass(frozen=True, slots=True)
class Split:
    """A split's finding: the document's fence, how many pages the file has, which of them were asked for."""

    document: str
    attempt: int
    source_pages: int
    numbers: Sequence[int]
    reuse_key: str | None = None
    """By which its result is found later (jobs/reuse.py); None where it is for nobody else."""


def insert_and_seal(session: Session, worker: str, splits: Sequence[Split]) -> list[str]:
    """Insert and seal several small documents in one transaction. Returns the ids that were still ours.

    Pages begin with the last attempt that may have put copies of an earlier result, so that none is taken for theirs.
    """
    ours = {
        row[0]: row[1]
        for row in LOCK_SMALL.run(
            session, worker=worker, done=[{"id": s.document, "attempt": s.attempt} for s in splits]
        )
    }
    splits = [s for s in splits if s.document in ours]
    if not splits:
        return []
    pages = [{"id": s.document, "number": n, "attempt": ours[s.document]} for s in splits for n in s.numbers]
    fresh: dict[str, int] = {}
    for row in _SMALL_PAGES.run(session, pages=pages):
        fresh[row[0]] = fresh.get(row[0], 0) + 1
    done = [
        {"id": s.document, "source_pages": s.source_pages, "fresh": fresh.get(s.document, 0), "reuse_key": s.reuse_key}
        for s in splits
    ]
    _SMALL_SEAL.run(session, done=done)
    return sorted(ours)


def json_text(value: dict[str, Any] | None) -> str | None:
    """A problem as it is bound to a statement's list."""
    return None if value is None else orjson.dumps(value).decode()


_EXISTING = Sql("SELECT j.id FROM job j JOIN {list:ids(id text)} ON j.id = ids.id")


def existing_jobs(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of these jobs were ever entered, deleted ones included."""
    return {row[0] for row in _EXISTING.run(session, ids=[{"id": i} for i in ids])}
