"""What the dispatcher asks the database: which pages and documents to ring next, and whose ring was lost.

`rung_at` is the stamp of a message on its way. The window is the number of stamped, unclaimed rows; it bounds what
Redis holds whatever the backlog. Stamps are set and cleared under one lock, one dispatcher at a time (rule 2).

These statements touch pages of all jobs and then documents, which is against the lock order of everybody else. So they
wait for nobody: a row that is locked is changing hands just now and is left for the next round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlmodel import Session

from jobs.fairness import Caps, Turn, fill
from jobs.store import waiting
from jobs.store.claiming import DocumentRef, PageRef
from jobs.store.sql import Sql, is_sqlite
from jobs.store.waiting import FETCHES_WAIT, PAGES_WAIT, SPLITS_WAIT, Window

Chore = Literal["fetch", "split", "assemble"]
"""What is done with documents as a whole."""

_DISPATCH_LOCK = Sql(f"SELECT pg_try_advisory_xact_lock({0x70616765_6D696C6C})")  # "pagemill"

# `total` is the sum of the quotas: it takes nothing away, but without it PostgreSQL expects a hundred rows and reads
# the whole table for them.
_STAMP_PAGES = Sql(
    f"""WITH chosen AS MATERIALIZED (
         SELECT quotas.priority, quotas.owner, quotas.job, c.d, c.n
         FROM {{list:quotas(priority int, owner text, job text, n int)}} CROSS JOIN LATERAL (
           SELECT p.document_id AS d, p.number AS n FROM document d CROSS JOIN LATERAL (
             SELECT document_id, number FROM page
             WHERE document_id = d.id AND state = 'pending' AND rung_at IS NULL AND ready_at <= {{now}}
             ORDER BY number LIMIT quotas.n {{skip_locked}}) AS p
           WHERE {PAGES_WAIT} AND d.priority = quotas.priority AND d.owner = quotas.owner AND d.job_id = quotas.job
           ORDER BY d.id LIMIT quotas.n) AS c
         LIMIT :total)
       UPDATE page SET rung_at = {{now}} FROM chosen
       WHERE page.document_id = chosen.d AND page.number = chosen.n
       RETURNING chosen.priority, chosen.owner, chosen.job, document_id, number, attempt, crashes"""
)


def _stamp_documents(wait: str) -> Sql:
    return Sql(
        f"""WITH chosen AS MATERIALIZED (
             SELECT quotas.priority, quotas.owner, quotas.job, c.id
             FROM {{list:quotas(priority int, owner text, job text, n int)}} CROSS JOIN LATERAL (
               SELECT id FROM document d WHERE {wait} AND d.rung_at IS NULL AND d.ready_at <= {{now}}
                 AND d.priority = quotas.priority AND d.owner = quotas.owner AND d.job_id = quotas.job
               ORDER BY id LIMIT quotas.n {{skip_locked}}) AS c
             LIMIT :total)
           UPDATE document SET rung_at = {{now}} FROM chosen WHERE document.id = chosen.id
           RETURNING chosen.priority, chosen.owner, chosen.job, document.id, attempt"""
    )


def _stamp_documents_of(wait: str) -> Sql:
    return Sql(
        f"""UPDATE document SET rung_at = {{now}} WHERE id IN (
             SELECT id FROM document d WHERE {wait} AND d.rung_at IS NULL AND d.ready_at <= {{now}}
               AND d.priority = :priority AND d.owner = :owner AND d.job_id = :job ORDER BY id LIMIT :n)
           RETURNING :priority, :owner, :job, id, attempt"""
    )


_STAMP_SPLITS, _STAMP_FETCHES = _stamp_documents(SPLITS_WAIT), _stamp_documents(FETCHES_WAIT)
# SQLite has no LATERAL and names no other table in RETURNING: there it is one statement per job. The index gives pages
# in order of number; told to sort by it, SQLite 3.40 would read all pages of the document first.
_STAMP_PAGES_OF = Sql(
    f"""WITH chosen AS MATERIALIZED (
         SELECT p.document_id AS d, p.number AS n FROM document d CROSS JOIN page p INDEXED BY ix_page_silent
         WHERE {PAGES_WAIT} AND d.priority = :priority AND d.owner = :owner AND d.job_id = :job
           AND p.document_id = d.id AND p.state = 'pending' AND p.rung_at IS NULL AND p.ready_at <= {{now}}
         ORDER BY d.id LIMIT :n)
       UPDATE page SET rung_at = {{now}} FROM chosen
       WHERE page.document_id = chosen.d AND page.number = chosen.n
       RETURNING :priority, :owner, :job, document_id, number, attempt, crashes"""
)
_STAMP_SPLITS_OF, _STAMP_FETCHES_OF = _stamp_documents_of(SPLITS_WAIT), _stamp_documents_of(FETCHES_WAIT)
_STAMP_ASSEMBLIES = Sql(
    """WITH chosen AS MATERIALIZED (
         SELECT id FROM document WHERE state = 'running' AND sealed AND pending = 0 AND running = 0
           AND worker IS NULL AND rung_at IS NULL AND ready_at <= {now} ORDER BY priority, id LIMIT :free {skip_locked})
       UPDATE document SET rung_at = {now} FROM chosen WHERE document.id = chosen.id
       RETURNING document.id, attempt, job_id"""
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
           AND :chore IN ('', CASE WHEN sealed THEN 'assemble' WHEN source_url IS NULL THEN 'split' ELSE 'fetch' END)
         {skip_locked})
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
    priority: int
    job: str


def dispatch_lock(session: Session) -> bool:
    """Be the one dispatcher until this transaction ends. False where another one is at work."""
    if is_sqlite(session):
        return True  # BEGIN IMMEDIATE is the lock
    return bool(_DISPATCH_LOCK.run(session).scalar())


def stamp_windows(session: Session, windows: Mapping[str, int], cap: int | None = None) -> dict[str, list[Rung]]:
    """Stamp pages of each engine until so many are rung. `cap`: how many an API key may have in flight, over all
    engines, where it names no number of its own."""
    flights = waiting.pages_in_flight(session)
    free = {engine: size - flights.setdefault(engine, Window()).rung for engine, size in windows.items()}
    free = {engine: slots for engine, slots in free.items() if slots > 0}
    caps = waiting.caps(session, cap) if free else Caps()
    rung = {}
    for engine, slots in free.items():
        flight = flights[engine]
        flight.caps = caps
        flight.elsewhere = sum((other.owners for other in flights.values() if other is not flight), Counter[str]())
        rung[engine] = stamp_pages(session, engine, slots, flight)
    return rung


def stamp_pages(session: Session, engine: str, free: int, window: Window | None = None) -> list[Rung]:
    """Choose up to `free` pages by jobs/fairness.py and stamp them; counted in `window`, which is asked for where
    absent. A job's pages are taken in order of document (age) and number. Returned by class, then document, then
    number: a message then opens few documents."""
    if free <= 0:
        return []
    if window is None:
        window = waiting.pages_in_flight(session).get(engine) or Window()
    turns = waiting.pages_waiting(session, engine, free, window.jobs)

    def stamp(quotas: Mapping[Turn, int]) -> list[tuple[Turn, Rung]]:
        rows = _stamped(session, _STAMP_PAGES, _STAMP_PAGES_OF, quotas, engine=engine)
        return [(turn, Rung(PageRef(d, n, a), crashes, turn.priority, turn.job)) for turn, (d, n, a, crashes) in rows]

    return sorted(fill(free, turns, window, stamp), key=lambda rung: (rung.priority, rung.ref))


def stamp_splits(
    session: Session, free: int, window: Window | None = None, jobs: dict[str, str] | None = None
) -> list[DocumentRef]:
    """Choose up to `free` documents to be split, by the same rule; interactive ones first, then by age. `jobs` learns
    the job of each."""
    if free <= 0:
        return []
    window = window or waiting.documents_in_flight(session).splits
    turns = waiting.splits_waiting(session, free, window.jobs)
    return _stamp_turns(session, _STAMP_SPLITS, _STAMP_SPLITS_OF, free, turns, window, jobs)


def stamp_fetches(
    session: Session, free: int, window: Window | None = None, jobs: dict[str, str] | None = None
) -> list[DocumentRef]:
    """The same of documents whose files are to be fetched."""
    if free <= 0:
        return []
    window = window or waiting.documents_in_flight(session).fetches
    turns = waiting.fetches_waiting(session, free, window.jobs)
    return _stamp_turns(session, _STAMP_FETCHES, _STAMP_FETCHES_OF, free, turns, window, jobs)


def _stamp_turns(
    session: Session, at_once: Sql, one_job: Sql, free: int, turns: list[Turn], window: Window,
    jobs: dict[str, str] | None,
) -> list[DocumentRef]:  # fmt: skip
    def stamp(quotas: Mapping[Turn, int]) -> list[tuple[Turn, tuple[int, DocumentRef]]]:
        rows = _stamped(session, at_once, one_job, quotas)
        if jobs is not None:
            jobs.update((row[0], turn.job) for turn, row in rows)
        return [(turn, (turn.priority, DocumentRef(d, a))) for turn, (d, a) in rows]

    return [ref for _, ref in sorted(fill(free, turns, window, stamp))]


def _stamped(
    session: Session, at_once: Sql, one_job: Sql, quotas: Mapping[Turn, int], **values: Any
) -> list[tuple[Turn, tuple[Any, ...]]]:
    """Stamp as many of each job as its quota says; each row with whose it is."""
    lines = [{"priority": t.priority, "owner": t.owner, "job": t.job, "n": n} for t, n in quotas.items()]
    if is_sqlite(session):
        rows = [row for line in lines for row in one_job.run(session, **values, **line)]
    else:
        rows = list(at_once.run(session, **values, quotas=lines, total=sum(quotas.values())))
    return [(Turn(*row[:3]), tuple(row[3:])) for row in rows]


def stamp_assemblies(session: Session, free: int, jobs: dict[str, str] | None = None) -> list[DocumentRef]:
    rows = _STAMP_ASSEMBLIES.run(session, free=free).all()
    if jobs is not None:
        jobs.update((row[0], row[2]) for row in rows)
    return sorted(DocumentRef(row[0], row[1]) for row in rows)


def clear_page_stamps(session: Session, age: float, engine: str = "") -> int:
    """Forget rings older than `age` seconds, of one engine where given. Returns how many."""
    return len(_CLEAR_PAGES.run(session, age=age, engine=engine).all())


def clear_document_stamps(session: Session, age: float, chore: Chore | None = None) -> int:
    """Forget rings of documents older than `age` seconds, of one chore where given. Returns how many."""
    return len(_CLEAR_DOCUMENTS.run(session, age=age, chore=chore or "").all())


def unring_pages(session: Session, refs: list[PageRef]) -> None:
    """These messages were never sent."""
    _UNRING_PAGES.run(session, refs=[{"d": r.document, "n": r.number, "a": r.attempt} for r in refs])


def unring_documents(session: Session, refs: list[DocumentRef]) -> None:
    """These messages were never sent."""
    _UNRING_DOCUMENTS.run(session, refs=[{"d": r.document, "a": r.attempt} for r in refs])
