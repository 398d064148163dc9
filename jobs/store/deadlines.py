"""Documents whose time is over: what of them has not ended fails, what has succeeded stays."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session

from jobs.errors import DeadlineExceeded
from jobs.store.clock import rfc3339
from jobs.store.locks import lock_documents
from jobs.store.sql import Sql
from jobs.store.submitting import json_text

BATCH = 100
"""Documents ended in one transaction; one may have 20,000 pages."""

_UNFINISHED = "(NOT sealed OR pending + running > 0)"
"""What is only to be put together yet is let be: it ends by itself."""
_PAST_DEADLINE = Sql(
    f"""SELECT id, deadline_at FROM document
        WHERE deadline_at IS NOT NULL AND deadline_at <= {{now}} AND state IN ('queued', 'running') AND {_UNFINISHED}
        ORDER BY deadline_at LIMIT :batch"""
)
_TOO_LONG = Sql(
    f"""SELECT id FROM document
        WHERE state = 'running' AND started_at <= {{later:-:timeout}} AND {_UNFINISHED}
        ORDER BY started_at LIMIT :batch"""
)
_END_PAGES = Sql(
    """UPDATE page SET state = 'failed', rung_at = NULL, finished_at = {now}, error = {json:late.error},
              worker = CASE WHEN page.state = 'running' THEN page.worker ELSE NULL END
       FROM {list:late(id text, error text)}
       WHERE page.document_id = late.id AND page.state IN ('pending', 'running')"""
)
_END_DOCUMENTS = Sql(
    """UPDATE document SET failed = failed + pending + running, pending = 0, running = 0, rung_at = NULL,
              ready_at = {now}, sealed = true,
              state = CASE WHEN sealed THEN state ELSE 'failed' END,
              finished_at = CASE WHEN sealed THEN finished_at ELSE {now} END,
              worker = CASE WHEN sealed THEN worker ELSE NULL END,
              error = CASE WHEN sealed THEN document.error ELSE {json:late.error} END
       FROM {list:late(id text, error text)} WHERE document.id = late.id"""
)


@dataclass(frozen=True, slots=True)
class _Late:
    document: str
    error: DeadlineExceeded


def end_late(session: Session, document_timeout: float | None) -> int:
    """One batch of documents past their job's deadline, or running for longer than `document_timeout` seconds. Pages
    that wait or run fail with deadline_exceeded; a document with pages is then put together of the others, one that was
    not split yet fails itself. Returns how many.

    Workers learn of it with their next heartbeat: what they hold and the database does not know is aborted. A page that
    ran keeps its worker until that lets go (recording.let_go), so that a deleted job is not purged under its hands.
    """
    found = {late.document for late in _late(session, document_timeout)}
    locked = set(lock_documents(session, sorted(found)))
    late = [late for late in _late(session, document_timeout) if late.document in locked]  # a retry may have been first
    if late:
        rows = [{"id": row.document, "error": _text(row.error)} for row in late]
        _END_PAGES.run(session, late=rows)
        _END_DOCUMENTS.run(session, late=rows)
    return len(late)


def _late(session: Session, document_timeout: float | None) -> list[_Late]:
    late = {row[0]: _past(rfc3339(row[1])) for row in _PAST_DEADLINE.run(session, batch=BATCH)}
    if document_timeout is not None:
        error = DeadlineExceeded(f"not finished within {document_timeout:g} seconds", limit=document_timeout)
        for row in _TOO_LONG.run(session, batch=BATCH, timeout=document_timeout):
            late.setdefault(row[0], error)
    return [_Late(document, error) for document, error in late.items()]


def _past(deadline: str) -> DeadlineExceeded:
    return DeadlineExceeded("the job's deadline passed", limit=deadline)


def _text(error: DeadlineExceeded) -> str | None:
    return json_text(error.problem().model_dump(exclude_none=True))
