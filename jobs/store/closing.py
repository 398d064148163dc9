"""Closing: a document when its pages are done and its files are written, a job when its documents are (rule 8)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.models import State, close_state
from jobs.spending import Spent
from jobs.store import webhooks
from jobs.store.claiming import ClaimedDocument
from jobs.store.clock import rfc3339
from jobs.store.locks import lock_documents, lock_jobs
from jobs.store.sql import Sql, json_value
from jobs.store.submitting import json_text


@dataclass(frozen=True, slots=True)
class Finish:
    """A document's end: its final state, the attempt whose files count (None where there are none), its error."""

    claim: ClaimedDocument
    state: State
    with_result: bool
    error: dict[str, Any] | None = None
    reader: str | None = None
    """What read all of its pages, where others may get its result (jobs/reuse.py)."""


_FINISH = Sql(
    """UPDATE document SET state = f.state, sealed = true, worker = NULL, rung_at = NULL, finished_at = {now},
              error = {json:f.error}, result_attempt = CASE WHEN f.with_result THEN f.a ELSE NULL END,
              reader = f.reader
       FROM {list:f(d text, w text, a int, state text, with_result boolean, error text, reader text)}
       WHERE document.id = f.d AND document.worker = f.w AND document.attempt = f.a
         AND document.state || '' = 'running'
       RETURNING id, pending + running"""
)
_END_PAGES = Sql(
    """UPDATE page SET state = 'failed', rung_at = NULL, finished_at = {now},
              error = (SELECT error FROM document WHERE document.id = page.document_id)
       WHERE document_id IN (SELECT id FROM {list:ids(id text)}) AND state IN ('pending', 'running')"""
)
_COUNT_ENDED_PAGES = Sql(
    """UPDATE document SET failed = failed + pending + running, pending = 0, running = 0
       WHERE id IN (SELECT id FROM {list:ids(id text)})"""
)


def finish_documents(session: Session, finishes: Sequence[Finish]) -> list[str]:
    """End claimed documents. Returns the ids that were still ours."""
    lock_documents(session, (f.claim.document.id for f in finishes))
    rows = _FINISH.run(session, f=[_bound(f) for f in finishes]).all()
    end_pages(session, [row[0] for row in rows if row[1]])
    return [row[0] for row in rows]


def end_pages(session: Session, documents: Sequence[str]) -> None:
    """Fail what is left to run of documents that failed while they were being split: nobody would run it any more.

    Their rows are locked, and say why they failed.
    """
    if documents:
        ids = [{"id": document} for document in documents]
        _END_PAGES.run(session, ids=ids)
        _COUNT_ENDED_PAGES.run(session, ids=ids)


def _bound(finish: Finish) -> dict[str, Any]:
    return {
        "d": finish.claim.document.id,
        "w": finish.claim.worker,
        "a": finish.claim.attempt,
        "state": finish.state.value,
        "with_result": finish.with_result,
        "error": json_text(finish.error),
        "reader": finish.reader,
    }


@dataclass(frozen=True, slots=True)
class DocumentEnd:
    """A finished document as the job's manifest names it."""

    id: str
    name: str
    state: State
    pages: int
    result_attempt: int | None
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobEnd:
    """A job all of whose documents have ended, locked."""

    id: str
    was_open: bool
    """It ends now. Otherwise it ended before (canceled, or its retry died half-way) and lacks its manifest."""
    state: State
    engine: str
    options: dict[str, Any]
    metadata: dict[str, Any]
    created_at: str
    finished_at: str
    documents: list[DocumentEnd]
    spent: Spent


_UNFINISHED = Sql("SELECT 1 FROM document WHERE job_id = :job AND state IN ('queued', 'running') LIMIT 1")
_OPEN_ONES = Sql(
    """SELECT j.id FROM job j WHERE j.sealed AND j.state IN ('queued', 'running') AND NOT EXISTS (
         SELECT 1 FROM document d WHERE d.job_id = j.id AND d.state IN ('queued', 'running'))
       ORDER BY j.id LIMIT 1000"""
)
_WITHOUT_MANIFEST = Sql(
    """SELECT id FROM job WHERE NOT manifest AND state NOT IN ('queued', 'running') AND deleted_at IS NULL
       ORDER BY id LIMIT 1000"""
)
_JOB = Sql(
    """SELECT id, state, sealed, engine, options, metadata, created_at, manifest, deleted_at
       FROM job WHERE id = :job"""
)
_STAMP_END = Sql("UPDATE job SET finished_at = coalesce(finished_at, {now}) WHERE id = :job RETURNING finished_at")
_DOCUMENTS = Sql(
    """SELECT id, name, state, total, result_attempt, error, engine_micros, tokens_in, tokens_out
       FROM document WHERE job_id = :job ORDER BY position"""
)
_CLOSE = Sql(
    """UPDATE job SET state = :state, manifest = true,
              expires_at = CASE WHEN retention_seconds IS NULL THEN NULL ELSE {later:retention_seconds} END,
              sources_expire_at =
                CASE WHEN source_retention_seconds IS NULL THEN NULL ELSE {later:source_retention_seconds} END,
              password = CASE WHEN :keep_password THEN password ELSE NULL END WHERE id = :job"""
)


def has_unfinished(session: Session, job: str) -> bool:
    """Whether a document of the job is still queued or running: one index probe."""
    return _UNFINISHED.run(session, job=job).first() is not None


def jobs_to_close(session: Session) -> list[str]:
    """Sealed, unfinished jobs whose documents have all ended, and ended jobs whose manifest is missing."""
    return [row[0] for row in _OPEN_ONES.run(session)] + [row[0] for row in _WITHOUT_MANIFEST.run(session)]


def lock_ended(session: Session, job: str) -> JobEnd | None:
    """Lock the job, then look at its documents. None where it is not to be closed: open documents, deleted, done."""
    if not lock_jobs(session, [job]) or has_unfinished(session, job):
        return None
    row = _JOB.run(session, job=job).one()
    sealed, manifest, deleted_at = bool(row[2]), bool(row[7]), row[8]
    if not sealed or manifest or deleted_at is not None:
        return None
    rows = _DOCUMENTS.run(session, job=job).all()
    documents = [DocumentEnd(d[0], d[1], State(d[2]), d[3], d[4], json_value(d[5])) for d in rows]
    was_canceled = row[1] == State.CANCELED
    state = State.CANCELED if was_canceled else state_of_job([d.state for d in documents])
    finished = rfc3339(_STAMP_END.run(session, job=job).scalar_one())
    was_open = row[1] in (State.QUEUED, State.RUNNING)
    return JobEnd(
        row[0],
        was_open,
        state,
        row[3],
        json_value(row[4]) or {},
        json_value(row[5]) or {},
        rfc3339(row[6]),
        finished,
        documents,
        Spent(*(sum(d[column] for d in rows) for column in (6, 7, 8))),
    )


def close_job(session: Session, end: JobEnd) -> None:
    """Write the job's end; the row is locked by `lock_ended` in this transaction."""
    keep_password = end.state in (State.FAILED, State.PARTIAL)
    _CLOSE.run(session, job=end.id, state=end.state.value, keep_password=keep_password)
    fold_totals(session, [end.id])
    if end.was_open:
        webhooks.insert_event(session, end.id)


def state_of_job(states: Sequence[State]) -> State:
    """The end of a job from those of its documents."""
    good = states.count(State.SUCCEEDED)
    partial = states.count(State.PARTIAL)
    if partial:
        return State.CANCELED if State.CANCELED in states else State.PARTIAL
    return close_state(good, states.count(State.FAILED), states.count(State.CANCELED))


_SUMS = """SELECT job_id, count(*) AS n,
                    sum(CASE WHEN state = 'succeeded' THEN 1 ELSE 0 END) AS ds,
                    sum(CASE WHEN state = 'partial' THEN 1 ELSE 0 END) AS dp,
                    sum(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS df,
                    sum(CASE WHEN state = 'canceled' THEN 1 ELSE 0 END) AS dc,
                    sum(total) AS pt, sum(running) AS pr, sum(succeeded) AS ps, sum(failed) AS pf, sum(canceled) AS pc,
                    sum(engine_micros) AS em, sum(tokens_in) AS ti, sum(tokens_out) AS tu
             FROM document WHERE job_id IN (SELECT id FROM {list:ids(id text)}) GROUP BY job_id"""
_FOLD = Sql(
    f"""UPDATE job SET documents_total = s.n, documents_succeeded = s.ds, documents_partial = s.dp,
              documents_failed = s.df, documents_canceled = s.dc, pages_total = s.pt, pages_running = s.pr,
              pages_succeeded = s.ps, pages_failed = s.pf, pages_canceled = s.pc, engine_micros = s.em,
              tokens_in = s.ti, tokens_out = s.tu
       FROM ({_SUMS}) AS s
       WHERE job.id = s.job_id AND job.deleted_at IS NULL"""
)
# Of a thousand jobs that wait hardly one has changed since the last second. Written all the same, each is a new row and
# six entries of indexes, and what a page costs grew with the jobs that wait.
_CHANGED_ONES = f"""
    WITH s AS ({_SUMS})
    SELECT job.id FROM job JOIN s ON s.job_id = job.id
    WHERE job.state || '' = 'running' AND job.deleted_at IS NULL
      AND (job.documents_total, job.documents_succeeded, job.documents_partial, job.documents_failed,
           job.documents_canceled, job.pages_total, job.pages_running, job.pages_succeeded, job.pages_failed,
           job.pages_canceled, job.engine_micros, job.tokens_in, job.tokens_out)
        <> (s.n, s.ds, s.dp, s.df, s.dc, s.pt, s.pr, s.ps, s.pf, s.pc, s.em, s.ti, s.tu)
    ORDER BY job.id {{skip_locked}}"""
_CHANGED = Sql(_CHANGED_ONES)
# SQLite uses the index of open jobs only where their states are named as it names them.
_RUNNING_JOBS = Sql(
    """SELECT id FROM job WHERE id IN (
         SELECT id FROM job WHERE state IN ('queued','running') AND state = 'running'
           AND documents_total >= :least AND documents_total <= :most)"""
)
_ANY_NUMBER = 2**31 - 1


def fold_totals(session: Session, jobs: Sequence[str]) -> None:
    """Sum the documents' counters into these jobs, whose rows the caller has locked. Deleted ones keep their totals,
    by which pages read are counted for ever (jobs/store/census.py): a purge may have dropped some of their documents.
    """
    if jobs:
        _FOLD.run(session, ids=[{"id": job} for job in jobs])


def fold_running(session: Session, least: int = 0, most: int = _ANY_NUMBER) -> float:
    """Sum up every running job of so many documents, and write what has changed of those that nobody else holds: a job
    that ends meanwhile keeps the totals of its end. Returns the seconds that took, without what was waited for a
    connection and, on SQLite, for another writer."""
    session.connection()
    begun = time.monotonic()
    running = [{"id": row[0]} for row in _RUNNING_JOBS.run(session, least=least, most=most)]
    # Summed again under the locks: by the sums that found them a job would lose what came in between.
    fold_totals(session, [row[0] for row in _CHANGED.run(session, ids=running)] if running else [])
    return time.monotonic() - begun
