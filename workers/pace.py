"""How fast this worker reads, as its heartbeat tells: what waits is foretold from it (jobs/outlook.py)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW = 120.0
"""Seconds over which the pace is taken: several of the slowest pages, and soon over what is no longer true."""


class Pace:
    """Pages a second of the time in which there was something to read. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pages = 0
        self._since = clock()
        self._spans: deque[tuple[float, float, int]] = deque()
        """When it ended, its seconds, its pages."""

    def add(self, pages: int) -> None:
        """So many pages have ended."""
        with self._lock:
            self._pages += pages

    def measured(self, busy: bool) -> float | None:
        """The pace until now; None where nothing was read lately. Called with every heartbeat; `busy`: pages are held.
        A span between two calls in which nothing ended and nothing is held was idle and does not count."""
        now = self._clock()
        with self._lock:
            if self._pages or busy:
                self._spans.append((now, now - self._since, self._pages))
            self._since, self._pages = now, 0
            while self._spans and self._spans[0][0] <= now - WINDOW:
                self._spans.popleft()
            pages = sum(span[2] for span in self._spans)
            seconds = sum(span[1] for span in self._spans)
        return pages / seconds if pages and seconds > 0 else None
