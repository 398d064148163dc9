"""A document as plain text, made from its page results when it is asked for: few do, so none is stored."""

from __future__ import annotations

from collections.abc import Iterator

from api.deps import Api
from jobs.blobs import page_key
from jobs.errors import Problem
from jobs.markdown import document_text
from jobs.models import PageState
from jobs.results import PageEntry, PageResult
from jobs.store import reading
from jobs.store.reading import FinishedPage

PIECE = 500
"""Pages looked up at once."""


def stored_text(api: Api, job_id: str, document_id: str) -> Iterator[bytes]:
    """Page by page, a blank line between; a page without a result leaves a line in brackets. Raises BlobMissing."""
    entries = (_entry(api, job_id, page) for page in _pages(api, document_id))
    return (text.encode() for text in document_text(entries))


def _entry(api: Api, job_id: str, page: FinishedPage) -> PageEntry:
    if page.state is not PageState.SUCCEEDED:
        error = None if page.error is None else Problem.model_validate(page.error)
        return PageEntry(number=page.number, state=page.state.value, error=error)
    stored = api.blobs.get(page_key(job_id, page.document, page.number, page.attempt))
    return PageEntry(number=page.number, state="succeeded", result=PageResult.model_validate_json(stored))


def _pages(api: Api, document_id: str) -> Iterator[FinishedPage]:
    after = 0
    while True:
        with api.database.read() as session:
            piece = reading.finished_pages(session, document_id, after=after, limit=PIECE)
        yield from piece
        if len(piece) < PIECE:
            return
        after = piece[-1].number
