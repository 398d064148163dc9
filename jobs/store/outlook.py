"""What the outlook of jobs stands on, asked so that no page and no document is looked at."""

from __future__ import annotations

from sqlmodel import Session

from jobs.outlook import Outlook, Waiting
from jobs.store.sql import Sql

LIMIT = 100_000
"""Open jobs that are looked at, the oldest."""
IN_FLIGHT = 3
"""Pages in flight per page of capacity: held by a worker, and as dispatch rings them (jobs/dispatch.py, WINDOW)."""

# Of open jobs alone (ix_job_open), by their folded totals.
_WAITING = Sql(
    """SELECT engine, priority, owner, id, CASE WHEN pages > documents THEN pages ELSE documents END
       FROM (SELECT engine, priority, owner, id,
                    pages_total - pages_succeeded - pages_failed - pages_canceled AS pages,
                    documents_total - documents_succeeded - documents_partial - documents_failed - documents_canceled
                      AS documents
             FROM job WHERE state IN ('queued','running') ORDER BY id LIMIT :limit) AS open
       WHERE pages > 0 OR documents > 0 ORDER BY id"""
)
_PAUSED = Sql("SELECT owner FROM pause")
_WORKERS = Sql(
    """SELECT engine, sum(capacity), sum(pace) FROM worker
       WHERE state = 'alive' AND heartbeat_at > {later:-:fresh} GROUP BY engine"""
)


def outlook(session: Session, fresh: float) -> Outlook:
    """`fresh`: seconds after which a worker that has said nothing reads nothing."""
    waiting = [Waiting(*row) for row in _WAITING.run(session, limit=LIMIT)]
    workers = _WORKERS.run(session, fresh=fresh).all()
    return Outlook(
        waiting,
        paused=[row[0] for row in _PAUSED.run(session)],
        pace={row[0]: float(row[2]) for row in workers if row[2]},
        places={row[0]: IN_FLIGHT * int(row[1]) for row in workers if row[1]},
        complete=len(waiting) < LIMIT,
    )


def pace(session: Session, fresh: float) -> dict[str, float]:
    """Pages a second that the living workers of each engine say that they read; absent where none says anything."""
    return {row[0]: float(row[2]) for row in _WORKERS.run(session, fresh=fresh) if row[2]}
