"""Ends and new beginnings that a user asks for: cancel, retry, delete."""

from __future__ import annotations

from sqlmodel import Session

from jobs.store import publishing, webhooks
from jobs.store.closing import fold_totals
from jobs.store.locks import lock_documents, lock_jobs
from jobs.store.sql import Sql, within

DROPPED_DOCUMENTS, DROPPED_PAGES = 1000, 20_000
"""Deleted in one transaction, at most: about a second's work. A document of more pages is one."""
LOST = 3600.0
"""Seconds after which nobody has a page any more that its deadline ended in somebody's hands. Its worker hears of that
with a heartbeat, and tries to put a result for two minutes at most once its turn has come; but of a claim whose answer
was lost on its way it knows nothing, and never lets go."""

_OPEN_DOCUMENTS = Sql("SELECT id FROM document WHERE job_id = :job AND state IN ('queued', 'running') ORDER BY id")
_CANCEL_PAGES = Sql(
    """UPDATE page SET state = 'canceled', rung_at = NULL, finished_at = {now},
              worker = CASE WHEN page.state = 'running' THEN page.worker ELSE NULL END
       WHERE document_id IN (SELECT id FROM {list:ids(id text)}) AND state IN ('pending', 'running')"""
)
_CANCEL_DOCUMENTS = Sql(
    """UPDATE document SET state = 'canceled', sealed = true, canceled = canceled + pending + running, pending = 0,
              running = 0, rung_at = NULL, finished_at = {now}
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state IN ('queued', 'running')"""
)
_CANCEL_JOB = Sql(
    """UPDATE job SET state = 'canceled', sealed = true, cancel_requested = true, password = NULL,
              finished_at = {now} WHERE id = :job"""
)
_STATE = Sql("SELECT state, deleted_at FROM job WHERE id = :job")


def cancel_job(session: Session, job: str) -> bool:
    """End everything of the job that is still pending or running, in this one transaction (rule 9).

    Finished pages stay, and documents that end while we wait for their rows. Late results fail the guard. False where
    the job had ended already.
    """
    if not lock_jobs(session, [job]):
        return False
    if _STATE.run(session, job=job).one()[0] not in ("queued", "running"):
        return False
    ids = lock_documents(session, [row[0] for row in _OPEN_DOCUMENTS.run(session, job=job)])
    cancel_documents(session, ids)
    _CANCEL_JOB.run(session, job=job)
    fold_totals(session, [job])
    webhooks.insert_event(session, job)
    return True


def cancel_documents(session: Session, ids: list[str]) -> None:
    """End what is pending and running of these documents, whose rows are locked, and those of them that are open."""
    rows = [{"id": i} for i in ids]
    _CANCEL_PAGES.run(session, ids=rows)
    _CANCEL_DOCUMENTS.run(session, ids=rows)


_FAILED_WITH = """(CAST(:code AS text) IS NULL OR {text_of:d.error.code} = :code OR EXISTS (
         SELECT 1 FROM page p WHERE p.document_id = d.id AND p.state = 'failed' AND {text_of:p.error.code} = :code))"""
_RETRIABLE = Sql(
    f"""SELECT d.id FROM document d WHERE d.job_id = :job AND d.state IN ('failed', 'partial') AND d.source_key <> ''
          AND (CAST(:document AS text) IS NULL OR d.id = :document) AND {_FAILED_WITH} ORDER BY d.id"""
)
_JOBS_WITH = Sql(
    f"""SELECT j.id FROM job j
        WHERE (CAST(:before AS text) IS NULL OR j.id < :before) AND j.state <> 'canceled' AND j.deleted_at IS NULL
          AND (CAST(:owner AS text) IS NULL OR j.owner = :owner)
          AND j.documents_failed + j.documents_partial > 0 AND EXISTS (
            SELECT 1 FROM document d WHERE d.job_id = j.id AND d.state IN ('failed', 'partial') AND d.source_key <> ''
              AND {_FAILED_WITH})
        ORDER BY j.id DESC LIMIT :limit"""
)
_RETRY_PAGES = Sql(
    """UPDATE page SET state = 'pending', errors = 0, crashes = 0, error = NULL, rung_at = NULL, worker = NULL,
              ready_at = {now}, finished_at = NULL
       WHERE document_id IN (SELECT id FROM {list:ids(id text)}) AND state = 'failed'
         AND (CAST(:code AS text) IS NULL OR {text_of:page.error.code} = :code)"""
)
_REOPEN_DOCUMENTS = Sql(
    """UPDATE document SET state = 'running', pending = again.pages, failed = failed - again.pages, errors = 0,
              crashes = 0, error = NULL, worker = NULL, rung_at = NULL, ready_at = {now}, finished_at = NULL,
              started_at = {now}, deadline_at = NULL, sealed = (source_pages IS NOT NULL)
       FROM (SELECT ids.id, (SELECT count(*) FROM page WHERE document_id = ids.id AND state = 'pending') AS pages
             FROM {list:ids(id text)}) AS again
       WHERE document.id = again.id"""
)
"""They had ended: what is pending of them now is what was reopened."""
_REOPEN_JOB = Sql(
    """UPDATE job SET state = 'running', started_at = coalesce(started_at, {now}), finished_at = NULL,
              expires_at = NULL, sources_expire_at = NULL
       WHERE id = :job"""
)
_FORGET_MANIFEST = Sql("UPDATE job SET manifest = false WHERE id = :job AND manifest")


def forget_manifest(session: Session, job: str) -> bool:
    """Note that job.json does not count any more; the job's row is locked. False where that was noted before.

    Only a job.json whose absence is committed may be deleted: should we die then, rescue writes it again.
    """
    return _FORGET_MANIFEST.run(session, job=job).rowcount == 1


def lock_retriable(session: Session, job: str, document: str | None = None, code: str | None = None) -> list[str]:
    """Lock the job and its documents that failed, wholly or in part; where given, only this one, and only those with
    this code, of their own or of a page. Empty where the job was canceled or has none."""
    if not lock_jobs(session, [job]):
        return []
    state, deleted_at = _STATE.run(session, job=job).one()
    if state == "canceled" or deleted_at is not None:
        return []
    found = _RETRIABLE.run(session, job=job, document=document, code=code)
    return lock_documents(session, [row[0] for row in found])


def jobs_with(
    session: Session, code: str, *, limit: int, before: str | None = None, owner: str | None = None
) -> list[str]:
    """Jobs, those of one owner or all, in which a document or page has failed with this code and can be retried,
    newest first."""
    return [row[0] for row in _JOBS_WITH.run(session, code=code, limit=limit, before=before, owner=owner)]


def reopen(session: Session, job: str, documents: list[str], code: str | None = None) -> None:
    """Failed pages become pending, those with this code where one is given, their documents and the job run again. The
    rows are locked by `lock_retriable`.

    A document whose split failed is split again: it was never sealed with a page count.
    """
    rows = [{"id": i} for i in documents]
    _RETRY_PAGES.run(session, ids=rows, code=code)
    publishing.want_again(session, documents)
    _REOPEN_DOCUMENTS.run(session, ids=rows)
    _REOPEN_JOB.run(session, job=job)
    fold_totals(session, [job])


_MARK_DELETED = Sql(
    """UPDATE job SET deleted_at = coalesce(deleted_at, {now}), password = NULL WHERE id = :job
       RETURNING documents_total + pages_total"""
)
_PURGE_LEASE = "purge "
_TO_PURGE = Sql(
    f"""SELECT id FROM job WHERE deleted_at IS NOT NULL AND purged_at IS NULL AND NOT EXISTS (
         SELECT 1 FROM lease WHERE name = '{_PURGE_LEASE}' || job.id AND expires_at >= {{now}})
       ORDER BY id LIMIT :limit"""
)
_SOURCES = Sql("SELECT source_key FROM document WHERE job_id = :job AND source_key <> ''")
_HELD = Sql(
    """SELECT 1 FROM document d JOIN worker w ON w.id = d.worker AND w.state IN ('alive', 'draining')
       WHERE d.job_id = :job
       UNION ALL
       SELECT 1 FROM document d JOIN page p ON p.document_id = d.id
         JOIN worker w ON w.id = p.worker AND w.state IN ('alive', 'draining')
       WHERE d.job_id = :job AND p.state = 'canceled'
       UNION ALL
       SELECT 1 FROM document d JOIN page p ON p.document_id = d.id
         JOIN worker w ON w.id = p.worker AND w.state IN ('alive', 'draining')
       WHERE d.job_id = :job AND p.state = 'failed' AND p.finished_at > {later:-:lost}
         AND {text_of:p.error.code} = 'deadline_exceeded' LIMIT 1"""
)
_NEXT_DOCUMENTS = Sql("SELECT id, total FROM document WHERE job_id = :job ORDER BY position LIMIT :limit")
_DROP_DOCUMENTS = Sql("DELETE FROM document WHERE id IN (SELECT id FROM {list:ids(id text)})")
_MARK_PURGED = Sql("UPDATE job SET purged_at = {now} WHERE id = :job")


def mark_deleted(session: Session, job: str) -> int:
    """The job is gone for everybody; its objects and rows follow (rule 10). Returns how many documents and pages those
    are, as its end counted them."""
    cancel_job(session, job)
    size = int(_MARK_DELETED.run(session, job=job).scalar() or 0)
    webhooks.drop_events(session, job)
    return size


def purge_lease(job: str) -> str:
    """The name of the lease (jobs/store/leases.py) of the worker that purges this job."""
    return f"{_PURGE_LEASE}{job}"


def jobs_to_purge(session: Session, limit: int = 100) -> list[str]:
    """Deleted jobs of which something is left and that no worker purges now, oldest first."""
    return [row[0] for row in _TO_PURGE.run(session, limit=limit)]


def source_keys(session: Session, job: str) -> list[str]:
    return [row[0] for row in _SOURCES.run(session, job=job)]


def is_held(session: Session, job: str) -> bool:
    """Whether a living worker still has a page or document of this deleted job in its hands and may yet write."""
    return _HELD.run(session, job=job, lost=LOST).first() is not None


def drop_rows(session: Session, job: str) -> bool:
    """Delete some documents and their pages, all of most jobs; the job's row stays, and says that it is gone once none
    is left. Returns whether that is so: no transaction holds locks for as long as it takes to delete a million pages,
    and no statement comes near the time at which PostgreSQL is told to end it."""
    if not lock_jobs(session, [job]):
        return True
    ids = within(_NEXT_DOCUMENTS.run(session, job=job, limit=DROPPED_DOCUMENTS), DROPPED_PAGES)
    _DROP_DOCUMENTS.run(session, ids=[{"id": i} for i in lock_documents(session, ids)])
    if _NEXT_DOCUMENTS.run(session, job=job, limit=1).first() is not None:
        return False
    _MARK_PURGED.run(session, job=job)
    return True
