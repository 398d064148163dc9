"""What `pagemill reconcile` asks of the clockwork: workers, leases, rings, and what a message names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.models import PAGE_FINAL
from jobs.store.sql import Sql, is_sqlite

LIMIT = 1000
"""Rows told of each kind."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Something that has been as it is for so long."""

    id: str
    token: str
    """Changes when something happened to it meanwhile."""
    age: float
    """Seconds."""
    count: int = 1


_AGE_POSTGRESQL = "extract(epoch FROM statement_timestamp() - {0})"
_AGE_SQLITE = "((julianday('now') - julianday({0})) * 86400.0)"


def _aged(template: str, column: str) -> tuple[Sql, Sql]:
    """A statement with `{age}` for seconds since the time in `column`, for PostgreSQL and for SQLite."""
    return (
        Sql(template.replace("{age}", _AGE_POSTGRESQL.format(column))),
        Sql(template.replace("{age}", _AGE_SQLITE.format(column))),
    )


def _run(statement: tuple[Sql, Sql], session: Session, **values: Any) -> list[Silent]:
    postgresql, sqlite = statement
    rows = (sqlite if is_sqlite(session) else postgresql).run(session, **values)
    return [Silent(str(row[0]), str(row[1]), float(row[2]), int(row[3])) for row in rows]


_SILENT = _aged(
    f"""SELECT id, heartbeat_at, {{age}}, 1 FROM worker
       WHERE state IN ('alive', 'draining') AND heartbeat_at < {{later:-:age}} ORDER BY id LIMIT {LIMIT}""",
    "heartbeat_at",
)
_HOLDS = """EXISTS (SELECT 1 FROM page p WHERE p.worker = w.id AND p.state = 'running')
         OR EXISTS (SELECT 1 FROM document d WHERE d.worker = w.id)"""
_LEFT_WORK = _aged(
    f"""SELECT w.id, w.state, {{age}},
              (SELECT count(*) FROM page p WHERE p.worker = w.id AND p.state = 'running')
              + (SELECT count(*) FROM document d WHERE d.worker = w.id) FROM worker w
       WHERE w.state IN ('dead', 'stopped') AND ({_HOLDS}) ORDER BY w.id LIMIT {LIMIT}""",
    "w.heartbeat_at",
)
_UNFORGOTTEN = _aged(
    f"""SELECT w.id, w.state, {{age}}, 1 FROM worker w
       WHERE w.state IN ('dead', 'stopped') AND w.heartbeat_at < {{later:-:age}} AND NOT ({_HOLDS})
       ORDER BY w.id LIMIT {LIMIT}""",
    "w.heartbeat_at",
)
_LEASES = _aged("SELECT name, holder || ' ' || expires_at, {age}, 1 FROM lease ORDER BY name", "expires_at")
_OLD_PAGE_RINGS = _aged(
    """SELECT d.engine, min(p.rung_at), max({age}), count(*) FROM page p JOIN document d ON d.id = p.document_id
       WHERE p.state = 'pending' AND p.rung_at IS NOT NULL AND p.rung_at < {later:-:age}
       GROUP BY d.engine ORDER BY d.engine""",
    "p.rung_at",
)
_OLD_DOCUMENT_RINGS = _aged(
    """SELECT CASE WHEN sealed THEN 'assemble' ELSE 'split' END, min(rung_at), max({age}), count(*) FROM document
       WHERE rung_at IS NOT NULL AND worker IS NULL AND rung_at < {later:-:age} AND state IN ('queued', 'running')
       GROUP BY sealed ORDER BY sealed""",
    "rung_at",
)


def silent_workers(session: Session, age: float) -> list[Silent]:
    """Workers that count as living and have had no heartbeat for so many seconds; the token is that heartbeat."""
    return _run(_SILENT, session, age=age)


def left_work(session: Session) -> list[Silent]:
    """Workers that ended and hold something still; `count` is how much."""
    return _run(_LEFT_WORK, session)


def unforgotten(session: Session, age: float) -> list[Silent]:
    """Workers that ended so many seconds ago and hold nothing."""
    return _run(_UNFORGOTTEN, session, age=age)


def leases(session: Session) -> list[Silent]:
    """Every lease; `age` is how long ago it ran out, negative where it is still to. The token is holder and time."""
    return _run(_LEASES, session)


def old_rings(session: Session, age: float) -> list[Silent]:
    """Rings older than `age` seconds by engine, `split` and `assemble`; the token is the oldest one."""
    return _run(_OLD_PAGE_RINGS, session, age=age) + _run(_OLD_DOCUMENT_RINGS, session, age=age)


# --- work that waits although nothing is rung

_ENGINES = Sql(
    """SELECT engine, sum(CASE WHEN drain_requested THEN 0 ELSE capacity END) FROM worker
       WHERE state = 'alive' AND heartbeat_at >= {later:-:age}
       GROUP BY engine ORDER BY engine"""
)
_PAGES_RUNG = Sql(
    """SELECT 1 FROM page p JOIN document d ON d.id = p.document_id
       WHERE p.state = 'pending' AND p.rung_at IS NOT NULL AND d.engine = :engine LIMIT 1"""
)
_PAGE_WAITS = _aged(
    """SELECT p.document_id || '/' || p.number, p.attempt, {age}, 1 FROM document d JOIN page p ON p.document_id = d.id
       WHERE d.engine = :engine AND d.state = 'running' AND d.pending > 0
         AND d.owner NOT IN (SELECT owner FROM pause)
         AND p.state = 'pending' AND p.rung_at IS NULL AND p.ready_at < {later:-:age}
       ORDER BY d.priority, d.id, p.number LIMIT 1""",
    "p.ready_at",
)
_DOCUMENT_WAITS = _aged(
    """SELECT id, attempt, {age}, 1 FROM document
       WHERE ((state IN ('queued', 'running') AND NOT sealed AND owner NOT IN (SELECT owner FROM pause))
              OR (state = 'running' AND sealed AND pending = 0 AND running = 0))
         AND worker IS NULL AND rung_at IS NULL AND ready_at < {later:-:age}
         AND NOT EXISTS (SELECT 1 FROM document r WHERE r.rung_at IS NOT NULL AND r.worker IS NULL)
       ORDER BY priority, id LIMIT 1""",
    "ready_at",
)


def living_engines(session: Session, age: float) -> dict[str, int]:
    """Capacity by engine of workers that were heard of in the last `age` seconds; 0 where they serve no pages."""
    return {row[0]: int(row[1]) for row in _ENGINES.run(session, age=age)}


def waiting_pages(session: Session, engine: str, age: float) -> list[Silent]:
    """The first page that has been ready for so many seconds while no page of the engine is rung."""
    if _PAGES_RUNG.run(session, engine=engine).first() is not None:
        return []
    return _run(_PAGE_WAITS, session, engine=engine, age=age)


def waiting_documents(session: Session, age: float) -> list[Silent]:
    """The first document that has been ready to be split or assembled for so long while none is rung."""
    return _run(_DOCUMENT_WAITS, session, age=age)


# --- what messages name

_ENDED_PAGES = ", ".join(f"'{state.value}'" for state in sorted(PAGE_FINAL))
_OPEN_PAGES = Sql(
    f"""SELECT p.document_id, p.number FROM page p JOIN {{list:refs(d text, n int)}}
         ON p.document_id = refs.d AND p.number = refs.n
       WHERE p.state NOT IN ({_ENDED_PAGES})"""
)
_OPEN_DOCUMENTS = Sql(
    """SELECT id FROM document WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state IN ('queued', 'running')"""
)
_UNPURGED = Sql("SELECT id FROM job WHERE id IN (SELECT id FROM {list:ids(id text)}) AND purged_at IS NULL")


def open_pages(session: Session, pages: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of these pages (document, number) that have not ended."""
    refs = [{"d": document, "n": number} for document, number in pages]
    return {(row[0], row[1]) for row in _OPEN_PAGES.run(session, refs=refs)}


def open_documents(session: Session, documents: Sequence[str]) -> set[str]:
    """Those of these documents that have not ended."""
    return {row[0] for row in _OPEN_DOCUMENTS.run(session, ids=[{"id": i} for i in documents])}


def unpurged_jobs(session: Session, jobs: Sequence[str]) -> set[str]:
    """Those of these jobs of which something may be left."""
    return {row[0] for row in _UNPURGED.run(session, ids=[{"id": i} for i in jobs])}
