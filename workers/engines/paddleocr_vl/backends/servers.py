"""Several servers that hold the same model: which one is asked next, and which is left alone for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from workers.engines.paddleocr_vl.backends.replies import Trouble

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
"""Seconds for which a server that did not answer, or had too much to do, is left alone: doubles from the first."""
_MOST_DOUBLINGS = 10


class Server:
    """One base URL, and how it does. Belongs to one loop."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.outstanding = 0
        self._failures = 0
        self._well_at = 0.0
        self._tried_at = 0.0
        self.trouble = Trouble("away", "no server was asked", inside=False)
        """The last; says why it is left alone."""

    @property
    def failing(self) -> bool:
        """Nothing was served since its last failure."""
        return self._failures > 0

    @property
    def well_in(self) -> float:
        """Seconds until it may be asked again; 0 or less: now."""
        return max(self._well_at, self._tried_at) - time.monotonic()

    def served(self) -> None:
        """The pause that it asked for itself (429, Retry-After) stands: it ends what it has, and takes no more."""
        self._failures = 0
        self._tried_at = 0.0

    def failed(self, trouble: Trouble) -> None:
        """Leave it alone, twice as long as the last time, and at least for as long as it said.

        One that is broken only until it serves another request. Requests that failed together are one failure.
        """
        self.trouble = trouble
        if self.well_in <= 0:
            self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        pause = min(FIRST_PAUSE * 2 ** (max(self._failures, 1) - 1), LONGEST_PAUSE)
        well_at = time.monotonic() + max(pause, trouble.retry_after or 0.0)
        if trouble.kind == "broken":
            self._tried_at = max(self._tried_at, well_at)
        else:
            self._well_at = max(self._well_at, well_at)

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

    @property
    def trouble(self) -> Trouble:
        """Why none can be asked now: one that has too much to do is not away."""
        return min((server.trouble for server in self.all), key=lambda trouble: trouble.kind != "busy")

    async def next(self, until: float, rather_not: Collection[Server] = ()) -> Server | None:
        """The one with the fewest requests among those that are well, waiting for one until that time (monotonic).

        One of `rather_not` only where no other is well. None when none gets well in time.
        """
        while True:
            well = [server for server in self.all if server.well_in <= 0]
            if well:
                return _choice([server for server in well if server not in rather_not] or well)
            soonest = min(server.well_in for server in self.all)
            if time.monotonic() + soonest > until:
                return None
            await asyncio.sleep(soonest)


def _choice(well: Sequence[Server]) -> Server:
    """One that fails has the fewest requests all the time: it gets one at a time, until it serves that."""
    able = [server for server in well if not server.failing or not server.outstanding]
    return min(able or well, key=lambda server: server.outstanding)
