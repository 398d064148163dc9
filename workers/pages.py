"""One page in the hands of the worker: the handle that its engine sees, and where its result goes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jobs import tracing
from jobs.blobs import BlobStore, NewObject, figure_key, page_key
from jobs.errors import EngineUnavailable, InternalError, StorageFull, StorageUnavailable
from jobs.metrics import Place
from jobs.options import PageOptions, page_options
from jobs.results import PageOutput, PageResult
from jobs.settings import MIB
from jobs.store.claiming import ClaimedPage, DocumentSource
from jobs.vault import Vault
from workers.deadline import Deadline
from workers.engines.base import NotTaken
from workers.presence import Stay
from workers.render.lazy import LazyPool
from workers.render.pool import PoolPage
from workers.sources import Sources

T = TypeVar("T")

RETRY_EVERY = 0.5
OTHERS_WAIT = 5.0
"""Seconds that a page is tried again when others of its bundle could be put: the store as a whole is not away. Also
those of a document's files, behind which others wait, and which lose nothing: their pages are stored."""
RESULT_OVERHEAD, RESULT_GROWTH = 4096, 10


def password_of(document: DocumentSource, vault: Vault | None) -> str | None:
    """The document's password in the clear, None where there is none.

    Raises InternalError where this worker cannot open it: the document is put off for one that can.
    """
    if document.password is None:
        return None
    if vault is None:
        raise InternalError("this worker has no PAGEMILL_SECRET_KEY to open the document's password")
    return vault.open(document.password)


class PoolLost(NotTaken):
    """The render processes cannot be started any more: the worker's end, and no page's fault."""


class WorkerPage:
    """The `PageHandle` of a claimed page. Fetches and renders on the first `call`; `release` gives everything back."""

    def __init__(
        self, page: ClaimedPage, pool: LazyPool | None, sources: Sources, vault: Vault | None, default_dpi: int,
        threads: Executor, deadline: Deadline, stay: Stay, *, read_there: bool,
    ) -> None:  # fmt: skip
        """`threads`: to open the page on; never those that results are put on. `read_there`: the page is inside the
        engine while a call runs."""
        self._page = page
        self._pool = pool
        self._sources = sources
        self._vault = vault
        self._threads = threads
        self._deadline = deadline
        self._stay = stay
        self._place = Place.ENGINE if read_there else Place.RENDERING
        self._options = page_options(page.document.options)
        self._dpi = self._options.dpi or default_dpi
        self._rendered: PoolPage | None = None
        self._opening = asyncio.Lock()

    @property
    def document_id(self) -> str:
        return self._page.document.id

    @property
    def number(self) -> int:
        return self._page.number

    @property
    def options(self) -> PageOptions:
        return self._options

    async def call(self, method: str, *args: Any) -> Any:
        with self._deadline.paused(), self._stay.away(self._place if self._rendered else Place.FETCHING):
            try:
                if self._rendered is None:
                    async with self._opening:
                        self._rendered = self._rendered or await self._open()
                self._stay.go(self._place)
                return await self._rendered.call(method, *args)
            except EngineUnavailable as error:
                raise PoolLost(error.detail, where=error.where) from error

    def spend(self, tokens_in: int, tokens_out: int) -> None:
        self._stay.spend(tokens_in, tokens_out)

    async def forget(self) -> None:
        if self._rendered is not None:
            await self._rendered.release()

    async def _open(self) -> PoolPage:
        """Off the loop: the store may be slow to say where the file is, and the processes may have to be started. While
        a file is on its way no thread is kept: a message may have all its pages in one document."""
        if self._pool is None:
            raise EngineUnavailable("this worker has no render processes")
        with tracing.span("fetch", self._page.document.job_id):
            found = await self._on_thread(partial(self._find, self._pool))
            if isinstance(found, PoolPage):
                return found
            path = await self._arrival(found)
            return await self._on_thread(partial(self._opened, self._pool, path))

    async def _on_thread(self, work: Callable[[], T]) -> T:
        # With our context: what is logged there is about this page.
        done = asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, work)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            # The thread goes on without us, and what it takes must be given back.
            done.add_done_callback(self._let_go)
            raise

    async def _arrival(self, fetching: Future[Path]) -> Path:
        try:
            return await asyncio.wrap_future(fetching)
        except asyncio.CancelledError:
            self._sources.give_back(self._page.document.source_key, fetching)
            raise

    def _find(self, pool: LazyPool) -> PoolPage | Future[Path]:
        """The page, or the file that it waits for."""
        found = self._sources.ask(self._page.document.source_key)
        return self._opened(pool, found) if isinstance(found, Path) else found

    def _opened(self, pool: LazyPool, path: Path) -> PoolPage:
        document = self._page.document
        try:
            password = password_of(document, self._vault)
            return pool.page(path, document.media_type, self.number, self._options, self._dpi, password)
        except BaseException:
            self._sources.give_back(document.source_key)
            raise

    def _let_go(self, done: asyncio.Future[Any]) -> None:
        if done.exception() is None:
            found = done.result()
            self._sources.give_back(self._page.document.source_key, found if isinstance(found, Future) else None)

    async def release(self) -> None:
        if self._rendered is not None:
            await self._rendered.release()
            self._sources.give_back(self._page.document.source_key)


class RecentResults:
    """Results just stored, so that assembling a small document does not read them back. Bounded; thread-safe.

    Those of documents that another worker assembles are never taken and leave by the bound alone.
    """

    def __init__(self, limit: int = 32 * MIB) -> None:
        """`limit`: bytes of memory that the results may take, about: see `_weight`."""
        self._limit = limit
        self._size = 0
        self._lock = threading.Lock()
        self._results: OrderedDict[tuple[str, int, int], tuple[PageResult, bytes]] = OrderedDict()

    def put(self, page: ClaimedPage, result: PageResult, stored: bytes) -> None:
        with self._lock:
            self._results[page.document.id, page.number, page.attempt] = (result, stored)
            self._size += _weight(stored)
            while self._size > self._limit:
                self._size -= _weight(self._results.popitem(last=False)[1][1])

    def take(self, document: str, number: int, attempt: int) -> tuple[PageResult, bytes] | None:
        with self._lock:
            found = self._results.pop((document, number, attempt), None)
            self._size -= _weight(found[1]) if found else 0
            return found


def _weight(stored: bytes) -> int:
    """Bytes that a result takes as values and as stored.

    Measured: about 3 KB for one of a single block with a few words, and nearly ten times what is stored for a hundred.
    """
    return RESULT_OVERHEAD + RESULT_GROWTH * len(stored)


class ResultWriter:
    """Puts page results, patiently: a store that is away keeps the finished pages here for a bounded time (rule 12)."""

    def __init__(self, blobs: BlobStore, recent: RecentResults, patience: float, stop: threading.Event) -> None:
        self._blobs = blobs
        self._recent = recent
        self._patience = patience
        self._stop = stop

    @property
    def bundle(self) -> int:
        """Pages that are best put together; 1 where each is best put by itself, side by side with others."""
        return self._blobs.bundle

    def put_pages(self, pages: Sequence[tuple[ClaimedPage, PageOutput]]) -> list[Exception | None]:
        """Put them together, and say what was wrong with each: StorageUnavailable or StorageFull of those that could
        not be put when patience ended, anything else at once. It is one patience for all of them, and a short one where
        some could be put: those wait for their commit, and so does whoever needs this thread."""
        ends = time.monotonic() + self._patience
        results = [_Result(page, output) for page, output in pages]
        left = [result for result in results if result.make()]
        while left:
            self._try(left, ends)
            if any(result.error is None for result in left):
                ends = min(ends, time.monotonic() + OTHERS_WAIT)
            left = [result for result in left if isinstance(result.error, _AWAY)]
            if not left or self._over(ends):
                break
        for result in results:
            if result.error is None:
                self._recent.put(result.page, result.output.result, result.stored)
        return [result.error for result in results]

    def _try(self, results: Sequence[_Result], ends: float) -> None:
        """Together. Where that fails each by itself: what is wrong with one's folder, or does not fit on the disk,
        must not put off the others. Nobody is tried alone once time is over: a disk may take long to fail."""
        if len(results) == 1:
            results[0].error = self._error(results[0].left)
            return
        error = self._error([new for result in results for new in result.left])
        for result in results:
            if error is None or time.monotonic() < ends:
                result.error = error and self._error(result.left)
            else:
                result.error = result.error or error

    def _error(self, objects: list[NewObject]) -> Exception | None:
        try:
            self._put(objects)
        except Exception as error:  # noqa: BLE001 - a value: neighbours must not suffer
            return error
        return None

    def put_all(self, objects: Sequence[NewObject]) -> None:
        """Again and again for a short while. Raises StorageUnavailable or StorageFull when that or the process ends."""
        ends = time.monotonic() + min(self._patience, OTHERS_WAIT)
        left = list(objects)
        while True:
            try:
                return self._put(left)
            except _AWAY:
                if self._over(ends):
                    raise

    def _put(self, objects: list[NewObject]) -> None:
        """Where each object goes by itself those that are put leave the list, and are not put again: a store that
        refuses one call in ten would never take all of a page with forty figures in one go."""
        if self.bundle > 1:
            self._blobs.put_all(objects)
            return
        while objects:
            self._blobs.put(*objects[0])
            del objects[0]

    def _over(self, ends: float) -> bool:
        """Waits a moment where it is not."""
        return time.monotonic() >= ends or self._stop.wait(RETRY_EVERY)


_AWAY = (StorageUnavailable, StorageFull)


@dataclass(eq=False, slots=True)
class _Result:
    """A page's result on its way to the store."""

    page: ClaimedPage
    output: PageOutput
    stored: bytes = b""
    left: list[NewObject] = field(default_factory=list)
    error: Exception | None = None

    def make(self) -> bool:
        """The objects that are to be put; False where they cannot be made."""
        try:
            self.stored = self.output.result.model_dump_json(exclude_none=True).encode()
            self.left = list(_objects(self.page, self.output, self.stored))
        except Exception as error:  # noqa: BLE001 - a value: neighbours must not suffer
            self.error = error
        return self.error is None


def _objects(page: ClaimedPage, output: PageOutput, stored: bytes) -> Iterator[NewObject]:
    """Figures first, then the page that shows them."""
    document = page.document
    for name, data in output.figures.items():
        yield NewObject(figure_key(document.job_id, document.id, page.number, page.attempt, name), data, "image/jpeg")
    yield NewObject(page_key(document.job_id, document.id, page.number, page.attempt), stored, "application/json")
