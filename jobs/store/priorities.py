"""A job's class, changed while it waits."""

from __future__ import annotations

from sqlmodel import Session

from jobs.store.locks import lock_documents, lock_jobs
from jobs.store.sql import Sql

_DOCUMENTS = Sql("SELECT id FROM document WHERE job_id = :job AND priority <> :priority ORDER BY id")
_SET_DOCUMENTS = Sql("UPDATE document SET priority = :priority WHERE id IN (SELECT id FROM {list:ids(id text)})")
_SET_JOB = Sql("UPDATE job SET priority = :priority WHERE id = :job")


def set_priority(session: Session, job: str, priority: int) -> None:
    """Put the job and its documents into a class of jobs/fairness.py. What is in flight stays where it is; everything
    that is rung from now on, after a retry too, goes by the new class."""
    if not lock_jobs(session, [job]):
        return
    ids = lock_documents(session, [row[0] for row in _DOCUMENTS.run(session, job=job, priority=priority)])
    _SET_DOCUMENTS.run(session, priority=priority, ids=[{"id": i} for i in ids])
    _SET_JOB.run(session, job=job, priority=priority)
