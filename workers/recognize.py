"""Recognize: claim pages, read them all at once, store and record each as it ends.

Chunks of many documents are in flight together; a page that ends early makes room at once, and nothing waits for the
last page of a chunk but the message itself. What an engine raises decides what becomes of the page (rule 7):

    PageError, DocumentError   a value: the page fails, or is tried again later where the error is retryable
    StorageUnavailable, …      the page goes back, uncounted
    EngineUnavailable          the engine is dead: the page goes back with a crash, the worker ends
    cancellation               the document was canceled (dropped), we stop (goes back), we are dead (dropped)
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

from jobs.blobs import BlobMissing
from jobs.errors import (
    DocumentError,
    EngineError,
    EngineUnavailable,
    PageError,
    PagemillError,
    PageTimeout,
    ServiceError,
)
from jobs.settings import LimitSettings
from jobs.store import claiming, ringing
from jobs.store.claiming import ClaimedPage, PageRef
from jobs.store.database import Database
from jobs.store.recording import Outcome
from jobs.vault import Vault
from workers.engines.base import Engine
from workers.hands import Hands
from workers.loop import EngineLoop
from workers.pages import ResultWriter, WorkerPage
from workers.recorder import Recorder
from workers.render.lazy import LazyPool
from workers.retries import Backoff
from workers.sources import Sources

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading pages needs; made once by the composition root."""

    db: Database
    engine: Engine
    pool: LazyPool | None
    sources: Sources
    vault: Vault | None
    writer: ResultWriter
    recorder: Recorder
    hands: Hands
    loop: EngineLoop
    threads: Executor
    limits: LimitSettings
    backoff: Backoff
    worker_id: Callable[[], str]
    on_engine_death: Callable[[EngineUnavailable], None]


class Recognizer:
    """Runs `recognize` messages. Thread-safe; one per worker process."""

    def __init__(self, parts: Reading) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._running: dict[asyncio.Task[None], ClaimedPage] = {}
        self._dropped: set[asyncio.Task[None]] = set()
        self._draining = False

    def run(self, refs: Sequence[PageRef]) -> int:
        """Claim and read these pages; returns how many were ours when all have ended. Raises DatabaseUnavailable."""
        parts = self._parts
        if self._draining:
            with parts.db.write() as session:
                ringing.unring_pages(session, list(refs))
            return 0
        with parts.db.write() as session:
            claimed = claiming.claim_pages(session, parts.worker_id(), refs)
        parts.hands.take(claimed)
        wait([parts.loop.submit(self._run_page(page)) for page in claimed])
        return len(claimed)

    def drain(self) -> None:
        """Claim nothing from now on."""
        self._draining = True

    def cancel_documents(self, documents: set[str]) -> None:
        """Abort the pages of canceled documents in the engine; nothing is recorded for them but that we let go."""
        self._cancel(lambda page: page.document.id in documents, drop=False)

    def hand_back_all(self) -> None:
        """Abort everything and give the pages back, uncounted."""
        self._cancel(lambda _page: True, drop=False)

    def drop_all(self) -> None:
        """Abort everything and record nothing: the pages are no longer ours."""
        self._cancel(lambda _page: True, drop=True)

    def _cancel(self, chosen: Callable[[ClaimedPage], bool], *, drop: bool) -> None:
        with self._lock:
            tasks = [task for task, page in self._running.items() if chosen(page)]
            if drop:
                self._dropped.update(tasks)
        for task in tasks:
            self._parts.loop.loop.call_soon_threadsafe(task.cancel)

    async def _run_page(self, page: ClaimedPage) -> None:
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            self._running[task] = page
        try:
            outcome = await self._outcome(page)
            if task not in self._dropped:
                # From here on a cancel changes nothing: the result is stored and waits for its commit.
                await asyncio.shield(asyncio.wrap_future(self._record(outcome)))
        except asyncio.CancelledError:
            log.debug("page %s/%d ended while it was being recorded", page.document.id, page.number)
        finally:
            with self._lock:
                del self._running[task]
                self._dropped.discard(task)
            self._parts.hands.put_down([page])

    def _record(self, outcome: Outcome) -> Future[bool]:
        return self._parts.recorder.add(outcome)

    async def _outcome(self, page: ClaimedPage) -> Outcome:
        """Read and store the page. Never raises: whatever happens is an outcome."""
        handle = self._handle(page)
        try:
            async with asyncio.timeout(self._parts.limits.page_timeout):
                output = await self._parts.engine.recognize(handle)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._parts.threads, self._parts.writer.put_page, page, output)
        except TimeoutError:
            limit = self._parts.limits.page_timeout
            return self._failed(page, PageTimeout(f"not read within {limit:g} seconds", limit=limit))
        except asyncio.CancelledError:
            return Outcome(page, "pending")
        except EngineUnavailable as error:
            self._parts.on_engine_death(error)
            return Outcome(page, "pending", error=_problem(error), crashes=1)
        except (PageError, DocumentError) as error:
            return self._failed(page, error)
        except ServiceError as error:
            return Outcome(page, "pending", error=_problem(error), delay=self._parts.backoff.first)
        except BlobMissing as error:
            return self._failed(page, PageError(f"the source is gone from the store: {error}"))
        except Exception as error:
            log.exception("engine %s raised", self._parts.engine.info.name, extra=_names(page))
            return self._failed(page, EngineError(f"{type(error).__name__}: {error}"))
        finally:
            await handle.release()
        return Outcome(page, "succeeded")

    def _handle(self, page: ClaimedPage) -> WorkerPage:
        parts = self._parts
        return WorkerPage(page, parts.pool, parts.sources, parts.vault, parts.engine.default_dpi, parts.threads)

    def _failed(self, page: ClaimedPage, error: PagemillError) -> Outcome:
        """A permanent error ends the page; a retryable one puts it off until it has had its tries."""
        problem = _problem(error.at(f"page {page.number}"))
        if not error.retryable or self._parts.backoff.exhausted(page.errors):
            return Outcome(page, "failed", error=problem, errors=1)
        return Outcome(page, "pending", error=problem, errors=1, delay=self._parts.backoff.after(page.errors))


def _problem(error: PagemillError) -> dict[str, object]:
    return error.problem().model_dump(exclude_none=True)


def _names(page: ClaimedPage) -> dict[str, object]:
    return {"action": "engine_error", "job": page.document.job_id, "document": page.document.id, "page": page.number}
