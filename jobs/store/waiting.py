"""Who waits for a turn and what is in flight, asked so that the answer costs the same whatever the backlog.

Waiting jobs are found by a loose index scan: from one owner to the next, from one of its jobs to the next, a probe
each, whatever documents and pages they have. What is in flight is read from partial indexes, which hold little more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlmodel import Session

from jobs.fairness import Caps, Flight, Turn
from jobs.store.sql import Sql

# The conditions of ix_document_pending, ix_document_split and ix_document_fetch, word for word.
PAGES_WAIT = "d.engine = :engine AND d.state = 'running' AND d.pending > 0"
_UNSEALED = "d.state IN ('queued','running') AND NOT d.sealed AND d.worker IS NULL"
SPLITS_WAIT = f"{_UNSEALED} AND d.source_url IS NULL"
FETCHES_WAIT = f"{_UNSEALED} AND d.source_url IS NOT NULL"

# A subquery as a value, not EXISTS: PostgreSQL would turn that into a join and, without statistics, read all pages.
_PAGE_READY = """(SELECT p.number FROM page p WHERE p.document_id = d.id AND p.state = 'pending' AND p.rung_at IS NULL
                 AND p.ready_at <= {now} LIMIT 1) IS NOT NULL"""
_DOCUMENT_READY = "d.rung_at IS NULL AND d.ready_at <= {now}"


def _turns(wait: str, ready: str) -> Sql:
    """Jobs with something that can be rung now: of each class and owner the oldest ones.

    A row of `turns` carries the next job and whether the one before it (`seen`) had something. That is not asked of
    jobs in flight (`flying`): most have, and who has not is found out when its pages are stamped. They do not count
    against the depth either: twice an equal part of the free slots, or all of them where one owner waits.
    """
    return Sql(
        f"""WITH RECURSIVE owners(priority, owner) AS (
              SELECT c.priority, (SELECT d.owner FROM document d WHERE {wait} AND d.priority = c.priority
                                  ORDER BY d.owner LIMIT 1)
              FROM (SELECT 0 AS priority UNION ALL SELECT 1) AS c
              UNION ALL
              SELECT o.priority, (SELECT d.owner FROM document d WHERE {wait} AND d.priority = o.priority
                                  AND d.owner > o.owner ORDER BY d.owner LIMIT 1)
              FROM owners o WHERE o.owner IS NOT NULL),
            served AS (
              SELECT priority, owner FROM owners WHERE owner IS NOT NULL AND owner NOT IN (SELECT owner FROM pause)),
            turns(priority, owner, job, seen, found, fresh) AS (
              SELECT priority, owner, (SELECT d.job_id FROM document d WHERE {wait} AND d.priority = s.priority
                                       AND d.owner = s.owner ORDER BY d.job_id LIMIT 1),
                     CAST(NULL AS varchar), CAST(0 AS bigint), CAST(0 AS bigint)
              FROM served s
              UNION ALL
              SELECT t.priority, t.owner, (SELECT d.job_id FROM document d WHERE {wait} AND d.priority = t.priority
                                           AND d.owner = t.owner AND d.job_id > t.job ORDER BY d.job_id LIMIT 1),
                     t.job,
                     CASE WHEN t.job IN (SELECT job FROM {{list:flying(job text)}}) THEN -1 ELSE
                       (SELECT count(*) FROM (SELECT 1 FROM document d WHERE {wait} AND d.priority = t.priority
                                              AND d.owner = t.owner AND d.job_id = t.job AND {ready} LIMIT 1) AS one)
                     END,
                     t.fresh + CASE WHEN t.found > 0 THEN 1 ELSE 0 END
              FROM turns t WHERE t.job IS NOT NULL AND t.fresh <
                (SELECT CASE count(*) WHEN 0 THEN 0 WHEN 1 THEN CAST(:free AS int)
                                      ELSE 2 * CAST(:free AS int) / count(*) + 1 END FROM served))
            SELECT priority, owner, seen FROM turns WHERE found <> 0"""
    )


_PAGE_TURNS = _turns(PAGES_WAIT, _PAGE_READY)
_SPLIT_TURNS = _turns(SPLITS_WAIT, _DOCUMENT_READY)
_FETCH_TURNS = _turns(FETCHES_WAIT, _DOCUMENT_READY)
_ASSEMBLIES_WAIT = "d.state = 'running' AND d.sealed AND d.pending = 0 AND d.running = 0 AND d.worker IS NULL"


def _one(wait: str, order: str) -> str:
    return f"(SELECT 1 FROM document d WHERE {wait} AND {_DOCUMENT_READY} ORDER BY {order} LIMIT 1) IS NOT NULL"


_BY_TURN = "d.priority, d.owner, d.job_id, d.id"
# In the order of their indexes, else PostgreSQL reads the table: by its statistics, which take what is true of many
# documents to be true of the same ones, a quarter of all are to be put together in the middle of a job.
_CHORES = Sql(
    f"SELECT {_one(FETCHES_WAIT, _BY_TURN)}, {_one(SPLITS_WAIT, _BY_TURN)},"
    f" {_one(_ASSEMBLIES_WAIT, 'd.priority, d.id')}"
)
_PAGES_IN_FLIGHT = Sql(
    """SELECT d.engine, d.priority, d.owner, d.job_id, count(*), sum(p.rung)
       FROM (SELECT document_id, 1 AS rung FROM page WHERE state = 'pending' AND rung_at IS NOT NULL
             UNION ALL SELECT document_id, 0 FROM page WHERE state = 'running') AS p
       JOIN document d ON d.id = p.document_id GROUP BY d.engine, d.priority, d.owner, d.job_id"""
)
_DOCUMENTS_IN_FLIGHT = Sql(
    """SELECT chore, priority, owner, job_id, count(*), sum(rung)
       FROM (SELECT CASE WHEN sealed THEN 'assemble' WHEN source_url IS NULL THEN 'split' ELSE 'fetch' END AS chore,
                    priority, owner, job_id, 1 AS rung
             FROM document WHERE rung_at IS NOT NULL AND worker IS NULL
             UNION ALL
             SELECT CASE WHEN sealed THEN 'assemble' WHEN source_url IS NULL THEN 'split' ELSE 'fetch' END,
                    priority, owner, job_id, 0
             FROM document WHERE worker IS NOT NULL) AS d
       GROUP BY chore, priority, owner, job_id"""
)


class Window(Flight):
    """What is in flight, and how much of it is rung and not claimed: that lies in Redis."""

    __slots__ = ("rung",)

    def __init__(self) -> None:
        super().__init__()
        self.rung = 0


def pages_in_flight(session: Session) -> dict[str, Window]:
    """By engine; engines without are absent."""
    windows: dict[str, Window] = {}
    for engine, priority, owner, job, count, rung in _PAGES_IN_FLIGHT.run(session):
        _count(windows.setdefault(engine, Window()), Turn(priority, owner, job), count, rung)
    return windows


class Chores(NamedTuple):
    """Whether there is a document of which this can be done now; of paused owners too."""

    fetches: bool
    splits: bool
    assemblies: bool


def chores(session: Session) -> Chores:
    """Three probes in one statement. Most rounds of dispatch find none, and need not ask whose turn it is."""
    fetches, splits, assemblies = _CHORES.run(session).one()
    return Chores(bool(fetches), bool(splits), bool(assemblies))


class DocumentWindows(NamedTuple):
    """Documents in flight, by what is done with them."""

    fetches: Window
    splits: Window
    assemblies: Window


def documents_in_flight(session: Session) -> DocumentWindows:
    windows = {"fetch": Window(), "split": Window(), "assemble": Window()}
    for chore, priority, owner, job, count, rung in _DOCUMENTS_IN_FLIGHT.run(session):
        _count(windows[chore], Turn(priority, owner, job), count, rung)
    return DocumentWindows(windows["fetch"], windows["split"], windows["assemble"])


def _count(window: Window, turn: Turn, count: int, rung: int) -> None:
    window.add(turn, int(count))
    window.rung += int(rung)


_CAPS = Sql(
    """SELECT id, {text_of:api_key.limits.pages_in_flight} FROM api_key
       WHERE {text_of:api_key.limits.pages_in_flight} IS NOT NULL"""
)


def caps(session: Session, default: int | None) -> Caps:
    """How many pages keys may have in flight, `default` where they say nothing of their own."""
    return Caps({key: int(cap) for key, cap in _CAPS.run(session)}, default)


def pages_waiting(session: Session, engine: str, free: int, flying: Iterable[str]) -> list[Turn]:
    """Jobs with pages that can be rung now: enough to give `free` of them away, those in flight included."""
    rows = _PAGE_TURNS.run(session, engine=engine, free=free, flying=[{"job": job} for job in flying])
    return [Turn(*row) for row in rows]


def splits_waiting(session: Session, free: int, flying: Iterable[str]) -> list[Turn]:
    """The same of documents to be split."""
    return _documents_waiting(session, _SPLIT_TURNS, free, flying)


def fetches_waiting(session: Session, free: int, flying: Iterable[str]) -> list[Turn]:
    """The same of documents whose files are to be fetched."""
    return _documents_waiting(session, _FETCH_TURNS, free, flying)


def _documents_waiting(session: Session, turns: Sql, free: int, flying: Iterable[str]) -> list[Turn]:
    return [Turn(*row) for row in turns.run(session, free=free, flying=[{"job": job} for job in flying])]
