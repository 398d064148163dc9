"""Several at a time of what comes one by one: whatever came while others were worked on goes together."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

THREADS = 2
"""That work on bundles: one is on its way to the disk while the next one is made."""
SINGLY = 1000
"""Where there are none: as many as the executor has."""


class Bundles(Generic[T]):
    """Hands what is added to threads of an executor, in order, in bundles. Thread-safe."""

    def __init__(self, executor: Executor, work: Callable[[list[T]], None], *, size: int) -> None:
        """`size`: of a bundle at most; with 1 all of the executor's threads work."""
        self._executor = executor
        self._work = work
        self._size = size
        self._idle = THREADS if size > 1 else SINGLY
        self._lock = threading.Lock()
        self._added: deque[T] = deque()

    def add(self, item: T) -> None:
        with self._lock:
            self._added.append(item)
            if not self._idle:
                return
            self._idle -= 1
        self._executor.submit(self._run)

    def _run(self) -> None:
        while bundle := self._next():
            try:
                self._work(bundle)
            except Exception:
                # The edge of these threads, which must outlive what nobody expected.
                log.exception("%d results are left", len(bundle), extra={"action": "store_failed"})

    def _next(self) -> list[T]:
        """Empty where nothing is left: this thread is idle then."""
        with self._lock:
            bundle = [self._added.popleft() for _ in range(min(self._size, len(self._added)))]
            if not bundle:
                self._idle += 1
            return bundle
