"""What the outlook of jobs stands on, asked so that no page and no document is looked at."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from jobs.outlook import Crowd, Outlook
from jobs.store.clock import rfc3339
from jobs.store.sql import Sql

# Of open jobs alone (ix_job_open), by their folded totals; thousands of small jobs of one owner are a few rows.
_CROWDS = Sql(
    """SELECT engine, priority, owner, to_come, count(*) FROM (
         SELECT engine, priority, owner, CASE WHEN pages > documents THEN pages ELSE documents END AS to_come FROM (
           SELECT engine, priority, owner,
                  pages_total - pages_succeeded - pages_failed - pages_canceled AS pages,
                  documents_total - documents_succeeded - documents_partial - documents_failed - documents_canceled
                    AS documents
           FROM job WHERE state IN ('queued','running')) AS open) AS measured
       WHERE to_come > 0 GROUP BY engine, priority, owner, to_come"""
)
_NOW = Sql("SELECT {now}")
_PAUSED = Sql("SELECT owner FROM pause")
_PACE = Sql(
    """SELECT engine, sum(pace) FROM worker
       WHERE state = 'alive' AND pace IS NOT NULL AND heartbeat_at > {later:-:fresh} GROUP BY engine"""
)


def outlook(session: Session, fresh: float) -> Outlook:
    """`fresh`: seconds after which a worker that has said nothing reads nothing."""
    at = rfc3339(_NOW.run(session).scalar_one())
    crowds = [Crowd(*row) for row in _CROWDS.run(session)]
    paused = [row[0] for row in _PAUSED.run(session)]
    pace = {row[0]: float(row[1]) for row in _PACE.run(session, fresh=fresh)}
    return Outlook(datetime.fromisoformat(at), crowds, paused, pace)
