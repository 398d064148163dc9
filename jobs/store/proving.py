"""What `pagemill reconcile` reads: rows beside the counts they must agree with, each piece in one statement.

One statement is one snapshot on both databases, so what others do meanwhile is seen whole or not at all: between rows
that one transaction writes together there is no difference to be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.models import PAGE_FINAL, PageState
from jobs.store.sql import Sql, is_sqlite

COUNTERS = tuple(state.value for state in PageState)
"""The counters of a document, in the order in which `DocumentFacts` holds them."""

_FINAL = ", ".join(f"'{state.value}'" for state in sorted(PAGE_FINAL))
_KNOWN = ", ".join(f"'{state}'" for state in COUNTERS)

PAGE_RULES: dict[str, str] = {
    "page_state_unknown": f"p.state NOT IN ({_KNOWN})",
    "page_without_holder": "(p.state = 'running' AND (p.worker IS NULL OR p.attempt < 1))",
    "page_holder_unknown": "(p.state = 'running' AND p.worker IS NOT NULL AND NOT EXISTS ("
    "SELECT 1 FROM worker w WHERE w.id = p.worker))",
    "page_end_time": f"(p.state IN ({_FINAL})) <> (p.finished_at IS NOT NULL)",
    "page_rung": "(p.rung_at IS NOT NULL AND p.state <> 'pending')",
    "page_error_missing": "(p.state = 'failed' AND p.error IS NULL)",
    "page_error_kept": "(p.state = 'succeeded' AND p.error IS NOT NULL)",
}
"""What is wrong with a page `p`, as a condition."""


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """A document's row, what its pages' rows count to, and what its job and its holder are."""

    id: str
    job_id: str
    state: str
    sealed: bool
    worker: str | None
    attempt: int
    rung: bool
    ended: bool
    """It says when it ended."""
    has_error: bool
    source_pages: int | None
    source_key: str
    result_attempt: int | None
    job_state: str | None
    """None where there is no job."""
    deleted: bool
    holder_known: bool
    """The worker that holds it has a row, or nobody holds it."""
    total: int
    counters: tuple[int, ...]
    """As told, in the order of COUNTERS."""
    counted: tuple[int, ...]
    """As the page rows count."""
    rows: int
    odd: int
    """Pages with which something is wrong by PAGE_RULES."""


_COUNTS = ", ".join(f"sum(CASE WHEN p.state = '{state}' THEN 1 ELSE 0 END) AS {state}" for state in COUNTERS)
_ODD = " OR ".join(PAGE_RULES.values())
_DOCUMENTS = Sql(
    f"""SELECT d.id, d.job_id, d.state, d.sealed, d.worker, d.attempt, d.rung_at IS NOT NULL,
              d.finished_at IS NOT NULL, d.error IS NOT NULL, d.source_pages, d.source_key, d.result_attempt,
              j.state, j.deleted_at IS NOT NULL, d.worker IS NULL OR w.id IS NOT NULL, d.total,
              {", ".join(f"d.{state}" for state in COUNTERS)}, {", ".join(f"c.{state}" for state in COUNTERS)},
              c.n, c.odd
       FROM document d LEFT JOIN job j ON j.id = d.job_id LEFT JOIN worker w ON w.id = d.worker
       LEFT JOIN (SELECT p.document_id, count(*) AS n, {_COUNTS}, sum(CASE WHEN {_ODD} THEN 1 ELSE 0 END) AS odd
                  FROM page p WHERE p.document_id IN (SELECT id FROM {{list:ids(id text)}})
                  GROUP BY p.document_id) AS c ON c.document_id = d.id
       WHERE d.id IN (SELECT id FROM {{list:ids(id text)}}) ORDER BY d.id"""
)
_ODD_PAGES = Sql(
    f"""SELECT p.number, p.state, {", ".join(PAGE_RULES.values())}
       FROM page p WHERE p.document_id = :document AND ({_ODD}) ORDER BY p.number LIMIT :limit"""
)
_NEXT_DOCUMENTS = Sql("SELECT id FROM document WHERE id > :after ORDER BY id LIMIT :limit")
_NEXT_OF_JOB = Sql("SELECT id FROM document WHERE job_id = :job AND id > :after ORDER BY id LIMIT :limit")


def documents(session: Session, ids: Sequence[str]) -> list[DocumentFacts]:
    """These documents, by id; those that are gone left out."""
    return [_document(row) for row in _DOCUMENTS.run(session, ids=[{"id": i} for i in ids])]


def document_ids(session: Session, after: str, limit: int, job: str | None = None) -> list[str]:
    """The next document ids, of one job or of all."""
    if job is None:
        return [row[0] for row in _NEXT_DOCUMENTS.run(session, after=after, limit=limit)]
    return [row[0] for row in _NEXT_OF_JOB.run(session, job=job, after=after, limit=limit)]


def odd_pages(session: Session, document: str, limit: int = 1000) -> list[tuple[int, str, list[str]]]:
    """(number, state, names in PAGE_RULES) of the document's pages with which something is wrong."""
    return [
        (row[0], row[1], [rule for rule, wrong in zip(PAGE_RULES, row[2:], strict=True) if wrong])
        for row in _ODD_PAGES.run(session, document=document, limit=limit)
    ]


def _document(row: Sequence[Any]) -> DocumentFacts:
    first, rest = row[:16], row[16:]
    size = len(COUNTERS)
    return DocumentFacts(
        id=first[0], job_id=first[1], state=first[2], sealed=bool(first[3]), worker=first[4], attempt=first[5],
        rung=bool(first[6]), ended=bool(first[7]), has_error=bool(first[8]), source_pages=first[9],
        source_key=first[10], result_attempt=first[11], job_state=first[12], deleted=bool(first[13]),
        holder_known=bool(first[14]), total=first[15], counters=tuple(rest[:size]),
        counted=tuple(int(n or 0) for n in rest[size : 2 * size]), rows=int(rest[-2] or 0), odd=int(rest[-1] or 0),
    )  # fmt: skip


# --- jobs

DOCUMENT_STATES = ("queued", "running", "succeeded", "partial", "failed", "canceled")
_TOTALS = ("documents_total", "documents_succeeded", "documents_partial", "documents_failed", "documents_canceled",
           "pages_total", "pages_running", "pages_succeeded", "pages_failed", "pages_canceled")  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job's row and what its documents' rows sum up to."""

    id: str
    state: str
    sealed: bool
    ended: bool
    """It says when it ended."""
    manifest: bool
    has_password: bool
    deleted: bool
    purged: bool
    settled: bool
    """Nothing has happened to it for the time given: its last document, its own end or its deletion are older."""
    totals: tuple[int, ...]
    """As told: documents, good, partial, failed, canceled ones; pages, running, good, failed, canceled ones."""
    summed: tuple[int, ...]
    """The same, from its documents."""
    documents: dict[str, int]
    """How many are in each state."""


_JOBS = Sql(
    f"""SELECT j.id, j.state, j.sealed, j.finished_at IS NOT NULL, j.manifest, j.password IS NOT NULL,
              j.deleted_at IS NOT NULL, j.purged_at IS NOT NULL,
              coalesce(j.created_at < {{later:-:age}} AND (s.last IS NULL OR s.last < {{later:-:age}})
                AND (j.finished_at IS NULL OR j.finished_at < {{later:-:age}})
                AND (j.deleted_at IS NULL OR j.deleted_at < {{later:-:age}}), false),
              {", ".join(f"j.{name}" for name in _TOTALS)}, coalesce(s.n, 0),
              {", ".join(f"coalesce(s.d_{state}, 0)" for state in DOCUMENT_STATES)},
              coalesce(s.p_total, 0), coalesce(s.p_running, 0), coalesce(s.p_succeeded, 0), coalesce(s.p_failed, 0),
              coalesce(s.p_canceled, 0)
       FROM job j LEFT JOIN (
         SELECT d.job_id, count(*) AS n, max(d.finished_at) AS last,
                {", ".join(f"sum(CASE WHEN d.state = '{s}' THEN 1 ELSE 0 END) AS d_{s}" for s in DOCUMENT_STATES)},
                sum(d.total) AS p_total, sum(d.running) AS p_running, sum(d.succeeded) AS p_succeeded,
                sum(d.failed) AS p_failed, sum(d.canceled) AS p_canceled
         FROM document d WHERE d.job_id IN (SELECT id FROM {{list:ids(id text)}}) GROUP BY d.job_id
       ) AS s ON s.job_id = j.id
       WHERE j.id IN (SELECT id FROM {{list:ids(id text)}}) ORDER BY j.id"""
)
_NEXT_JOBS = Sql("SELECT id, documents_total FROM job WHERE id > :after ORDER BY id LIMIT :limit")


def jobs(session: Session, ids: Sequence[str], age: float) -> list[JobFacts]:
    """These jobs, by id. `age`: seconds without an event after which one is `settled`."""
    return [_job(row) for row in _JOBS.run(session, ids=[{"id": i} for i in ids], age=age)]


def job_ids(session: Session, after: str, limit: int, documents: int) -> list[str]:
    """The next job ids: at most `limit`, fewer where they have more than `documents` documents together."""
    found: list[str] = []
    for id_, count in _NEXT_JOBS.run(session, after=after, limit=limit).all():
        found.append(id_)
        documents -= count
        if documents <= 0:
            break
    return found


def _job(row: Sequence[Any]) -> JobFacts:
    told, rest = row[9 : 9 + len(_TOTALS)], [int(n) for n in row[9 + len(_TOTALS) :]]
    states = dict(zip(DOCUMENT_STATES, rest[1:7], strict=True))
    summed = (rest[0], states["succeeded"], states["partial"], states["failed"], states["canceled"], *rest[7:])
    flags = [bool(value) for value in row[2:9]]
    return JobFacts(row[0], row[1], *flags, tuple(told), summed, states)


# --- what is stored


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What a document's row and its pages' rows say of the store."""

    job_id: str
    id: str
    state: str
    attempt: int
    worker: str | None
    result_attempt: int | None
    source_key: str
    bytes: int
    succeeded: int
    needs_source: bool
    """It is still to be opened, or pages of it are still to be read."""


_STORED = Sql(
    """SELECT job_id, id, state, attempt, worker, result_attempt, source_key, bytes, succeeded,
              state IN ('queued', 'running') AND (NOT sealed OR pending > 0 OR running > 0)
       FROM document WHERE job_id IN (SELECT id FROM {list:ids(id text)}) ORDER BY job_id, id"""
)
_MANIFESTS = Sql(
    """SELECT id, manifest, deleted_at IS NOT NULL FROM job WHERE id IN (SELECT id FROM {list:ids(id text)})
       ORDER BY id"""
)
_NAMED_PAGES = Sql(
    """SELECT document_id, number, attempt, state FROM page
       WHERE document_id IN (SELECT id FROM {list:ids(id text)}) AND state IN ('succeeded', 'running')"""
)
_BY_SOURCE = Sql(
    """SELECT d.id, d.source_key, d.bytes FROM document d WHERE d.id IN (SELECT id FROM {list:ids(id text)})"""
)


def stored_documents(session: Session, jobs: Sequence[str]) -> list[StoredDocument]:
    """The documents of these jobs, by job and id."""
    rows = _STORED.run(session, ids=[{"id": i} for i in jobs])
    return [StoredDocument(*row[:9], bool(row[9])) for row in rows]


def manifests(session: Session, jobs: Sequence[str]) -> dict[str, tuple[bool, bool]]:
    """By job: whether it has a manifest, whether it is deleted."""
    return {row[0]: (bool(row[1]), bool(row[2])) for row in _MANIFESTS.run(session, ids=[{"id": i} for i in jobs])}


def named_pages(session: Session, documents: Sequence[str]) -> Iterator[tuple[str, int, int, str]]:
    """(document, number, attempt, state) of pages whose result is stored, or may be at any moment."""
    for row in _NAMED_PAGES.run(session, ids=[{"id": i} for i in documents]):
        yield row[0], row[1], row[2], row[3]


def sources(session: Session, documents: Sequence[str]) -> dict[str, tuple[str, int]]:
    """By document: its source's key and size in bytes."""
    return {row[0]: (row[1], row[2]) for row in _BY_SOURCE.run(session, ids=[{"id": i} for i in documents])}


# --- workers, leases, rings


@dataclass(frozen=True, slots=True)
class Silent:
    """A row that says nothing for too long, and since when (seconds)."""

    id: str
    what: str
    age: float


_AGE_POSTGRESQL = "extract(epoch FROM statement_timestamp() - {0})"
_AGE_SQLITE = "((julianday('now') - julianday({0})) * 86400.0)"


def _aged(template: str) -> tuple[Sql, Sql]:
    """A statement with `{age:column}` for seconds since then, for PostgreSQL and for SQLite."""
    postgresql, sqlite = template, template
    for column in ("heartbeat_at", "expires_at", "w.heartbeat_at", "rung_at", "p.rung_at"):
        postgresql = postgresql.replace(f"{{age:{column}}}", _AGE_POSTGRESQL.format(column))
        sqlite = sqlite.replace(f"{{age:{column}}}", _AGE_SQLITE.format(column))
    return Sql(postgresql), Sql(sqlite)


_SILENT = _aged(
    """SELECT id, state, {age:heartbeat_at} FROM worker
       WHERE state IN ('alive', 'draining') AND heartbeat_at < {later:-:age} ORDER BY id LIMIT 1000"""
)
_LEFT_BY_DEAD = _aged(
    """SELECT w.id, w.state, {age:w.heartbeat_at} FROM worker w
       WHERE w.state IN ('dead', 'stopped') AND w.heartbeat_at < {later:-:age} AND (
         EXISTS (SELECT 1 FROM page p WHERE p.worker = w.id AND p.state = 'running')
         OR EXISTS (SELECT 1 FROM document d WHERE d.worker = w.id))
       ORDER BY w.id LIMIT 1000"""
)
_LEASES = _aged("SELECT name, holder, {age:expires_at} FROM lease ORDER BY name")
_OLD_PAGE_RINGS = _aged(
    """SELECT d.engine, count(*), max({age:p.rung_at}) FROM page p JOIN document d ON d.id = p.document_id
       WHERE p.state = 'pending' AND p.rung_at IS NOT NULL AND p.rung_at < {later:-:age} GROUP BY d.engine
       ORDER BY d.engine"""
)
_OLD_DOCUMENT_RINGS = _aged(
    """SELECT CASE WHEN sealed THEN 'assemble' ELSE 'split' END, count(*), max({age:rung_at}) FROM document
       WHERE rung_at IS NOT NULL AND worker IS NULL AND rung_at < {later:-:age} AND state IN ('queued', 'running')
       GROUP BY sealed ORDER BY sealed"""
)
_FRESH = Sql("SELECT 1 FROM worker WHERE state = 'alive' AND heartbeat_at >= {later:-:age} LIMIT 1")
_ENGINES = Sql("SELECT engine, sum(CASE WHEN state = 'alive' THEN capacity ELSE 0 END) FROM worker GROUP BY engine")
_LOST_PAGES = Sql(
    """SELECT p.document_id, count(*) FROM page p
       WHERE NOT EXISTS (SELECT 1 FROM document d WHERE d.id = p.document_id) GROUP BY p.document_id LIMIT 1000"""
)


def _run(statement: tuple[Sql, Sql], session: Session, **values: Any) -> list[Silent]:
    postgresql, sqlite = statement
    rows = (sqlite if is_sqlite(session) else postgresql).run(session, **values)
    return [Silent(str(row[0]), str(row[1]), float(row[2])) for row in rows]


def silent_workers(session: Session, age: float) -> list[Silent]:
    """Workers that count as living and have not been heard of for so many seconds."""
    return _run(_SILENT, session, age=age)


def left_by_dead(session: Session, age: float) -> list[Silent]:
    """Workers that ended so long ago, and hold something still."""
    return _run(_LEFT_BY_DEAD, session, age=age)


def leases(session: Session) -> list[Silent]:
    """Every lease; `age` is how long ago it ran out, negative where it is still to."""
    return _run(_LEASES, session)


def old_rings(session: Session, age: float) -> list[Silent]:
    """Rings older than `age` seconds by engine, `split` and `assemble`: how many as `what`, the age of the oldest."""
    return _run(_OLD_PAGE_RINGS, session, age=age) + _run(_OLD_DOCUMENT_RINGS, session, age=age)


def anybody_lives(session: Session, age: float) -> bool:
    """Whether a worker has been heard of in the last `age` seconds."""
    return _FRESH.run(session, age=age).first() is not None


def engines(session: Session) -> dict[str, int]:
    """Engines of all workers that are known, with the capacity of the living."""
    return {row[0]: int(row[1]) for row in _ENGINES.run(session)}


def pages_of_nobody(session: Session) -> dict[str, int]:
    """Pages whose document does not exist, counted by its id: foreign keys were switched off when it was deleted."""
    return {row[0]: int(row[1]) for row in _LOST_PAGES.run(session)}
