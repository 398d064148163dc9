"""Deliver: purging deleted jobs, which takes its time. The same queue's webhooks are in workers/webhooks.py.

A message is only accepted by its task; purging is for a thread of our own, one job at a time, so that a store that
hangs takes no thread of webhooks, fetches and publications.
"""

from __future__ import annotations

import logging
import threading

from jobs import lifecycle
from jobs.blobs import BlobStore
from jobs.errors import PagemillError
from jobs.store.database import Database

log = logging.getLogger(__name__)

WAITING = 16
"""Jobs accepted and not yet purged; what comes beyond is rung again by rescue."""
CLOSING = 2.0
"""Seconds that a purge under way may take when the worker ends. Another worker purges what it leaves."""


class Purger:
    """Runs `purge` messages. Thread-safe."""

    def __init__(self, db: Database, blobs: BlobStore) -> None:
        self._db, self._blobs = db, blobs
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
            lifecycle.purge(self._db, self._blobs, job)
        except PagemillError as error:
            extra = {"action": "purge_put_off", "job": job, "code": error.code}
            log.warning("the purge of %s is put off: %s", job, error, extra=extra)
        except Exception:
            # The edge of this thread; rescue rings again.
            log.exception("%s cannot be purged", job, extra={"action": "purge_failed", "job": job})
