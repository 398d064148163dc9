"""What assembling needs of a group of documents, in two statements however many they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.models import PageState
from jobs.store.clock import rfc3339
from jobs.store.reading import FinishedPage
from jobs.store.sql import Sql, grouped, json_value


@dataclass(frozen=True, slots=True)
class Assembly:
    """A document whose pages have all ended, and those pages by number."""

    id: str
    job_id: str
    name: str
    media_type: str
    bytes: int
    sha256: str
    source_pages: int | None
    created_at: str
    succeeded: int
    failed: int
    canceled: int
    engine: str
    options: dict[str, Any]
    pages: list[FinishedPage]
    reader: str | None
    """What read all of its pages (jobs/reuse.py); None where it was more than one or is not known."""


_DOCUMENTS = Sql(
    """SELECT d.id, d.job_id, d.name, d.media_type, d.bytes, d.sha256, d.source_pages, d.created_at,
              d.succeeded, d.failed, d.canceled, d.engine, j.options
       FROM document d JOIN job j ON j.id = d.job_id WHERE d.id IN (SELECT id FROM {list:ids(id text)})"""
)
# Nobody read a page without a worker here: it is a copy, and the document says what the original was read with.
_PAGES = Sql(
    """SELECT p.document_id, p.number, p.state, p.attempt, p.error,
              CASE WHEN p.worker IS NULL THEN d.reader ELSE w.reader END
       FROM page p JOIN document d ON d.id = p.document_id LEFT JOIN worker w ON w.id = p.worker
       WHERE p.document_id IN (SELECT id FROM {list:ids(id text)}) AND p.state IN ('succeeded', 'failed', 'canceled')
       ORDER BY p.document_id, p.number"""
)


def assemblies(session: Session, documents: Sequence[str]) -> list[Assembly]:
    """These documents, those that were deleted left out."""
    ids = [{"id": document} for document in documents]
    pages = grouped((row[0], row) for row in _PAGES.run(session, ids=ids))
    return [_assembly(row, pages.get(row[0], [])) for row in _DOCUMENTS.run(session, ids=ids)]


def _assembly(row: Sequence[Any], pages: list[Sequence[Any]]) -> Assembly:
    id_, job, name, media_type, size, digest, source_pages, created_at, succeeded, failed, canceled, engine, options = (
        row
    )
    return Assembly(
        id_, job, name, media_type, size, digest, source_pages, rfc3339(created_at), succeeded, failed, canceled,
        engine, json_value(options) or {}, [_page(page) for page in pages],
        _common([page[5] for page in pages]),
    )  # fmt: skip


def _common(readers: Sequence[str | None]) -> str | None:
    different = set(readers)
    return different.pop() if len(different) == 1 else None


def _page(row: Sequence[Any]) -> FinishedPage:
    return FinishedPage(row[0], row[1], PageState(row[2]), row[3], json_value(row[4]))
