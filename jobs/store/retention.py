"""Jobs and sources whose time is over."""

from __future__ import annotations

from sqlmodel import Session

from jobs.store import ending
from jobs.store.locks import lock_documents, lock_jobs
from jobs.store.sql import Sql

_EXPIRED = Sql(
    """SELECT id FROM job WHERE expires_at IS NOT NULL AND deleted_at IS NULL AND expires_at <= {now}
       ORDER BY expires_at LIMIT :limit"""
)
_STILL_EXPIRED = Sql("SELECT 1 FROM job WHERE id = :job AND expires_at <= {now} AND deleted_at IS NULL")
_STALE_SOURCES = Sql(
    """SELECT id FROM job WHERE sources_expire_at IS NOT NULL AND sources_expire_at <= {now}
       ORDER BY sources_expire_at LIMIT :limit"""
)
_DOCUMENTS = Sql(
    "SELECT id, source_key FROM document WHERE job_id = :job AND source_key <> '' ORDER BY id LIMIT :limit"
)
_STILL_STALE = Sql("SELECT 1 FROM job WHERE id = :job AND sources_expire_at <= {now}")
_FORGET_SOURCES = Sql("UPDATE document SET source_key = '' WHERE id IN (SELECT id FROM {list:ids(id text)})")
_FORGOTTEN = Sql("UPDATE job SET sources_expire_at = NULL WHERE id = :job")


def expired_jobs(session: Session, limit: int) -> list[str]:
    return [row[0] for row in _EXPIRED.run(session, limit=limit)]


def expire(session: Session, job: str) -> bool:
    """Delete the job if its time is still over: a retry may have reopened it."""
    if not lock_jobs(session, [job]) or _STILL_EXPIRED.run(session, job=job).first() is None:
        return False
    ending.mark_deleted(session, job)
    return True


def stale_sources(session: Session, limit: int) -> list[str]:
    """Ended jobs whose files are to be deleted."""
    return [row[0] for row in _STALE_SOURCES.run(session, limit=limit)]


def forget_sources(session: Session, job: str, limit: int = 2000) -> list[str]:
    """The keys of some of the job's files, which nothing names any more; none where all are forgotten, or a retry has
    reopened the job meanwhile."""
    if not lock_jobs(session, [job]) or _STILL_STALE.run(session, job=job).first() is None:
        return []
    found = {row[0]: row[1] for row in _DOCUMENTS.run(session, job=job, limit=limit)}
    _FORGET_SOURCES.run(session, ids=[{"id": i} for i in lock_documents(session, found)])
    if not found:
        _FORGOTTEN.run(session, job=job)
    return list(found.values())
