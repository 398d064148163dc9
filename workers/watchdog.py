"""What nobody else would notice of a worker that still sends heartbeats: a loop that stands still, memory that grows.

Every deadline of a page is kept by the engine's loop. Where foreign code never gives it back, no page ends any more,
and a database that hears of us every few seconds takes us for well (sentence 2 of the design: a watchdog on progress).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import psutil

log = logging.getLogger(__name__)

LOOKS = 8
"""Looks per stall time. Looks are counted, not seconds: a process that was stopped and goes on has missed none."""


class Watchdog:
    """Looks from a thread of its own at one loop and at the memory of this process."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        stall: float,
        memory: int | None,
        on_stall: Callable[[float], None],
        on_memory: Callable[[int], None],
    ) -> None:
        """`on_stall` is called once the loop has not answered for `stall` seconds; `on_memory` with every look that
        finds more than `memory` bytes resident, with their number."""
        self._loop, self._stall, self._memory = loop, stall, memory
        self._on_stall, self._on_memory = on_stall, on_memory
        self._every = stall / LOOKS
        self._answered = threading.Event()
        self._unanswered = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self.ask()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def silent(self) -> float:
        """Seconds for which the loop has not answered, by whole looks."""
        return self._unanswered * self._every

    @property
    def stands_still(self) -> bool:
        """Not for good yet; whoever watches from outside should know before we end ourselves."""
        return self._unanswered >= LOOKS / 2

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.look()

    def look(self) -> None:
        """One look at both."""
        self._look_at_loop()
        used = resident()
        if self._memory is not None and used > self._memory:
            self._on_memory(used)

    def _look_at_loop(self) -> None:
        if self._answered.is_set():
            self._unanswered = 0
            self.ask()
            return
        self._unanswered += 1
        if self._unanswered >= LOOKS:
            self._on_stall(self._unanswered * self._every)

    def ask(self) -> None:
        """Have the loop answer until the next look."""
        self._answered.clear()
        self._loop.call_soon_threadsafe(self._answered.set)


def resident() -> int:
    """Bytes of memory that this process occupies, without its render processes: those have limits of their own."""
    return int(psutil.Process().memory_info().rss)
