"""Finished pages as lines, while their document still runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import orjson

from api.deps import Api
from jobs.blobs import BlobMissing, page_key
from jobs.models import FINAL
from jobs.store import reading
from jobs.store.reading import FinishedPage

POLL = 0.5
"""Seconds between looks at the document's row."""
PIECE = 100
"""Pages looked up at once."""


@dataclass(slots=True)
class _Progress:
    """What a stream has sent. All pages up to `floor` are done with; `sent` holds those beyond it."""

    floor: int
    sent: set[int] = field(default_factory=set)

    def add(self, number: int) -> None:
        self.sent.add(number)
        while self.floor + 1 in self.sent:
            self.floor += 1
            self.sent.discard(self.floor)


async def page_lines(
    api: Api, job: str, document: str, after: int, follow: bool, admitted: Callable[[], object]
) -> AsyncIterator[bytes]:
    """An empty piece once the document is found, then a line a finished page. Raises NotFound, Gone, ServiceError, and
    whatever `admitted` raises, which is asked before every further look."""
    progress = _Progress(after)
    seen = -1
    final, finished = await anyio.to_thread.run_sync(_look, api, job, document)
    yield b""
    while True:
        if finished != seen:
            async for line in _new_lines(api, job, document, progress):
                yield line
            seen = finished
        if final or not follow:
            return
        await anyio.sleep(POLL)
        await anyio.to_thread.run_sync(admitted)
        final, finished = await anyio.to_thread.run_sync(_look, api, job, document)


def _look(api: Api, job: str, document: str) -> tuple[bool, int]:
    """Whether the document has ended, and how many of its pages have: looked at before the pages, so that none that
    ends in between is missed."""
    with api.database.read() as session:
        found = reading.get_document(session, job, document)
    return found.state in FINAL, found.pages.succeeded + found.pages.failed + found.pages.canceled


async def _new_lines(api: Api, job: str, document: str, progress: _Progress) -> AsyncIterator[bytes]:
    after = progress.floor
    while True:
        pages = await anyio.to_thread.run_sync(_finished, api, document, after)
        for page in pages:
            if page.number > progress.floor and page.number not in progress.sent:
                yield await anyio.to_thread.run_sync(_line, api, job, page)
                progress.add(page.number)
        if len(pages) < PIECE:
            return
        after = pages[-1].number


def _finished(api: Api, document: str, after: int) -> list[FinishedPage]:
    with api.database.read() as session:
        return reading.finished_pages(session, document, after=after, limit=PIECE)


def _line(api: Api, job: str, page: FinishedPage) -> bytes:
    result = None
    if page.state == "succeeded":
        result = orjson.loads(_read(api, job, page))
    entry = {"number": page.number, "state": page.state.value, "result": result, "error": page.error}
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def _read(api: Api, job: str, page: FinishedPage) -> bytes:
    try:
        return api.blobs.get(page_key(job, page.document, page.number, page.attempt))
    except BlobMissing:
        with api.database.read() as session:
            reading.get_document(session, job, page.document)  # raises Gone
        raise
