"""Hints on their way to Redis, which is a doorbell and may be away or frozen.

They go in two threads of their own, so that no other request waits for Redis; where it did not answer, it is left alone
for a while, and what is lost meanwhile is found by the next sweep.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread

from jobs.hints import Hint, HintList
from jobs.queue import BROKER_ERRORS

logger = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds for connecting to Redis, and for each answer."""
AWAY = 5.0
"""Seconds for which a Redis that did not answer is not asked again."""
THREADS = 2
UNDER_WAY = 256
"""Messages being passed on or waiting for a thread: one takes about a millisecond. What comes beyond is dropped."""


class HintRelay:
    """Of one event loop."""

    def __init__(self, hints: HintList, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hints = hints
        self._clock = clock
        self._threads = anyio.CapacityLimiter(THREADS)
        self._under_way = 0
        self._away_until = float("-inf")

    async def pass_on(self, hints: Sequence[Hint]) -> int:
        """How many were: all or none."""
        if self._under_way >= UNDER_WAY or self._away:
            return 0
        self._under_way += 1
        try:
            return await anyio.to_thread.run_sync(self._push, hints, limiter=self._threads)
        finally:
            self._under_way -= 1

    @property
    def _away(self) -> bool:
        return self._clock() < self._away_until

    def _push(self, hints: Sequence[Hint]) -> int:
        if self._away:  # since this message waits
            return 0
        try:
            self._hints.push(hints)
        except BROKER_ERRORS as error:
            self._away_until = self._clock() + AWAY
            logger.warning("inbox events are left to the next sweep: %s", error, extra={"action": "inbox_deaf"})
            return 0
        return len(hints)
