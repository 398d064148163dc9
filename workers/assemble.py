"""Assemble: a document's Markdown and JSON from its pages' results; then the document ends, and maybe its job.

Files go under keys with the attempt of this claim, so that a doubled assembly never mixes with another; the row names
the winner. Pages are read one after the other and written as they come: a 10,000-page document is never in memory.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass, field

import orjson

from jobs import lifecycle
from jobs.blobs import BlobMissing, BlobStore, BlobWriter, NewObject, page_key, result_key
from jobs.errors import DatabaseUnavailable, InternalError, PagemillError, Problem
from jobs.markdown import document_markdown
from jobs.models import PageState, State, close_state
from jobs.results import DocumentResult, PageEntry, PageResult, SourceInfo
from jobs.spending import Price
from jobs.store import assembling, claiming, closing
from jobs.store.assembling import Assembly
from jobs.store.claiming import ClaimedDocument, DocumentRef
from jobs.store.closing import Finish
from jobs.store.database import Database
from jobs.store.reading import FinishedPage
from workers.engines import build_whole
from workers.engines.base import Whole
from workers.hands import Hands
from workers.meter import Meter
from workers.pages import RecentResults, ResultWriter
from workers.retries import Backoff
from workers.trail import ids_of, stage

log = logging.getLogger(__name__)

GROUP = 32
"""Documents ended in one transaction at most."""
_TOGETHER = 0.5
"""Seconds that documents whose files are written wait for the others of their group, to end in one transaction."""
_WHOLE = 64
"""Pages up to which a document's files are made in memory and put in one call each."""


@dataclass(frozen=True, slots=True)
class Assembler:
    """Runs `assemble` messages and the small documents of the recorder. Thread-safe."""

    db: Database
    blobs: BlobStore
    writer: ResultWriter
    recent: RecentResults
    backoff: Backoff
    hands: Hands
    threads: Executor
    """Where documents are written side by side; nothing else runs there that waits for it."""
    worker_id: Callable[[], str]
    price: Price | None = None
    """Of what jobs took, for their job.json."""
    meter: Meter = field(default_factory=Meter)

    def run(self, refs: Sequence[DocumentRef]) -> int:
        """Claim and assemble these documents; returns how many were ours. Raises DatabaseUnavailable."""
        with self.db.write() as session:
            claims = claiming.claim_assemblies(session, self.worker_id(), refs)
        self.assemble(claims)
        return len(claims)

    def assemble(self, claims: list[ClaimedDocument]) -> None:
        """Write the files of claimed documents, end together those that are ready, close their jobs: one whose files
        the store does not take holds up no other. Raises DatabaseUnavailable."""
        with self.hands.holding(claims):
            with self.db.read() as session:
                found = {a.id: a for a in assembling.assemblies(session, [c.document.id for c in claims])}
            ours = [(claim, found[claim.document.id]) for claim in claims if claim.document.id in found]
            left = {self.threads.submit(self._assemble, claim, document) for claim, document in ours}
            try:
                while left:
                    done, left = wait(left, _TOGETHER)
                    self._end([finish for finish in (each.result() for each in done) if finish is not None])
            finally:  # nothing is written any more of what is no longer in our hands
                for each in left:
                    each.cancel()
                wait(left)

    def _end(self, finishes: list[Finish]) -> None:
        if not finishes:
            return
        with self.db.write() as session:
            if len(closing.finish_documents(session, finishes)) < len(finishes):
                for finish in finishes:
                    claiming.let_go(session, finish.claim)
        self.close({finish.claim.document.job_id for finish in finishes})

    def close(self, jobs: set[str]) -> None:
        """Close those of the jobs whose documents have all ended. A store that is away leaves it to rescue."""
        for job in sorted(jobs):
            try:
                lifecycle.close(self.db, self.blobs, job, self.price)
            except PagemillError as error:
                extra = {"action": "close_failed", "job": job, "code": error.code}
                log.warning("job %s cannot be closed now: %s", job, error, extra=extra)

    def _assemble(self, claim: ClaimedDocument, document: Assembly) -> Finish | None:
        with stage("assemble", claim):
            return self._finish(claim, document)

    def _finish(self, claim: ClaimedDocument, document: Assembly) -> Finish | None:
        begun = time.perf_counter()
        try:
            finish = self._write(claim, document)
            self.meter.document("assemble", time.perf_counter() - begun)
            return finish
        except BlobMissing as error:
            return _broken(claim, f"a stored page result is gone: {error}")
        except PagemillError as error:
            extra = {"action": "assemble_put_off", "code": error.code}
            log.warning("document %s put off: %s", document.id, error, extra=extra)
            with self.db.write() as session:
                if not claiming.release_document(session, claim, delay=self.backoff.first):
                    claiming.let_go(session, claim)
            return None
        except Exception as error:
            # The edge of one document: what is stored of it may be damaged, and its neighbours must not suffer.
            log.exception("document %s cannot be assembled", document.id, extra={"action": "assemble_failed"})
            return _broken(claim, f"{type(error).__name__}: {error}")

    def _write(self, claim: ClaimedDocument, document: Assembly) -> Finish:
        state = close_state(document.succeeded, document.failed, document.canceled)
        if not document.succeeded:
            return Finish(
                claim, state, with_result=False, error=next((p.error for p in document.pages if p.error), None)
            )
        files = _Files(document, state, claim.attempt)
        if len(document.pages) <= _WHOLE:
            self._put_whole(files, list(self._entries(document)))
        else:
            self._stream(files, self._entries(document))
        return Finish(claim, state, with_result=True, reader=document.reader if state is State.SUCCEEDED else None)

    def _put_whole(self, files: _Files, entries: list[_Entry]) -> None:
        markdown = "".join(document_markdown(entry.value for entry in entries)).encode()
        json = files.head() + b",".join(entry.json for entry in entries) + TAIL
        both = (
            NewObject(files.key("document.md"), markdown, MARKDOWN),
            NewObject(files.key("document.json"), json, JSON),
        )
        self.writer.put_all(both)

    def _stream(self, files: _Files, entries: Iterator[_Entry]) -> None:
        """Both files grow together, a page at a time."""
        with (
            self.blobs.writer(files.key("document.md"), MARKDOWN) as markdown,
            self.blobs.writer(files.key("document.json"), JSON) as json,
        ):
            for text in document_markdown(_told(entries, files, json)):
                markdown.write(text.encode())

    def _entries(self, document: Assembly) -> Iterator[_Entry]:
        """The pages in order. Where the engine's pages learn from each other, long documents are read twice."""
        whole = build_whole(document.engine, document.options)
        if whole is None:
            return self._read(document)
        kept = list(self._read(document)) if len(document.pages) <= _WHOLE else None
        for entry in kept or self._read(document):
            whole.observe(entry.value.number, entry.value.result)
        return (_changed(entry, whole) for entry in kept or self._read(document))

    def _read(self, document: Assembly) -> Iterator[_Entry]:
        return (self._entry(document, page) for page in document.pages)

    def _entry(self, document: Assembly, page: FinishedPage) -> _Entry:
        if page.state is not PageState.SUCCEEDED:
            error = None if page.error is None else Problem.model_validate(page.error)
            entry = PageEntry(number=page.number, state=page.state.value, error=error)
            return _Entry(entry, entry.model_dump_json(exclude_none=True).encode())
        return _good(*self._result(document, page))

    def _result(self, document: Assembly, page: FinishedPage) -> tuple[PageResult, bytes]:
        recent = self.recent.take(document.id, page.number, page.attempt)
        if recent is not None:
            return recent
        stored = self.blobs.get(page_key(document.job_id, document.id, page.number, page.attempt))
        return PageResult.model_validate_json(stored), stored


def _broken(claim: ClaimedDocument, detail: str) -> Finish:
    """No files can be written, now or later."""
    problem = InternalError(detail).problem().model_dump(exclude_none=True)
    return Finish(claim, State.FAILED, with_result=False, error=problem)


MARKDOWN = "text/markdown; charset=utf-8"
JSON = "application/json"
TAIL = b"]}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A page of the document: as a value for Markdown, as stored bytes for JSON."""

    value: PageEntry
    json: bytes


def _good(result: PageResult, stored: bytes) -> _Entry:
    json = b'{"number":%d,"state":"succeeded","result":%s}' % (result.number, stored)
    return _Entry(PageEntry(number=result.number, state="succeeded", result=result), json)


def _changed(entry: _Entry, whole: Whole) -> _Entry:
    """The page as the whole document has it; what is stored of the page itself stays as it was read."""
    if entry.value.result is None:
        return entry
    result = whole.applied(entry.value.result)
    return entry if result is entry.value.result else _good(result, result.model_dump_json(exclude_none=True).encode())


@dataclass(frozen=True, slots=True)
class _Files:
    """Keys and head of one assembly."""

    document: Assembly
    state: State
    attempt: int

    def key(self, filename: str) -> str:
        return result_key(self.document.job_id, self.document.id, self.attempt, filename)

    def head(self) -> bytes:
        """document.json up to its pages, whose stored JSON follows as it is; TAIL ends it."""
        document = self.document
        result = DocumentResult(
            id=document.id,
            job_id=document.job_id,
            state=self.state.value,
            source=SourceInfo(
                name=document.name,
                media_type=document.media_type,
                bytes=document.bytes,
                sha256=document.sha256,
                pages=document.source_pages,
            ),
            options=document.options,
            engine=document.engine,
            created_at=document.created_at,
            pages=(),
        )
        return orjson.dumps(result.model_dump(mode="json", exclude_none=True)).removesuffix(TAIL)


def _told(entries: Iterator[_Entry], files: _Files, json: BlobWriter) -> Iterator[PageEntry]:
    """The entries' values, each entry's JSON written on the way."""
    head, separator = files.head(), b""
    json.write(head)
    for entry in entries:
        json.write(separator + entry.json)
        separator = b","
        yield entry.value
    json.write(TAIL)


class AssemblyLine:
    """A thread that assembles the small documents whose last page this worker recorded, several at a time."""

    def __init__(self, assembler: Assembler, hands: Hands) -> None:
        self._assembler = assembler
        self._hands = hands
        self._queue: queue.SimpleQueue[list[ClaimedDocument] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="assembly", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, claims: list[ClaimedDocument]) -> None:
        self._hands.take(claims)
        self._queue.put(claims)

    def stop(self) -> None:
        """Assemble what was added and end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (claims := self._queue.get()) is not None:
            ended = False
            while len(claims) < GROUP and not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    ended = True
                    break
                claims = claims + more
            self._assemble(claims)
            if ended:
                return

    def _assemble(self, claims: list[ClaimedDocument]) -> None:
        try:
            self._assembler.assemble(claims)
        except DatabaseUnavailable as error:
            # The heartbeat finds the claims in the database and not in our hands, and hands them back.
            log.warning("cannot end %d documents: %s", len(claims), error, extra=_about(claims))
        except Exception:
            # The edge of this thread, which must outlive what it did not expect; the claims are handed back likewise.
            log.exception("cannot end %d documents", len(claims), extra=_about(claims))


def _about(claims: list[ClaimedDocument]) -> dict[str, object]:
    if len(claims) == 1:
        return {"action": "assemble_failed", **ids_of(claims[0])}
    return {"action": "assemble_failed", "documents": [claim.document.id for claim in claims]}
