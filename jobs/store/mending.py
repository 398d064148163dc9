"""What `pagemill reconcile --fix` writes. The rows are locked by the caller, in the order of rule 1.

No result is invented: a page whose result is gone is read again, a count is counted again, a time that nobody noted is
the time at which that was found.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session

from jobs.errors import InternalError
from jobs.models import State
from jobs.store import publishing
from jobs.store.closing import end_pages, fold_totals
from jobs.store.ending import cancel_documents
from jobs.store.locks import lock_documents, lock_jobs
from jobs.store.proving import COUNTERS, PAGE_RULES, DocumentFacts
from jobs.store.sql import Sql
from jobs.store.submitting import json_text

_ENDED = "('succeeded', 'partial', 'failed', 'canceled')"
_PAGE_ENDED = "('succeeded', 'failed', 'canceled')"

_FREE_PAGES = Sql(
    f"""UPDATE page AS p SET state = 'pending', worker = NULL, rung_at = NULL, ready_at = {{now}}, finished_at = NULL
       WHERE p.document_id = :document
         AND ({PAGE_RULES["page_without_holder"]} OR {PAGE_RULES["page_holder_unknown"]})"""
)
_TIDY_PAGES = Sql(
    f"""UPDATE page AS p SET
         finished_at = CASE WHEN p.state IN {_PAGE_ENDED} THEN coalesce(p.finished_at, {{now}}) ELSE NULL END,
         rung_at = CASE WHEN p.state = 'pending' THEN p.rung_at ELSE NULL END,
         ready_at = CASE WHEN {PAGE_RULES["page_delayed"]} THEN {{now}} ELSE p.ready_at END,
         error = CASE WHEN p.state = 'succeeded' THEN NULL
                      WHEN p.state = 'failed' THEN coalesce(p.error, {{json:CAST(:unknown AS text)}}) ELSE p.error END
       WHERE p.document_id = :document AND NOT ({PAGE_RULES["page_state_unknown"]})
         AND ({" OR ".join(PAGE_RULES.values())})"""
)
_RECOUNT = Sql(
    f"""UPDATE document SET total = c.n, {", ".join(f"{state} = c.{state}" for state in COUNTERS)}
       FROM (SELECT count(*) AS n,
                    {", ".join(f"coalesce(sum(CASE WHEN state = '{s}' THEN 1 ELSE 0 END), 0) AS {s}" for s in COUNTERS)}
             FROM page WHERE document_id = :document) AS c WHERE document.id = :document"""
)
_TIDY_DOCUMENT = Sql(
    f"""UPDATE document SET
         state = CASE WHEN state = 'queued' AND (total > 0 OR attempt > 0 OR worker IS NOT NULL)
                      THEN 'running' ELSE state END,
         sealed = sealed OR state IN {_ENDED},
         finished_at = CASE WHEN state IN {_ENDED} THEN coalesce(finished_at, {{now}}) ELSE NULL END,
         rung_at = CASE WHEN state IN {_ENDED} THEN NULL ELSE rung_at END,
         ready_at = CASE WHEN ready_at > {{later::horizon}} THEN {{now}} ELSE ready_at END,
         result_attempt = CASE WHEN state = 'failed' THEN NULL ELSE result_attempt END,
         worker = CASE WHEN state IN ('succeeded', 'partial', 'failed')
                         OR NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = document.worker)
                       THEN NULL ELSE worker END
       WHERE id = :document"""
)
_UNKNOWN = InternalError("why it failed was not written down; found by pagemill reconcile")


def mend_document(session: Session, facts: DocumentFacts, horizon: float) -> None:
    """Set right what can be told from the document's row and its pages' rows alone; the row is locked.

    `horizon`: seconds of delay that nobody sets.
    """
    document = facts.id
    pending, running = facts.counted[:2]
    if (pending or running) and facts.state == State.CANCELED:
        cancel_documents(session, [document])
    elif (pending or running) and facts.state == State.FAILED:
        end_pages(session, [document])
    else:
        _FREE_PAGES.run(session, document=document)
    unknown = json_text(_UNKNOWN.problem().model_dump(exclude_none=True))
    _TIDY_PAGES.run(session, document=document, unknown=unknown, horizon=horizon)
    _RECOUNT.run(session, document=document)
    _TIDY_DOCUMENT.run(session, document=document, horizon=horizon)


_TIDY_JOB = Sql(
    f"""UPDATE job SET
         state = CASE WHEN state = 'queued' AND EXISTS (
                        SELECT 1 FROM document d WHERE d.job_id = job.id AND d.state = 'running')
                      THEN 'running' ELSE state END,
         started_at = CASE WHEN state = 'queued' AND EXISTS (
                             SELECT 1 FROM document d WHERE d.job_id = job.id AND d.state = 'running')
                           THEN coalesce(started_at, {{now}}) ELSE started_at END,
         sealed = sealed OR state IN {_ENDED},
         manifest = manifest AND state IN {_ENDED},
         finished_at = CASE WHEN state IN {_ENDED} THEN coalesce(finished_at, {{now}}) ELSE NULL END,
         password = CASE WHEN state IN ('succeeded', 'canceled') THEN NULL ELSE password END
       WHERE id = :job"""
)
_OPEN_OF_CANCELED = Sql(
    """SELECT d.id FROM document d JOIN job j ON j.id = d.job_id
       WHERE j.id = :job AND j.state = 'canceled' AND d.state IN ('queued', 'running') ORDER BY d.id"""
)


def mend_job(session: Session, job: str) -> None:
    """Set right what can be told from the job's row and its documents' rows alone; a canceled job cancels its own."""
    left = lock_documents(session, [row[0] for row in _OPEN_OF_CANCELED.run(session, job=job)])
    if left:
        cancel_documents(session, left)
    _TIDY_JOB.run(session, job=job)
    fold_totals(session, [job])


# --- running again what was lost

_AGAIN = Sql(
    """SELECT j.state, j.deleted_at IS NOT NULL, d.state, d.worker FROM job j JOIN document d ON d.job_id = j.id
       WHERE j.id = :job AND d.id = :document"""
)
_REREAD_PAGES = Sql(
    """UPDATE page SET state = 'pending', errors = 0, crashes = 0, error = NULL, rung_at = NULL, worker = NULL,
              ready_at = {now}, finished_at = NULL
       FROM {list:lost(n int, a int)}
       WHERE page.document_id = :document AND page.number = lost.n AND page.attempt = lost.a
         AND page.state = 'succeeded'"""
)
_REOPEN_DOCUMENT = Sql(
    """UPDATE document SET state = 'running', errors = 0, crashes = 0, error = NULL, rung_at = NULL, reader = NULL,
              ready_at = {now}, finished_at = NULL, sealed = (source_pages IS NOT NULL)
       WHERE id = :document AND worker IS NULL"""
)
_REOPEN_JOB = Sql(
    """UPDATE job SET state = 'running', started_at = coalesce(started_at, {now}), finished_at = NULL,
              expires_at = NULL, sources_expire_at = NULL
       WHERE id = :job"""
)


def lock_lost(session: Session, job: str, document: str) -> bool:
    """Lock job and document. False where nothing of it may run again: canceled, deleted, or in somebody's hands."""
    if not lock_jobs(session, [job]) or not lock_documents(session, [document]):
        return False
    row = _AGAIN.run(session, job=job, document=document).first()
    if row is None:
        return False
    job_state, deleted, state, worker = row
    return not deleted and State.CANCELED not in (job_state, state) and worker is None


def run_again(session: Session, job: str, document: str, lost: Sequence[tuple[int, int]]) -> None:
    """The lost pages (number, attempt) are pending, the document and its job run. Locked by `lock_lost`.

    `attempt` stays, so that a late result of before cannot take the place of the new one.
    """
    if lost:
        _REREAD_PAGES.run(session, document=document, lost=[{"n": n, "a": a} for n, a in lost])
    publishing.want_again(session, [document])
    _REOPEN_DOCUMENT.run(session, document=document)
    _RECOUNT.run(session, document=document)
    reopen_job(session, job)


def reopen_job(session: Session, job: str) -> None:
    """The job, whose row is locked, runs again."""
    _REOPEN_JOB.run(session, job=job)
    fold_totals(session, [job])


_MANIFEST = Sql("SELECT manifest, deleted_at IS NOT NULL, state FROM job WHERE id = :job")


def lock_manifest(session: Session, job: str) -> bool:
    """Lock the job; whether its row says that job.json is stored. False where it is gone or deleted."""
    if not lock_jobs(session, [job]):
        return False
    manifest, deleted, _ = _MANIFEST.run(session, job=job).one()
    return bool(manifest) and not deleted


def lock_reopenable(session: Session, job: str) -> bool:
    """Lock the job; False where it must not run again: gone, deleted, canceled."""
    if not lock_jobs(session, [job]):
        return False
    _, deleted, state = _MANIFEST.run(session, job=job).one()
    return not deleted and state != State.CANCELED


# --- rows of nobody

_DROP_PAGES = Sql(
    """DELETE FROM page WHERE document_id IN (SELECT id FROM {list:ids(id text)})
       AND NOT EXISTS (SELECT 1 FROM document d WHERE d.id = page.document_id)"""
)
_DROP_DOCUMENT = Sql("DELETE FROM document WHERE id = :id AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = job_id)")
_DROP_LEASE = Sql("DELETE FROM lease WHERE name = :name AND holder = :holder")


def drop_pages_of_nobody(session: Session, documents: Sequence[str]) -> None:
    """Delete the pages of documents that do not exist: nothing can name them any more."""
    _DROP_PAGES.run(session, ids=[{"id": i} for i in documents])


def drop_document_of_nobody(session: Session, document: str) -> None:
    """Delete a document whose job does not exist, with its pages."""
    _DROP_DOCUMENT.run(session, id=document)


def drop_lease(session: Session, name: str, holder: str) -> None:
    _DROP_LEASE.run(session, name=name, holder=holder)
