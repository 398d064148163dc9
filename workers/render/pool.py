"""The worker's side of rendering: which page is rendered where, and what the death of a process means for whom.

A page stays with the process that rendered it until it is released; a process holds a few pages at once, so that it
renders the next ones while the engine works on the first, and further pages wait here. Each process has one thread,
which feeds it, and spawns its successor when it dies:

* over the deadline or the memory limit: killed; the call it worked on gets PageTimeout or PageRenderFailed, also where
  a library aborted because it got no more memory;
* died by itself: the call it worked on runs once more, alone in a fresh process; a second death is PageRenderFailed;
* the other pages it held are rendered again somewhere by their next call, which never notices.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobs.errors import EngineUnavailable
from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings
from workers.render.calls import InspectCall, PageCall, PendingCall
from workers.render.child import Child
from workers.render.messages import Inspection, PageSource, Source
from workers.render.slot import CLOSED, Slot

LOGGER = logging.getLogger(__name__)

HELD_PAGES = 3
"""Rendered pages a process keeps at once: one being worked on, one away in the engine, one ahead."""


_CLOCK_SECONDS = 0.1


class PoolPage:
    """One page of one document in a pool, under the `PageHandle` an engine sees. Use as `async with`, or release it."""

    def __init__(self, pool: RenderPool, source: PageSource, options: PageOptions) -> None:
        self._pool = pool
        self.source = source
        self._options = options
        # Below: owned by the pool, under its lock.
        self.calls: deque[PageCall] = deque()
        self.slot: Slot | None = None
        self.released = False

    @property
    def number(self) -> int:
        return self.source.number

    @property
    def options(self) -> PageOptions:
        return self._options

    async def call(self, method: str, *args: Any) -> Any:
        """Run `page_half.<method>(rendered_page, *args)` in the page's process; see `engines.base.PageHandle`.

        Cancelling the task drops a call that waits; one that runs is left to finish and its result is dropped.
        Raises EngineUnavailable when the pool is closed or its processes cannot be started again.
        """
        return await asyncio.wrap_future(self._pool.submit(PageCall(self, method, args)))

    def spend(self, tokens_in: int, tokens_out: int) -> None:
        """A pool keeps no account."""

    async def release(self) -> None:
        """Free the image. Never waits; calling it twice is fine."""
        self._pool.release(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


class RenderPool:
    """A fixed number of render processes. All methods are thread-safe."""

    def __init__(
        self,
        processes: int,
        page_half: str | None,
        engine: EngineSettings,
        limits: LimitSettings,
        *,
        held_pages: int = HELD_PAGES,
    ) -> None:
        self.page_half, self.engine, self.limits, self.held_pages = page_half, engine, limits, held_pages
        self.lock = threading.Lock()
        self.inspections: deque[InspectCall] = deque()
        self.pages: deque[PoolPage] = deque()
        """Pages with calls and without a process, each once."""
        self.closed: str | None = None
        """Why nothing is taken any more."""
        self._slots = [Slot(self, index) for index in range(processes)]
        self._tokens = itertools.count(1)
        self._stop_clock = threading.Event()
        self._clock = threading.Thread(target=self._watch, name="render-clock", daemon=True)

    def start(self) -> None:
        """Start every process and wait until they are ready. Raises EngineUnavailable with the first one's reason."""
        self._clock.start()
        for slot in self._slots:
            slot.thread.start()
        try:
            for slot in self._slots:
                slot.ready.result()
        except EngineUnavailable:
            self.close()
            raise

    def page(
        self,
        path: Path,
        media_type: str,
        number: int,
        options: PageOptions,
        dpi: int,
        password: str | None = None,
    ) -> PoolPage:
        """A handle for the page `number` (1-based) of the file at `path`, which must stay until it is released."""
        source = PageSource(next(self._tokens), Source(str(path), media_type, password), number, dpi)
        return PoolPage(self, source, options)

    def inspect(self, path: Path, media_type: str, password: str | None = None) -> Inspection:
        """Open a document and count its pages. Blocks. Raises what the future of `inspecting` raises."""
        return self.inspecting(path, media_type, password).result()

    def inspecting(self, path: Path, media_type: str, password: str | None = None) -> Future[Inspection]:
        """Have a document opened and its pages counted, in turn with others.

        The future raises CorruptFile, PasswordRequired, PasswordIncorrect, UnsupportedType; DeadlineExceeded after
        `split_timeout`; StorageUnavailable when the file itself cannot be read.
        """
        return self.submit(InspectCall(Source(str(path), media_type, password)))

    def submit(self, call: PageCall | InspectCall) -> PendingCall:
        """Queue a call; the future gives its result or error."""
        with self.lock:
            if self.closed is not None:
                raise EngineUnavailable(self.closed)
            if isinstance(call, InspectCall):
                self.inspections.append(call)
                self.wake_one()
            else:
                self._enqueue(call)
        return call.future

    def _enqueue(self, call: PageCall) -> None:
        page = call.page
        page.released = False
        page.calls.append(call)
        if page.slot is not None:
            page.slot.turns.append(page)
            page.slot.notify()
        elif len(page.calls) == 1:
            self.pages.append(page)
            self.wake_one()

    def release(self, page: PoolPage) -> None:
        """Forget a page: waiting calls are dropped, its image is freed as soon as its process is free."""
        with self.lock:
            page.released = True
            for call in page.calls:
                call.future.cancel()
            if page.slot is not None:
                page.slot.released.append(page)
                page.slot.notify()

    def requeue(self, pages: list[PoolPage]) -> None:
        """Pages whose process died: those with waiting calls go first in line. Called under the lock."""
        for page in reversed(pages):
            page.slot = None
            if page.calls:
                self.pages.appendleft(page)
        self.wake_one()

    def slot_lost(self, reason: str) -> None:
        """A slot cannot start its process any more; with the last one the pool ends."""
        if all(slot.lost for slot in self._slots):
            self._end(reason)

    def close(self) -> None:
        """Kill every process and fail whatever still waits. Blocks until nothing is left."""
        self._end(CLOSED)
        self._stop_clock.set()
        for thread in (self._clock, *(slot.thread for slot in self._slots)):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def _end(self, reason: str) -> None:
        with self.lock:
            self.closed = self.closed or reason
            waiting: list[PageCall | InspectCall] = [*self.inspections]
            self.inspections.clear()
            for page in [*self.pages, *(page for slot in self._slots for page in slot.held)]:
                waiting += page.calls
                page.calls.clear()
            self.pages.clear()
            for slot in self._slots:
                slot.shut()
        for call in waiting:
            call.fail(EngineUnavailable(reason))

    def wake_one(self) -> None:
        """One idle process for what waits, if there is one; it wakes the next where more waits. Under the lock."""
        for slot in self._slots:
            if slot.idle and (self.inspections or (self.pages and slot.has_room())):
                slot.notify()
                return

    def _watch(self) -> None:
        while not self._stop_clock.wait(_CLOCK_SECONDS):
            for child in self._children():
                child.check()

    def _children(self) -> list[Child]:
        with self.lock:
            return [slot.child for slot in self._slots if slot.child is not None]
