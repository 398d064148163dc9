"""What the dispatcher asks the database: which pages and documents to ring next, and whose ring was lost.

`rung_at` is the stamp of a message on its way. The window is the number of stamped, unclaimed rows; it bounds what
Redis holds whatever the backlog. Stamps are set and cleared under one lock, one dispatcher at a time (rule 2).

These statements touch pages of all jobs and then documents, which is against the lock order of everybody else. So they
wait for nobody: a row that is locked is changing hands just now and is left for the next round.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

from jobs.store.claiming import DocumentRef, PageRef
from jobs.store.sql import Sql, is_sqlite

_DISPATCH_LOCK = 0x70616765_6D696C6C  # "pagemill"

_WINDOW = Sql(
    """SELECT d.engine, count(*) FROM page p JOIN document d ON d.id = p.document_id
       WHERE p.state = 'pending' AND p.rung_at IS NOT NULL GROUP BY d.engine"""
)
_STAMP_PAGES = Sql(
    """WITH chosen AS MATERIALIZED (
         SELECT p.document_id AS d, p.number AS n
         FROM document doc JOIN page p ON p.document_id = doc.id
         WHERE doc.engine = :engine AND doc.state = 'running' AND doc.pending > 0
           AND p.state = 'pending' AND p.rung_at IS NULL AND p.ready_at <= {now}
         ORDER BY doc.priority, doc.id, p.number LIMIT :free {skip_locked_p})
       UPDATE page SET rung_at = {now} FROM chosen
       WHERE page.document_id = chosen.d AND page.number = chosen.n
       RETURNING document_id, number, attempt, crashes,
                 (SELECT priority FROM document WHERE document.id = page.document_id)"""
)
_DOCUMENT_WINDOW = Sql(
    "SELECT sealed, count(*) FROM document WHERE rung_at IS NOT NULL AND worker IS NULL GROUP BY sealed"
)
_STAMP_SPLITS = Sql(
    """WITH chosen AS MATERIALIZED (
         SELECT id FROM document WHERE state IN ('queued','running') AND NOT sealed AND worker IS NULL
           AND rung_at IS NULL AND ready_at <= {now} ORDER BY priority, id LIMIT :free {skip_locked})
       UPDATE document SET rung_at = {now} FROM chosen WHERE document.id = chosen.id
       RETURNING document.id, attempt"""
)
_STAMP_ASSEMBLIES = Sql(
    """WITH chosen AS MATERIALIZED (
         SELECT id FROM document WHERE state = 'running' AND sealed AND pending = 0 AND running = 0
           AND worker IS NULL AND rung_at IS NULL AND ready_at <= {now} ORDER BY priority, id LIMIT :free {skip_locked})
       UPDATE document SET rung_at = {now} FROM chosen WHERE document.id = chosen.id
       RETURNING document.id, attempt"""
)
_CLEAR_PAGES = Sql(
    """WITH old AS MATERIALIZED (
         SELECT document_id AS d, number AS n FROM page
         WHERE state = 'pending' AND rung_at IS NOT NULL AND rung_at < {later:-:age}
           AND (:engine = '' OR document_id IN (SELECT id FROM document WHERE engine = :engine AND state = 'running'))
         {skip_locked})
       UPDATE page SET rung_at = NULL FROM old WHERE page.document_id = old.d AND page.number = old.n
       RETURNING page.number"""
)
_CLEAR_DOCUMENTS = Sql(
    """WITH old AS MATERIALIZED (
         SELECT id FROM document WHERE rung_at IS NOT NULL AND worker IS NULL AND rung_at < {later:-:age}
           AND (CAST(:sealed AS boolean) IS NULL OR sealed = CAST(:sealed AS boolean)) {skip_locked})
       UPDATE document SET rung_at = NULL FROM old WHERE document.id = old.id RETURNING document.id"""
)
_UNRING_PAGES = Sql(
    """WITH unsent AS MATERIALIZED (
         SELECT p.document_id AS d, p.number AS n FROM page p JOIN {list:refs(d text, n int, a int)}
           ON p.document_id = refs.d AND p.number = refs.n AND p.attempt = refs.a
         WHERE p.state = 'pending' {skip_locked_p})
       UPDATE page SET rung_at = NULL FROM unsent WHERE page.document_id = unsent.d AND page.number = unsent.n"""
)
_UNRING_DOCUMENTS = Sql(
    """WITH unsent AS MATERIALIZED (
         SELECT p.id FROM document p JOIN {list:refs(d text, a int)} ON p.id = refs.d AND p.attempt = refs.a
         WHERE p.worker IS NULL {skip_locked_p})
       UPDATE document SET rung_at = NULL FROM unsent WHERE document.id = unsent.id"""
)


@dataclass(frozen=True, slots=True)
class Rung:
    """A page that was stamped. Pages that were there when a worker died travel apart from others."""

    ref: PageRef
    crashes: int


def dispatch_lock(session: Session) -> bool:
    """Be the one dispatcher until this transaction ends. False where another one is at work."""
    if is_sqlite(session):
        return True  # BEGIN IMMEDIATE is the lock
    return bool(session.connection().execute(text(f"SELECT pg_try_advisory_xact_lock({_DISPATCH_LOCK})")).scalar())


def page_window(session: Session) -> dict[str, int]:
    """Stamped, unclaimed pages by engine."""
    return {row[0]: row[1] for row in _WINDOW.run(session)}


def stamp_pages(session: Session, engine: str, free: int) -> list[Rung]:
    """Choose up to `free` pages and stamp them, in order of class, then document (age), then page."""
    rows = _STAMP_PAGES.run(session, engine=engine, free=free)
    ordered = sorted(rows, key=lambda row: (row[4], row[0], row[1]))
    return [Rung(PageRef(row[0], row[1], row[2]), row[3]) for row in ordered]


def document_window(session: Session) -> tuple[int, int]:
    """Stamped, unclaimed documents: to be split, to be assembled."""
    counts = {bool(row[0]): row[1] for row in _DOCUMENT_WINDOW.run(session)}
    return counts.get(False, 0), counts.get(True, 0)


def stamp_splits(session: Session, free: int) -> list[DocumentRef]:
    return sorted(DocumentRef(row[0], row[1]) for row in _STAMP_SPLITS.run(session, free=free))


def stamp_assemblies(session: Session, free: int) -> list[DocumentRef]:
    return sorted(DocumentRef(row[0], row[1]) for row in _STAMP_ASSEMBLIES.run(session, free=free))


def clear_page_stamps(session: Session, age: float, engine: str = "") -> int:
    """Forget rings older than `age` seconds, of one engine where given. Returns how many."""
    return len(_CLEAR_PAGES.run(session, age=age, engine=engine).all())


def clear_document_stamps(session: Session, age: float, sealed: bool | None = None) -> int:
    """Forget rings of documents older than `age` seconds: of splits (False), assemblies (True) or both (None)."""
    return len(_CLEAR_DOCUMENTS.run(session, age=age, sealed=sealed).all())


def unring_pages(session: Session, refs: list[PageRef]) -> None:
    """These messages were never sent."""
    _UNRING_PAGES.run(session, refs=[{"d": r.document, "n": r.number, "a": r.attempt} for r in refs])


def unring_documents(session: Session, refs: list[DocumentRef]) -> None:
    """These messages were never sent."""
    _UNRING_DOCUMENTS.run(session, refs=[{"d": r.document, "a": r.attempt} for r in refs])
