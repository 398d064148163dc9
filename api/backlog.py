"""The place of jobs in the queue, from an outlook that all requests of this process share for seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import anyio.to_thread

from jobs.errors import DatabaseUnavailable
from jobs.fairness import BATCH, INTERACTIVE
from jobs.models import FINAL, JobPublic, QueuePlace
from jobs.outlook import Outlook
from jobs.store import outlook
from jobs.store.database import Database
from jobs.store.following import Seen

FRESH = 2.0
"""Seconds for which an outlook counts, or that there was none."""
SHARE = 20
"""And so many times what it took to get it, so that with ever so many open jobs it costs a twentieth of the time …"""
STALE = 15.0
"""… up to so many seconds: the database may have been slow for once. One so old still does while a newer is made."""
SILENT = 30.0
"""Seconds after which a worker that has said nothing reads nothing: `heartbeat_stale`, as the workers have it."""


class Backlog:
    """Used by the event loop alone; asks the database in a thread, one request at a time."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = anyio.Lock()
        self._outlook: Outlook | None = None
        self._fresh_until = float("-inf")
        self._failed = False

    async def placed(self, seen: Seen) -> JobPublic:
        """The job with its place; without where it has ended, or where nothing is known."""
        job = seen.job
        known = None if job.state in FINAL else await self._current()
        if known is None:
            return job
        place = known.place(
            job.engine,
            INTERACTIVE if job.priority == "interactive" else BATCH,
            seen.owner,
            job.id,
            max(job.pages.pending + job.pages.running, job.documents.unfinished),
        )
        if place is None:
            return job
        eta = None if place.seconds is None else round(place.seconds, 1 if place.seconds < 10 else None)
        return job.model_copy(update={"queue": QueuePlace(pages_ahead=place.ahead, eta_seconds=eta)})

    async def _current(self) -> Outlook | None:
        """What is known, also where it could not be asked anew. A database that hangs fails after a minute: those who
        wait for an answer then take that failure for theirs, and nobody waits beside who tries it again."""
        now = self._clock()
        if now < self._fresh_until or (self._lock.locked() and (self._failed or now < self._fresh_until + STALE)):
            return self._outlook
        async with self._lock:
            if self._clock() < self._fresh_until:  # who held the lock has asked
                return self._outlook
            begun = self._clock()
            try:
                self._outlook = await anyio.to_thread.run_sync(self._ask)
                self._failed = False
            except DatabaseUnavailable:
                self._failed = True
            ended = self._clock()
            self._fresh_until = ended + min(max(FRESH, SHARE * (ended - begun)), STALE)
            return self._outlook

    def _ask(self) -> Outlook:
        with self._database.read() as session:
            return outlook.outlook(session, SILENT)
