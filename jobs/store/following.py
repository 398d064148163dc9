"""Whether jobs are still as somebody saw them: asked in one statement for thousands of them.

A job's mark is text made by the database of every column that its public shape shows and that can change. The database
compares it, so where nothing happened nothing crosses to us, however many are asked about. A test holds the mark
against the columns of the table: one that is added must be told of here or there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import String, literal_column
from sqlmodel import Session, col, select

from jobs.errors import NotFound
from jobs.models import FINAL, Job, JobPublic, State
from jobs.store.reading import gone, job_public
from jobs.store.sql import Sql

MARKED = (
    "state", "sealed", "engine", "priority", "error", "documents_total", "documents_succeeded", "documents_partial",
    "documents_failed", "documents_canceled", "pages_total", "pages_running", "pages_succeeded", "pages_failed",
    "pages_canceled", "engine_micros", "tokens_in", "tokens_out", "started_at", "finished_at", "deleted_at",
    "expires_at",
)  # fmt: skip
"""`deleted_at` too: a job that is gone is no longer as it was seen."""

_MARK = " || ' ' || ".join(f"coalesce(CAST(job.{name} AS varchar), '-')" for name in MARKED)
_MOVED = Sql(
    f"""SELECT w.id, w.mark, {_MARK}, job.state, job.deleted_at IS NOT NULL
        FROM {{list:w(id text, mark text)}} LEFT JOIN job ON job.id = w.id
        WHERE job.id IS NULL OR {_MARK} <> w.mark"""
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A job, its mark and its owner, of one moment."""

    job: JobPublic
    mark: str
    owner: str


@dataclass(frozen=True, slots=True)
class Move:
    """What became of a job that is no longer as it was seen. `mark` is None where nothing can be shown of it."""

    mark: str | None
    ended: bool
    missing: bool = False
    """Its rows are purged; otherwise, without a mark, it was deleted."""


def look(session: Session, job_id: str) -> Seen:
    """Raises NotFound, or Gone after a delete."""
    found = session.exec(_with_mark([job_id])).first()
    if found is None:
        raise NotFound(f"there is no job {job_id}", where=job_id)
    row, mark = found
    if row.deleted_at is not None:
        raise gone(row)
    return Seen(job_public(row), mark, row.owner)


def look_at(session: Session, jobs: Sequence[str]) -> dict[str, Seen]:
    """By id; those that are deleted or missing are absent."""
    return {
        row.id: Seen(job_public(row), mark, row.owner)
        for row, mark in session.exec(_with_mark(jobs))
        if row.deleted_at is None
    }


def moved(session: Session, seen: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Move]:
    """Of (job, mark) those that do not fit any more."""
    rows = _MOVED.run(session, w=[{"id": job, "mark": mark} for job, mark in seen])
    return {(row[0], row[1]): _move(*row[2:]) for row in rows}


def _move(mark: str | None, state: str | None, deleted: bool) -> Move:
    if state is None:
        return Move(None, ended=True, missing=True)
    return Move(None if deleted else mark, ended=bool(deleted) or State(state) in FINAL)


def _with_mark(jobs: Sequence[str]):  # type: ignore[no-untyped-def]  # the type of a select of a table and a text
    return select(Job, literal_column(_MARK, String)).where(col(Job.id).in_(jobs))
