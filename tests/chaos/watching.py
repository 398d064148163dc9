"""Looks at the database all the time: how many pages have succeeded, when, and whether the books are right."""

from __future__ import annotations

import bisect
import threading
import time

from sqlalchemy import text

from jobs.errors import DatabaseUnavailable
from jobs.store.database import Database

EVERY = 0.1
BOOKS_EVERY = 2.0

_PROGRESS = """SELECT (SELECT coalesce(sum(succeeded), 0) FROM document),
    (SELECT count(*) FROM job WHERE state IN ('queued', 'running') AND deleted_at IS NULL)"""
# One statement, one snapshot: whatever runs beside it, rows and counters agree.
_BOOKS = """SELECT d.id, d.total, d.pending, d.running, d.succeeded, d.failed, d.canceled, d.sealed, d.state
    FROM document d LEFT JOIN (
        SELECT document_id, count(*) AS n,
            sum(CASE WHEN state = 'pending' THEN 1 ELSE 0 END) AS pending,
            sum(CASE WHEN state = 'running' THEN 1 ELSE 0 END) AS running,
            sum(CASE WHEN state = 'succeeded' THEN 1 ELSE 0 END) AS succeeded,
            sum(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS failed,
            sum(CASE WHEN state = 'canceled' THEN 1 ELSE 0 END) AS canceled
        FROM page GROUP BY document_id) p ON p.document_id = d.id
    WHERE d.total <> coalesce(p.n, 0) OR d.pending <> coalesce(p.pending, 0) OR d.running <> coalesce(p.running, 0)
        OR d.succeeded <> coalesce(p.succeeded, 0) OR d.failed <> coalesce(p.failed, 0)
        OR d.canceled <> coalesce(p.canceled, 0)
        OR (d.state NOT IN ('queued', 'running') AND (d.pending > 0 OR d.running > 0))
    LIMIT 20"""


class Watcher(threading.Thread):
    """`violations` are sentences; `open_jobs` is what it saw last."""

    def __init__(self, db: Database) -> None:
        super().__init__(name="watcher", daemon=True)
        self._db = db
        self._stopping = threading.Event()
        self._last = 0
        self.succeeded = 0
        """Pages that were seen to succeed; those of jobs that are purged stay counted."""
        self.moments: list[float] = []
        """When some had succeeded since the last look, by the monotonic clock."""
        self.open_jobs = 0
        self.looks = 0
        """How often the books were looked at."""
        self.violations: set[str] = set()

    def run(self) -> None:
        books = 0.0
        while not self._stopping.wait(EVERY):
            try:
                self._look()
                if time.monotonic() - books > BOOKS_EVERY:
                    self._look_at_books()
                    books = time.monotonic()
            except DatabaseUnavailable:
                continue

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _look(self) -> None:
        with self._db.read() as session:
            [(succeeded, self.open_jobs)] = session.connection().execute(text(_PROGRESS))
        if succeeded > self._last:
            self.succeeded += succeeded - self._last
            self.moments.append(time.monotonic())
        self._last = succeeded

    def _look_at_books(self) -> None:
        with self._db.read() as session:
            rows = session.connection().execute(text(_BOOKS)).all()
        self.looks += 1
        self.violations.update(f"in the middle: {row[0]} counts {tuple(row[1:])}" for row in rows)

    def recovery(self, since: float) -> float | None:
        """Seconds until the next page succeeded; None where none has."""
        index = bisect.bisect_right(self.moments, since)
        return self.moments[index] - since if index < len(self.moments) else None
