"""Lists by what their rows say: jobs by state, code, metadata and time, documents and pages by state and code.

An id sorts by time, so a list of jobs is a walk along an index from a cursor towards older ones, and nothing that is
submitted meanwhile moves what is still to come. One request walks over `SCAN` jobs at most, deleted ones included:
where a filter has no index, or many jobs were deleted, it may find less than was asked for, or nothing, and says from
where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, bindparam, exists, literal_column, or_, text
from sqlmodel import Session, col, select

from jobs.models import Document, Job, JobPublic, Page, PageState, State
from jobs.store.reading import job_public
from jobs.store.sql import is_sqlite

SCAN = 10_000
"""Jobs that one request looks at. Measured: docs/following.md."""
SCAN_DEEP = 1000
"""The same where documents and pages of each job are looked at as well."""
ID_DRIFT = timedelta(days=1)
"""A job's id is made when its upload begins, by the clock of an API server, and its `created_at` when it is entered, by
the database's: they differ by no more than this."""

_OPEN = frozenset({State.QUEUED, State.RUNNING})


@dataclass(frozen=True, slots=True)
class JobFilter:
    """All that is given must hold."""

    states: tuple[State, ...] = ()
    code: str | None = None
    """The job, a document or a page of it has failed with this."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Keys of the top level and how their string, number or boolean is written."""
    created_after: datetime | None = None
    """Then or later."""
    created_before: datetime | None = None
    priority: int | None = None
    engine: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """`before`: where to go on; None at the end."""

    jobs: list[JobPublic]
    before: str | None


def find_jobs(session: Session, wanted: JobFilter, *, limit: int, before: str | None = None) -> Found:
    """Newest first. `before`: where the answer before ended."""
    walk = list(_walk(wanted, before))
    conditions = list(_conditions(session, wanted))
    # Also where nothing more is asked: there may be any number of deleted jobs on the way.
    floor = _floor(session, walk, SCAN_DEEP if wanted.code is not None else SCAN)
    query = (
        select(Job)
        .where(*walk, *conditions, col(Job.deleted_at).is_(None))
        .order_by(col(Job.id).desc())
        .limit(limit + 1)
    )
    if floor is not None:
        query = query.where(col(Job.id) >= floor)
    jobs = [job_public(row) for row in session.exec(query)]
    return Found(jobs, floor) if len(jobs) <= limit else Found(jobs[:limit], jobs[limit - 1].id)


def _walk(wanted: JobFilter, before: str | None) -> Iterable[ColumnElement[bool]]:
    """What an index walks along: ix_job_owner, ix_job_open or the primary key, between two ids."""
    if wanted.owner is not None:
        yield col(Job.owner) == wanted.owner
    if wanted.states and _OPEN.issuperset(wanted.states):
        yield _one_of(Job.state, [State.QUEUED, State.RUNNING])
    if before is not None:
        yield col(Job.id) < before
    if (first := _id_at(wanted.created_after, -ID_DRIFT)) is not None:
        yield col(Job.id) >= first
    if (last := _id_at(wanted.created_before, ID_DRIFT)) is not None:
        yield col(Job.id) < last


def _id_at(moment: datetime | None, drift: timedelta) -> str | None:
    """The lowest id of a time: UUIDv7 begins with 48 bits of milliseconds (RFC 9562, 5.7)."""
    if moment is None:
        return None
    milliseconds = int((moment.timestamp() + drift.total_seconds()) * 1000)
    return f"job_{max(0, min(milliseconds, 2**48 - 1)):012x}{'0' * 20}"


def _conditions(session: Session, wanted: JobFilter) -> Iterable[ColumnElement[bool]]:
    """What is asked of each job on the way."""
    if wanted.states and set(wanted.states) != _OPEN:
        yield _one_of(Job.state, wanted.states)
    if wanted.priority is not None:
        yield col(Job.priority) == wanted.priority
    if wanted.engine is not None:
        yield col(Job.engine) == wanted.engine
    if wanted.created_after is not None:
        yield col(Job.created_at) >= wanted.created_after
    if wanted.created_before is not None:
        yield col(Job.created_at) < wanted.created_before
    for number, (key, value) in enumerate(wanted.metadata):
        yield _says(key, value, number, sqlite=is_sqlite(session))
    if wanted.code is not None:
        yield _job_failed_with(wanted.code)


def _floor(session: Session, walk: Sequence[ColumnElement[bool]], steps: int) -> str | None:
    """The id at which a walk of so many steps ends; None where it comes to its end before. Asked first, and deleted
    jobs count: whatever changes meanwhile, no job between cursor and floor is passed over."""
    query = select(Job.id).where(*walk).order_by(col(Job.id).desc()).offset(steps - 1).limit(1)
    return session.exec(query).first()


_SAYS_POSTGRESQL = """(json_typeof(job.metadata -> CAST(:key AS text)) IN ('string', 'number', 'boolean')
                       AND job.metadata ->> CAST(:key AS text) = CAST(:value AS text))"""
_SAYS_SQLITE = """EXISTS (SELECT 1 FROM json_each(job.metadata) AS said WHERE said.key = :key
                          AND said.type IN ('text', 'integer', 'real', 'true', 'false')
                          AND CASE WHEN said.type IN ('true', 'false') THEN said.type
                                   ELSE CAST(said.value AS text) END = :value)"""


def _says(key: str, value: str, number: int, *, sqlite: bool) -> Any:
    """Whether the metadata say this; `number` tells several apart."""
    template = _SAYS_SQLITE if sqlite else _SAYS_POSTGRESQL
    names = {name: f"meta_{name}_{number}" for name in ("key", "value")}
    for name, unique in names.items():
        template = template.replace(f":{name}", f":{unique}")
    return text(template).bindparams(bindparam(names["key"], key), bindparam(names["value"], value))


def _one_of(column: Any, values: Sequence[StrEnum]) -> ColumnElement[bool]:
    """Written out, not bound: a partial index serves only who says its condition (words of ours, no text of others)."""
    written: list[Any] = [literal_column(f"'{value.value}'") for value in values]
    found: ColumnElement[bool] = col(column) == written[0] if len(written) == 1 else col(column).in_(written)
    return found


def _code_of(column: Any) -> Any:
    return column["code"].as_string()


def _job_failed_with(code: str) -> ColumnElement[bool]:
    """By its folded totals first: of jobs in which nothing failed no document is looked at."""
    troubled = or_(
        col(Job.error).is_not(None),
        col(Job.documents_failed) > 0,
        col(Job.documents_partial) > 0,
        col(Job.pages_failed) > 0,
    )
    documents = exists().where(col(Document.job_id) == col(Job.id), document_failed_with(code))
    return troubled & or_(_code_of(Job.error) == code, documents)


def document_failed_with(code: str) -> ColumnElement[bool]:
    """The document as a whole, or a page of it. Served by ix_document_troubled and ix_page_failed."""
    troubled = or_(col(Document.error).is_not(None), col(Document.failed) > literal_column("0"))
    pages = exists().where(col(Page.document_id) == col(Document.id), page_failed_with(code))
    failed: ColumnElement[bool] = troubled & or_(_code_of(Document.error) == code, pages)
    return failed


def page_failed_with(code: str) -> ColumnElement[bool]:
    failed: ColumnElement[bool] = _one_of(Page.state, [PageState.FAILED]) & (_code_of(Page.error) == code)
    return failed


def document_filter(states: Sequence[State] = (), code: str | None = None) -> list[ColumnElement[bool]]:
    """Conditions of a list of documents."""
    found = [_one_of(Document.state, states)] if states else []
    return found if code is None else [*found, document_failed_with(code)]


def page_filter(states: Sequence[PageState] = (), code: str | None = None) -> list[ColumnElement[bool]]:
    """Conditions of a list of pages."""
    found = [_one_of(Page.state, states)] if states else []
    return found if code is None else [*found, page_failed_with(code)]
