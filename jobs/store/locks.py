"""Row locks, in the one order that everybody keeps: worker (share), jobs, documents, pages; ids ascending.

Unordered counter updates deadlocked 825 of 1,800 transactions. Whoever changes pages' states holds their documents'
rows first, so that pages themselves need no order.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel import Session

from jobs.store.sql import Sql

_SHARE_WORKER = Sql("SELECT state FROM worker WHERE id = :worker {share}")
# A row that is updated twice in one transaction has its foreign key checked again, which locks the job FOR KEY SHARE
# after its documents. Nothing here changes a job's key, so that lock need not wait for ours, and must not: splits that
# charge and seal deadlocked with cancels in 29 of 150 races.
_LOCK_JOBS = Sql("SELECT id FROM job WHERE id IN (SELECT id FROM {list:ids(id text)}) ORDER BY id {no_key_update}")
_LOCK_DOCUMENTS = Sql("SELECT id FROM document WHERE id IN (SELECT id FROM {list:ids(id text)}) ORDER BY id {update}")


def share_worker(session: Session, worker: str) -> bool:
    """Hold our own worker row so that nobody declares us dead while we claim. False where that already happened."""
    return _SHARE_WORKER.run(session, worker=worker).scalar() == "alive"


def lock_jobs(session: Session, ids: Iterable[str]) -> list[str]:
    """Lock these jobs; returns those that exist, ascending."""
    return [row[0] for row in _LOCK_JOBS.run(session, ids=[{"id": i} for i in sorted(set(ids))])]


def lock_documents(session: Session, ids: Iterable[str]) -> list[str]:
    """Lock these documents; returns those that exist, ascending."""
    return [row[0] for row in _LOCK_DOCUMENTS.run(session, ids=[{"id": i} for i in sorted(set(ids))])]
