"""Several servers that hold the same model: which one is asked next, and which is left alone for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
"""Seconds for which a server that did not answer, or had too much to do, is left alone: doubles from the first."""


class Server:
    """One base URL, and how it does. Belongs to one loop."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.outstanding = 0
        self._failures = 0
        self._well_at = 0.0

    @property
    def well_in(self) -> float:
        """Seconds until it may be asked again; 0 or less: now."""
        return self._well_at - time.monotonic()

    def served(self) -> None:
        self._failures = 0
        self._well_at = 0.0

    def leave_alone(self, seconds: float | None = None) -> None:
        """For `seconds`, where it said how long; else twice as long as the last time."""
        pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE) if seconds is None else seconds
        self._failures += 1
        self._well_at = max(self._well_at, time.monotonic() + pause)

    @contextmanager
    def asked(self) -> Iterator[None]:
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1


class Servers:
    """Spreads requests by what is outstanding: a slow server gets fewer, and two of one speed get the same."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.all = [Server(url) for url in urls]

    async def next(self, until: float) -> Server | None:
        """The one with the fewest requests among those that are well, waiting for one until that time (monotonic).

        None when none gets well in time.
        """
        while True:
            well = [server for server in self.all if server.well_in <= 0]
            if well:
                return min(well, key=lambda server: server.outstanding)
            soonest = min(server.well_in for server in self.all)
            if time.monotonic() + soonest > until:
                return None
            await asyncio.sleep(soonest)
