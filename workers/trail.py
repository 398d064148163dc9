"""What a worker is at: the context of its log lines, and the spans of its stages where tracing is on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobs import tracing
from jobs.context import about
from jobs.store.claiming import ClaimedDocument, ClaimedPage
from jobs.store.recording import Outcome

if TYPE_CHECKING:
    from opentelemetry.trace import Span


def ids_of(claim: ClaimedPage | ClaimedDocument) -> dict[str, Any]:
    """What names a claim in logs and spans."""
    ids: dict[str, Any] = {"job": claim.document.job_id, "document": claim.document.id, "attempt": claim.attempt}
    return ids | {"page": claim.number} if isinstance(claim, ClaimedPage) else ids


def on(claim: ClaimedPage | ClaimedDocument) -> about:
    """Around work on a claim: its lines are about it."""
    return about(**ids_of(claim))


@contextmanager
def stage(name: str, claim: ClaimedPage | ClaimedDocument) -> Iterator[None]:
    """The same, as a stage of the job's trace."""
    ids = ids_of(claim)
    with about(**ids), tracing.span(name, worker=claim.worker, **ids):
        yield


@contextmanager
def stages(name: str, claims: Sequence[ClaimedDocument]) -> Iterator[None]:
    """A span of each of them, for what is done with all together."""
    begun = [tracing.begin(name, worker=claim.worker, **ids_of(claim)) for claim in claims] if tracing.on() else []
    try:
        yield
    finally:
        for span in begun:
            tracing.end(span)


class Trail:
    """The spans of one message's pages: below each job's root one for its pages of this message, below it the pages,
    below those their stages. Empty while tracing is off."""

    def __init__(self, pages: Iterable[ClaimedPage]) -> None:
        self._pages: dict[tuple[str, int], Span] = {}
        self._chunks: dict[str, Span] = {}
        if tracing.on():
            for page in pages:
                self._begin(page)

    def _begin(self, page: ClaimedPage) -> None:
        job = page.document.job_id
        chunk = self._chunks.get(job) or tracing.begin("recognize", job, worker=page.worker)
        begun = tracing.begin("page", parent=chunk, worker=page.worker, **ids_of(page))
        if chunk is not None and begun is not None:
            self._chunks[job] = chunk
            self._pages[page.document.id, page.number] = begun

    def of(self, page: ClaimedPage) -> Span | None:
        """The page's own span."""
        return self._pages.get((page.document.id, page.number)) if self._pages else None

    def decided(self, outcome: Outcome) -> Span | None:
        """The page has ended and is to be recorded; returns the span of that, which `settled` ends."""
        page = outcome.page
        span = self.of(page)
        if span is None:
            return None
        span.set_attribute("pagemill.state", outcome.state)
        if outcome.error:
            span.set_attribute("error.type", str(outcome.error.get("code", "")))
        return tracing.begin("record", page.document.job_id, span)

    def settled(self, page: ClaimedPage, recording: Span | None = None) -> None:
        tracing.end(recording)
        tracing.end(self.of(page))

    def close(self) -> None:
        """All pages are settled."""
        for chunk in self._chunks.values():
            tracing.end(chunk)
