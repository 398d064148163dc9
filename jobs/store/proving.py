"""What `pagemill reconcile` reads: rows beside the counts they must agree with, each piece in one statement.

One statement is one snapshot on both databases, so what others do meanwhile is seen whole or not at all: between rows
that one transaction writes together there is no difference to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.models import PAGE_FINAL, PageState
from jobs.store.sql import Sql, within

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
    "page_delayed": "(p.state = 'pending' AND p.ready_at > {later::horizon})",
    "page_error_missing": "(p.state = 'failed' AND p.error IS NULL)",
    "page_error_kept": "(p.state = 'succeeded' AND p.error IS NOT NULL)",
}
"""What is wrong with a page `p`, as a condition; `:horizon` in seconds is a delay that nobody sets."""


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
    delayed: bool
    """It is open, and may not be claimed for longer than any delay lasts."""
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
              j.state, d.state IN ('queued', 'running') AND d.ready_at > {{later::horizon}},
              d.worker IS NULL OR w.id IS NOT NULL, d.total,
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
_NEXT_DOCUMENTS = Sql("SELECT id, total FROM document WHERE id > :after ORDER BY id LIMIT :limit")
_PAGES_OF_NOBODY = Sql(
    """SELECT p.document_id, count(*) FROM page p
       WHERE p.document_id > :after AND (p.document_id <= :last OR :last = '')
         AND NOT EXISTS (SELECT 1 FROM document d WHERE d.id = p.document_id)
       GROUP BY p.document_id ORDER BY p.document_id LIMIT 1000"""
)


def documents(session: Session, ids: Sequence[str], horizon: float) -> list[DocumentFacts]:
    """These documents, by id; those that are gone left out. `horizon`: seconds, see PAGE_RULES."""
    return [_document(row) for row in _DOCUMENTS.run(session, ids=[{"id": i} for i in ids], horizon=horizon)]


def document_ids(session: Session, after: str, limit: int, pages: int) -> list[str]:
    """The next document ids: at most `limit`, fewer where they have more than `pages` pages together."""
    return within(_NEXT_DOCUMENTS.run(session, after=after, limit=limit), pages)


def pages_of_nobody(session: Session, after: str, last: str) -> dict[str, int]:
    """Pages whose document does not exist, counted by its id, of the ids in (after, last]; to the end where `last` is
    empty."""
    return {row[0]: int(row[1]) for row in _PAGES_OF_NOBODY.run(session, after=after, last=last)}


def odd_pages(session: Session, document: str, horizon: float, limit: int = 1000) -> list[tuple[int, str, list[str]]]:
    """(number, state, names in PAGE_RULES) of the document's pages with which something is wrong."""
    return [
        (row[0], row[1], [rule for rule, wrong in zip(PAGE_RULES, row[2:], strict=True) if wrong])
        for row in _ODD_PAGES.run(session, document=document, limit=limit, horizon=horizon)
    ]


def _document(row: Sequence[Any]) -> DocumentFacts:
    first, rest = row[:16], row[16:]
    size = len(COUNTERS)
    return DocumentFacts(
        id=first[0], job_id=first[1], state=first[2], sealed=bool(first[3]), worker=first[4], attempt=first[5],
        rung=bool(first[6]), ended=bool(first[7]), has_error=bool(first[8]), source_pages=first[9],
        source_key=first[10], result_attempt=first[11], job_state=first[12], delayed=bool(first[13]),
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
    """Nothing has happened to it for the time given: its last document's end and its own are older."""
    purge_due: bool
    """It was deleted longer ago than the other time given."""
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
                AND (j.finished_at IS NULL OR j.finished_at < {{later:-:age}}), false),
              coalesce(j.deleted_at < {{later:-:purge}}, false),
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


def jobs(session: Session, ids: Sequence[str], age: float, purge: float) -> list[JobFacts]:
    """These jobs, by id. `age`, `purge`: seconds after which one is `settled`, and to be purged."""
    return [_job(row) for row in _JOBS.run(session, ids=[{"id": i} for i in ids], age=age, purge=purge)]


def job_ids(session: Session, after: str, limit: int, documents: int) -> list[str]:
    """The next job ids: at most `limit`, fewer where they have more than `documents` documents together."""
    return within(_NEXT_JOBS.run(session, after=after, limit=limit), documents)


def _job(row: Sequence[Any]) -> JobFacts:
    told, rest = row[10 : 10 + len(_TOTALS)], [int(n) for n in row[10 + len(_TOTALS) :]]
    states = dict(zip(DOCUMENT_STATES, rest[1:7], strict=True))
    summed = (rest[0], states["succeeded"], states["partial"], states["failed"], states["canceled"], *rest[7:])
    sealed, ended, manifest, has_password, deleted, purged, settled, purge_due = (bool(value) for value in row[2:10])
    return JobFacts(
        row[0], row[1], sealed, ended, manifest, has_password, deleted, purged, settled, purge_due,
        tuple(told), summed, states,
    )  # fmt: skip
