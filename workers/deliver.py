"""Deliver: purging deleted jobs, which takes its time. The same queue's webhooks are in workers/webhooks.py.

A message is only accepted by its task; purging is for a thread of our own, one job at a time, so that a store that
hangs takes no thread of webhooks, fetches and publications. Rescue rings again until a job is purged, and any worker
may hear it: a lease says who is at it, so that a large job is not listed and deleted by all of them at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobs import deletion
from jobs.blobs import BlobStore
from jobs.errors import PagemillError
from jobs.ids import new_worker_id
from jobs.store import leases
from jobs.store.database import Database
from jobs.store.ending import purge_lease

log = logging.getLogger(__name__)

WAITING = 16
"""Jobs accepted and not yet purged; what comes beyond is rung again by rescue."""
CLOSING = 2.0
"""Seconds that a purge under way may take when the worker ends. Another worker purges what it leaves."""
LEASE = 60.0
"""Seconds for which a purge is ours without another word. Renewed while it goes on; a store that hangs for longer, or
our death, leaves it to others."""


class _TakenOver(Exception):
    """Another worker purges the job: we have said nothing for too long."""


class Purger:
    """Runs `purge` messages. Thread-safe."""

    def __init__(self, db: Database, blobs: BlobStore, lease: float = LEASE) -> None:
        self._db, self._blobs, self._lease = db, blobs, lease
        self._holder = new_worker_id()
        self._changed = threading.Condition()
        self._jobs: list[str] = []
        """The first one is being purged, the others wait."""
        self._closed = False

    def run(self, job: str) -> bool:
        """Accept the purge of a deleted job and return; whether it was. Rung again while it takes long: once is
        enough."""
        with self._changed:
            if self._closed or job in self._jobs or len(self._jobs) > WAITING:
                return False
            self._jobs.append(job)
            if len(self._jobs) == 1:
                threading.Thread(target=self._purge_all, name="purge", daemon=True).start()
        return True

    def wait(self, timeout: float) -> bool:
        """Until nothing waits or runs; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs, timeout)

    def close(self) -> None:
        """Begin nothing more, and leave what takes longer than a moment."""
        with self._changed:
            self._closed = True
            del self._jobs[1:]
        if not self.wait(CLOSING):
            log.warning("a purge under way is left", extra={"action": "purge_left"})
            self._leave()

    def _leave(self) -> None:
        """What is under way to whoever hears it next, at once."""
        with self._changed:
            jobs = self._jobs[:1]
        for job in jobs:
            try:
                self._give_back(job)
            except PagemillError as error:
                log.warning("the lease runs out by itself: %s", error, extra={"action": "lease_kept", "job": job})

    def _purge_all(self) -> None:
        job: str | None = self._jobs[0]
        while job is not None:
            self._purge(job)
            with self._changed:
                self._jobs.pop(0)
                job = next(iter(self._jobs), None)
                self._changed.notify_all()

    def _purge(self, job: str) -> None:
        try:
            if self._take(job):
                with self._held(job) as renew:
                    deletion.purge(self._db, self._blobs, job, renew)
        except _TakenOver:
            log.info("another worker purges %s", job, extra={"action": "purge_taken_over", "job": job})
        except PagemillError as error:
            extra = {"action": "purge_put_off", "job": job, "code": error.code}
            log.warning("the purge of %s is put off: %s", job, error, extra=extra)
        except Exception:
            # The edge of this thread; rescue rings again.
            log.exception("%s cannot be purged", job, extra={"action": "purge_failed", "job": job})

    @contextmanager
    def _held(self, job: str) -> Iterator[Callable[[], None]]:
        """Gives what is to be called between two pieces of work; raises _TakenOver there."""
        renewed = time.monotonic()

        def renew() -> None:
            nonlocal renewed
            if time.monotonic() - renewed < self._lease / 3:
                return
            if not self._take(job):
                raise _TakenOver
            renewed = time.monotonic()

        try:
            yield renew
        finally:
            self._give_back(job)

    def _take(self, job: str) -> bool:
        with self._db.write() as session:
            return leases.take_lease(session, purge_lease(job), self._holder, self._lease)

    def _give_back(self, job: str) -> None:
        with self._db.write() as session:
            leases.give_lease_back(session, purge_lease(job), self._holder)
