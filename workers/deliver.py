"""Deliver: purging deleted jobs, which takes its time. The same queue's webhooks are in workers/webhooks.py."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from jobs import lifecycle
from jobs.blobs import BlobStore
from jobs.store.database import Database


@dataclass(frozen=True, slots=True)
class Purger:
    """Runs `purge` messages. Thread-safe."""

    db: Database
    blobs: BlobStore
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: set[str] = field(default_factory=set)

    def run(self, job: str) -> bool:
        """Purge a deleted job; whether everything of it is gone. Rung again while it takes long: once is enough."""
        with self._lock:
            if job in self._running:
                return False
            self._running.add(job)
        try:
            return lifecycle.purge(self.db, self.blobs, job)
        finally:
            with self._lock:
                self._running.discard(job)
