"""Entering: a job with its documents, and documents that come later, from listings of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.models import FINAL
from jobs.store import closing, submitting
from jobs.store.locks import lock_jobs
from jobs.store.sql import Sql, json_value
from jobs.store.submitting import NewRow

_INSERT = Sql(
    """INSERT INTO listing (job_id, kind, location, cursor, errors, ready_at)
       VALUES (:job, :kind, :location, '', 0, {now})"""
)
# Of a job one listing after the other, so that its documents keep the order of its sources.
_OPEN = Sql(
    """SELECT l.id, l.job_id, l.kind, l.location, l.cursor, l.errors, j.owner
       FROM listing l JOIN job j ON j.id = l.job_id
       WHERE l.ready_at <= {now} AND l.id IN (SELECT min(id) FROM listing GROUP BY job_id) ORDER BY l.id LIMIT :limit"""
)
_JOB = Sql("SELECT state, sealed, deleted_at IS NOT NULL, engine, priority, owner, options FROM job WHERE id = :job")
_MOVE = Sql("UPDATE listing SET cursor = :after, errors = 0 WHERE id = :id AND cursor = :before")
_END = Sql("DELETE FROM listing WHERE id = :id AND cursor = :before")
_END_ALL = Sql("DELETE FROM listing WHERE job_id = :job")
_NEXT_POSITION = Sql("SELECT coalesce(max(position), -1) + 1 FROM document WHERE job_id = :job")
_LEFT = Sql("SELECT 1 FROM listing WHERE job_id = :job LIMIT 1")
_SEAL = Sql("UPDATE job SET sealed = true WHERE id = :job")
_ADD = Sql(
    """UPDATE job SET documents_total = documents_total + :documents, documents_failed = documents_failed + :failed
       WHERE id = :job"""
)
_DEADLINES = Sql(
    """UPDATE document SET deadline_at = (SELECT deadline_at FROM job WHERE id = :job)
       WHERE job_id = :job AND position >= :first AND state = 'queued'"""
)
_JOB_DEADLINE = Sql("UPDATE job SET deadline_at = {later::seconds} WHERE id = :job")
_CURSOR = Sql("SELECT cursor FROM listing WHERE id = :id")
_PUT_OFF = Sql("UPDATE listing SET errors = errors + 1, ready_at = {later::delay} WHERE id = :id")


@dataclass(frozen=True, slots=True)
class OpenListing:
    """Documents that are still to be entered."""

    id: int
    job: str
    kind: str
    location: str
    cursor: str
    errors: int
    owner: str


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of a listing: its documents from `before` to `after`."""

    listing: int
    job: str
    location: str
    before: str
    after: str
    ended: bool
    """These are the last."""


@dataclass(frozen=True, slots=True)
class Progress:
    job: str
    more: bool
    """The listing goes on, and it is ours to go on with."""
    sealed: bool
    """The job has all its documents now."""
    options: dict[str, Any] | None = None
    """The job's."""
    first: int = 0
    entered: Sequence[tuple[str, str]] = ()
    """Id and name of the documents that were entered, `first` being the position of the first."""


def enter(
    session: Session, job: dict[str, Any], documents: Sequence[NewRow], listings: Sequence[tuple[str, str]]
) -> None:
    """Insert a job (values by column, `deadline_seconds` beside them), its documents, and its listings as (kind,
    location)."""
    job_id, seconds = str(job["id"]), job["deadline_seconds"]
    submitting.insert_job(session, {k: v for k, v in job.items() if k != "deadline_seconds"}, documents)
    if seconds is not None:
        _JOB_DEADLINE.run(session, job=job_id, seconds=seconds)
        _DEADLINES.run(session, job=job_id, first=0)
    for kind, location in listings:
        _INSERT.run(session, job=job_id, kind=kind, location=location)
    closing.fold_totals(session, [job_id])


def open_listings(session: Session, limit: int) -> list[OpenListing]:
    """Oldest first, of each job the first one."""
    return [OpenListing(*row) for row in _OPEN.run(session, limit=limit)]


def cursor_of(session: Session, listing: int) -> str:
    """Where it is; empty where it has ended."""
    return str(_CURSOR.run(session, id=listing).scalar() or "")


def put_off(session: Session, listing: int, delay: float) -> None:
    """Not again for so many seconds; an error more."""
    _PUT_OFF.run(session, id=listing, delay=delay)


def advance(
    session: Session, step: Step, documents: list[NewRow], *, limit: int, too_many: NewRow, nothing: NewRow
) -> Progress:
    """Enter a step's documents, unless somebody else has; see lifecycle.enter_listed."""
    if not lock_jobs(session, [step.job]):
        return Progress(step.job, more=False, sealed=False)
    state, sealed, deleted, engine, priority, owner, options = _JOB.run(session, job=step.job).one()
    if sealed or deleted or state in FINAL:  # canceled meanwhile
        _END_ALL.run(session, job=step.job)
        return Progress(step.job, more=False, sealed=False)
    first = int(_NEXT_POSITION.run(session, job=step.job).scalar_one())
    overflow = first + len(documents) > limit
    move = _END if step.ended or overflow else _MOVE
    if not _moved(session, move, step):
        return Progress(step.job, more=False, sealed=False)
    if overflow:
        documents = [*documents[: max(0, limit - first)], too_many]
        _END_ALL.run(session, job=step.job)
    last = _LEFT.run(session, job=step.job).first() is None
    if last and not first and not documents:
        documents = [nothing]
    job = {"id": step.job, "engine": engine, "priority": priority, "owner": owner}
    submitting.insert_documents(session, job, documents, first)
    _DEADLINES.run(session, job=step.job, first=first)
    failed = sum(document.error is not None for document in documents)
    _ADD.run(session, job=step.job, documents=len(documents), failed=failed)
    if last:
        _SEAL.run(session, job=step.job)
    entered = [(document.id, document.name) for document in documents]
    return Progress(step.job, move is _MOVE, last, json_value(options), first, entered)


def _moved(session: Session, move: Sql, step: Step) -> bool:
    values = {"id": step.listing, "before": step.before}
    return move.run(session, **values, **({"after": step.after} if move is _MOVE else {})).rowcount == 1
