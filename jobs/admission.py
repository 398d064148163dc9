"""Whether a key may submit more now: its backlog and its day (jobs/models.KeyLimits)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobs.errors import QueueFull, QuotaExceeded
from jobs.models import KeyLimits
from jobs.store import usage
from jobs.store.database import Database

BACKLOG_RETRY = 10
"""Seconds: after which a backlog that is full has usually moved."""


def check(db: Database, owner: str, limits: KeyLimits) -> None:
    """Raises QueueFull and QuotaExceeded, with limit, actual and when to come again.

    Asked before a body is received, so that requests side by side may pass together: a backlog can be exceeded by what
    was on its way. Pages of the day are counted exactly, when documents are split.
    """
    if limits.backlog_pages is None and limits.pages_per_day is None:
        return
    with db.read() as session:
        waiting = 0 if limits.backlog_pages is None else usage.backlog(session, owner)
        used = 0 if limits.pages_per_day is None else usage.used_today(session, owner)
    if limits.backlog_pages is not None and waiting >= limits.backlog_pages:
        raise QueueFull(
            f"{waiting} pages of this key's jobs have not ended; it may have {limits.backlog_pages}",
            where="backlog_pages", limit=limits.backlog_pages, actual=waiting, retry_after=BACKLOG_RETRY,
        )  # fmt: skip
    if limits.pages_per_day is not None and used >= limits.pages_per_day:
        raise quota_exceeded(limits.pages_per_day, used)


def quota_exceeded(limit: int, actual: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"this key may have {limit} pages read a day; the next day begins at midnight UTC",
        where="pages_per_day", limit=limit, actual=actual, retry_after=_to_midnight(),
    )  # fmt: skip


def _to_midnight() -> int:
    now = datetime.now(UTC)
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((tomorrow - now).total_seconds()) + 1
