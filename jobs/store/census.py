"""What there is, counted for metrics (jobs/metrics.py) so that no page is looked at that has succeeded or waits.

Pages and documents are counted by the totals that are folded into their jobs (jobs/store/closing.py): one row of `job`
for each submission, purged ones too. The rest goes by partial indexes: what is open, in flight or failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from jobs.fairness import INTERACTIVE
from jobs.models import PageState, State
from jobs.store import outlook, workers
from jobs.store.clock import rfc3339
from jobs.store.sql import Sql

_PAGES = tuple(state.value for state in PageState if state is not PageState.PENDING)
_DOCUMENTS = ("succeeded", "partial", "failed", "canceled")
_JOBS = Sql(
    f"""SELECT state, purged_at IS NULL, count(*), sum(pages_total),
               {", ".join(f"sum(pages_{state})" for state in _PAGES)},
               {", ".join(f"sum(documents_{state})" for state in _DOCUMENTS)}
        FROM job GROUP BY state, purged_at IS NULL"""
)
_OPEN_DOCUMENTS = Sql("SELECT state, count(*) FROM document WHERE state IN ('queued','running') GROUP BY state")
_FAILED_PAGES = Sql(
    "SELECT coalesce({text_of:page.error.code}, ''), count(*) FROM page WHERE state = 'failed' GROUP BY 1"
)
_FAILED_DOCUMENTS = Sql(
    """SELECT coalesce({text_of:document.error.code}, ''), count(*) FROM document
       WHERE (error IS NOT NULL OR failed > 0) AND state = 'failed' GROUP BY 1"""
)
# As jobs/store/outlook.py counts them: a document that is not split yet is a page.
_BACKLOG = Sql(
    """SELECT engine, priority, sum(CASE WHEN pages > documents THEN pages ELSE documents END)
       FROM (SELECT engine, priority,
                    pages_total - pages_succeeded - pages_failed - pages_canceled AS pages,
                    documents_total - documents_succeeded - documents_partial - documents_failed - documents_canceled
                      AS documents
             FROM job WHERE state IN ('queued','running')) AS open
       GROUP BY engine, priority"""
)
_OLDEST = Sql(
    """SELECT engine, priority, min(since), {now}
       FROM (SELECT engine, priority, coalesce(started_at, created_at) AS since FROM document
             WHERE state = 'running' AND pending > 0 AND owner NOT IN (SELECT owner FROM pause)
             UNION ALL
             SELECT engine, priority, created_at FROM document
             WHERE state IN ('queued','running') AND NOT sealed AND worker IS NULL
               AND owner NOT IN (SELECT owner FROM pause)) AS waiting
       GROUP BY engine, priority"""
)
_FLIGHT = Sql(
    """SELECT d.engine, sum(p.rung), sum(1 - p.rung)
       FROM (SELECT document_id, 1 AS rung FROM page WHERE state = 'pending' AND rung_at IS NOT NULL
             UNION ALL SELECT document_id, 0 FROM page WHERE state = 'running') AS p
       JOIN document d ON d.id = p.document_id GROUP BY d.engine"""
)
_WORKERS = Sql("SELECT engine, state, count(*) FROM worker GROUP BY engine, state")
_HEARTBEATS = Sql("SELECT host, slot, heartbeat_at, {now} FROM worker WHERE state IN ('alive', 'draining')")
_PAUSED = Sql("SELECT count(*) FROM pause")
_WEBHOOKS = Sql(
    "SELECT count(*), min(next_at), {now} FROM webhook_delivery WHERE state = 'pending' AND next_at <= {now}"
)

Turn = tuple[str, str]
"""Engine, and the class: `interactive` or `batch`."""


@dataclass(slots=True)
class Census:
    """Counts and ages (seconds) of one moment, or nearly."""

    pages: Counter[str] = field(default_factory=Counter)
    """By state; so documents and jobs."""
    documents: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    pages_read: int = 0
    pages_failed: dict[str, int] = field(default_factory=dict)
    """By code; empty where none was written down. So documents."""
    documents_failed: dict[str, int] = field(default_factory=dict)
    backlog: dict[Turn, int] = field(default_factory=dict)
    ages: dict[Turn, float] = field(default_factory=dict)
    rung: dict[str, int] = field(default_factory=dict)
    """By engine; so the next ones."""
    held: dict[str, int] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    workers: dict[Turn, int] = field(default_factory=dict)
    """By engine and state."""
    heartbeats: dict[tuple[str, str], float] = field(default_factory=dict)
    """Ages by host and slot."""
    paused: int = 0
    webhooks_due: int = 0
    webhook_age: float = 0.0

    @property
    def eta(self) -> dict[str, float]:
        """Seconds until an engine's backlog is read, of engines of which a pace is known."""
        left: Counter[str] = Counter()
        for (engine, _), pages in self.backlog.items():
            left[engine] += pages
        return {engine: left[engine] / pace for engine, pace in self.pace.items() if pace > 0}


def census(session: Session, fresh: float) -> Census:
    """`fresh`: seconds after which a worker that has said nothing reads nothing."""
    found = Census()
    _count_jobs(session, found)
    found.pages_failed = _numbers(_FAILED_PAGES.run(session))
    found.documents_failed = _numbers(_FAILED_DOCUMENTS.run(session))
    found.backlog = {(row[0], _class(row[1])): int(row[2]) for row in _BACKLOG.run(session)}
    found.ages = {(row[0], _class(row[1])): _seconds(row[2], row[3]) for row in _OLDEST.run(session)}
    for engine, rung, held in _FLIGHT.run(session):
        found.rung[engine], found.held[engine] = int(rung), int(held)
    _ask_workers(session, found, fresh)
    found.paused = int(_PAUSED.run(session).scalar_one())
    due, oldest, now = _WEBHOOKS.run(session).one()
    found.webhooks_due = int(due)
    found.webhook_age = 0.0 if oldest is None else _seconds(oldest, now)
    return found


def _count_jobs(session: Session, found: Census) -> None:
    found.pages.update(dict.fromkeys(PageState, 0))
    found.documents.update(dict.fromkeys(State, 0))
    found.jobs.update(dict.fromkeys(State, 0))
    for state, there, jobs, total, *sums in _JOBS.run(session):
        pages = dict(zip(_PAGES, map(int, sums), strict=False))
        found.pages_read += pages["succeeded"]
        if not there:
            continue  # its row stays, what it counts is gone
        found.jobs[state] += jobs
        found.pages.update(pages | {"pending": int(total) - sum(pages.values())})
        found.documents.update(dict(zip(_DOCUMENTS, map(int, sums[len(_PAGES) :]), strict=True)))
    found.documents.update(_numbers(_OPEN_DOCUMENTS.run(session)))


def _ask_workers(session: Session, found: Census, fresh: float) -> None:
    found.workers = {(row[0], row[1]): int(row[2]) for row in _WORKERS.run(session)}
    found.heartbeats = {(row[0], row[1]): _seconds(row[2], row[3]) for row in _HEARTBEATS.run(session)}
    found.capacity = {engine: capacity.total for engine, capacity in workers.capacities(session).items()}
    found.pace = outlook.pace(session, fresh)


def _numbers(rows: Iterable[Any]) -> dict[str, int]:
    return {row[0]: int(row[1]) for row in rows}


def _class(priority: int) -> str:
    return "interactive" if priority == INTERACTIVE else "batch"


def _seconds(since: Any, now: Any) -> float:
    """Between two times of the database, as either of the two gives them."""
    begin, end = (datetime.fromisoformat(rfc3339(value)) for value in (since, now))
    return max(0.0, (end - begin).total_seconds())
