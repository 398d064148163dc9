"""One place in a pool: the thread that keeps a render process there and feeds it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from jobs import context, logs
from jobs.errors import EngineUnavailable
from workers.render.calls import MAX_DEATHS, InspectCall, PageCall
from workers.render.child import Child, ChildDied, Death
from workers.render.messages import Failure, Start

if TYPE_CHECKING:
    from workers.render.pool import PoolPage, RenderPool

LOGGER = logging.getLogger(__name__)

CLOSED = "the render pool is closed"

START_SECONDS = 600.0
"""Loading the page half's models, outside any page's deadline."""

START_TRIES = 3
"""Failed restarts in a row after which the place is given up."""

_RESTART_PAUSE = 0.5
_SLACK = 256 * 1024 * 1024
"""The parent's limit lies this far above the child's own, which gives the better error."""

_RGB_BYTES = 4


class Slot:
    """The thread alone talks to the child. Its other attributes are guarded by the pool's lock."""

    def __init__(self, pool: RenderPool, index: int) -> None:
        self._pool = pool
        self._index = index
        self._wake = threading.Condition(pool.lock)
        self._again: PageCall | InspectCall | None = None
        self.thread = threading.Thread(target=self._run, name=f"render-{index}", daemon=True)
        self.ready: Future[None] = Future()
        """Done when the first process is ready, or with why there is none."""
        self.child: Child | None = None
        self.held: set[PoolPage] = set()
        self.turns: deque[PoolPage] = deque()
        """One entry for each waiting call of a held page."""
        self.released: list[PoolPage] = []
        self.idle = False
        """Waits for something to do."""
        self.lost = False
        """Given up."""

    # --- under the pool's lock, by any thread ---

    def has_room(self) -> bool:
        return len(self.held) < self._pool.held_pages

    def notify(self) -> None:
        self.idle = False  # so that the next new page wakes another one
        self._wake.notify()

    def shut(self) -> None:
        self._wake.notify()
        if self.child is not None:
            self.child.kill()

    # --- the slot's own thread ---

    def _run(self) -> None:
        try:
            while self._keep_child():
                call = self._take()
                if call is not None:
                    self._execute(call)
        finally:
            self._retire()

    def _keep_child(self) -> bool:
        """Make sure of a living process. False when the pool is closed or this place is given up."""
        if self.child is not None and not self.child.alive():
            self.child.reap()
            self._bury()
        failures = 0
        while self.child is None and self._pool.closed is None and not self.lost:
            reason = self._spawn()
            if reason is not None:
                failures += 1
                self._cope(reason, failures)
        if self.child is not None and not self.ready.done():
            self.ready.set_result(None)
        return self._pool.closed is None and not self.lost

    def _cope(self, reason: str, failures: int) -> None:
        """Pause before the next try, or give up: at once where the very first start fails, which `start` reports."""
        if self._pool.closed is not None:
            return
        LOGGER.error("render process %d cannot start: %s", self._index, reason)
        first = not self.ready.done()
        if first:
            self.ready.set_exception(EngineUnavailable(reason))
        if first or failures == START_TRIES:
            self._hand_back()
            self._pool.slot_lost(reason)
            return
        with self._pool.lock:
            self._wake.wait_for(lambda: self._pool.closed is not None, _RESTART_PAUSE * 2**failures)

    def _hand_back(self) -> None:
        """Give this place up: what it would have tried again goes first in line for the others."""
        with self._pool.lock:
            self.lost = True
            if isinstance(self._again, PageCall):
                self._again.page.calls.appendleft(self._again)
            elif self._again is not None:
                self._pool.inspections.appendleft(self._again)
            self._again = None
        self._bury()

    def _start_request(self) -> Start:
        pool = self._pool
        return Start(
            pool.page_half, pool.engine, pool.limits.max_page_pixels, pool.limits.render_memory,
            logs.chosen(), context.current(),
        )  # fmt: skip

    def _spawn(self) -> str | None:
        """Start a process; why there is none."""
        pool = self._pool
        try:
            child = Child()
        except OSError as error:
            return f"no process can be started: {error.strerror or error}"
        with pool.lock:
            self.child = child
            if pool.closed is not None:
                child.kill()
        try:
            answer = child.ask(self._start_request(), START_SECONDS)
        except ChildDied as died:
            self._bury()
            return f"{died.death.describe()} while starting"
        if isinstance(answer, Failure):
            child.kill()
            child.reap()
            self._bury()
            return answer.error.detail
        held = pool.held_pages * pool.limits.max_page_pixels * _RGB_BYTES
        child.weigh(pool.limits.render_memory, held + _SLACK)
        return None

    def _take(self) -> PageCall | InspectCall | None:
        """The next call, waiting for one. None when the child or the pool needs looking at first."""
        with self._pool.lock:
            while self._pool.closed is None:
                self._let_go()
                call = self._next()
                if call is None:
                    self.idle = True
                    self._wake.wait()
                    self.idle = False
                    return None
                if call.begin():
                    self._pool.wake_one()
                    return call
        return None

    def _let_go(self) -> None:
        pages = [page for page in self.released if page.released and page in self.held]
        self.released.clear()
        if pages and self.child is not None:
            self.held.difference_update(pages)
            for page in pages:
                page.slot = None
            self.child.release(tuple(page.source.token for page in pages))

    def _next(self) -> PageCall | InspectCall | None:
        if self._again is not None:
            call, self._again = self._again, None
            return call
        while self.turns:
            page = self.turns.popleft()
            if page.calls and page.slot is self:
                return page.calls.popleft()
        if self._pool.inspections:
            return self._pool.inspections.popleft()
        return self._adopt()

    def _adopt(self) -> PageCall | None:
        """The first call of a page that has no process yet; it stays here from now on."""
        while self._pool.pages and self.has_room():
            page = self._pool.pages.popleft()
            while page.calls and page.calls[0].future.cancelled():
                page.calls.popleft().begin()
            if page.calls:
                page.slot = self
                self.held.add(page)
                self.turns.extend([page] * (len(page.calls) - 1))
                return page.calls.popleft()
        return None

    def _execute(self, call: PageCall | InspectCall) -> None:
        assert self.child is not None
        try:
            answer = self.child.ask(call.request, call.seconds(self._pool.limits))
        except ChildDied as died:
            self._judge(call, died.death)
            self._bury()
            return
        if isinstance(answer, Failure) and answer.worn and call.deaths + 1 < MAX_DEATHS:
            LOGGER.warning("render process %d has leaked memory and is replaced", self._index)
            self._again, call.deaths = call, call.deaths + 1
            self.child.kill()
            return
        call.settle(answer)

    def _judge(self, call: PageCall | InspectCall, death: Death) -> None:
        if death.reason == "closed":
            call.fail(EngineUnavailable(self._pool.closed or CLOSED))
            return
        LOGGER.warning("%s (%s)", death.describe(), death.reason)
        if death.reason == "crash" and call.deaths + 1 < MAX_DEATHS:
            call.deaths += 1
            self._again = call
        else:
            call.fail(call.error(death, self._pool.limits))

    def _bury(self) -> None:
        """The process is gone; its pages have none now, but for the one that is tried again here."""
        with self._pool.lock:
            self.child = None
            again = self._again.page if isinstance(self._again, PageCall) else None
            homeless = [page for page in self.held if page is not again]
            self.held.difference_update(homeless)
            self.turns = deque(page for page in self.turns if page is again)
            self._pool.requeue(homeless)

    def _retire(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.reap()
            self._bury()
        reason = self._pool.closed or CLOSED
        if self._again is not None:
            self._again.fail(EngineUnavailable(reason))
        if not self.ready.done():
            self.ready.set_exception(EngineUnavailable(reason))
