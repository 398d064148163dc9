"""Claims: a page, a split or an assembly becomes one worker's, guarded by state, attempt and time.

Whatever does not match is skipped: doubled and stale messages do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlmodel import Session

from jobs.poison import GROUPED, Company
from jobs.store.locks import lock_jobs, share_worker
from jobs.store.sql import Sql, grouped, json_value


class PageRef(NamedTuple):
    """A page and the attempt that the message expects to find."""

    document: str
    number: int
    attempt: int


class DocumentRef(NamedTuple):
    """A document and the attempt that the message expects to find."""

    document: str
    attempt: int


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """What a worker must know of a document to read its pages."""

    id: str
    job_id: str
    name: str
    source_key: str
    media_type: str
    options: dict[str, Any]
    password: str | None
    """Encrypted."""
    owner: str = ""
    sha256: str = ""
    engine: str = ""


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    document: DocumentSource
    number: int
    worker: str
    attempt: int
    """The fence: this claim's own number. Outcomes with another are dropped."""
    errors: int
    crashes: int


@dataclass(frozen=True, slots=True)
class ClaimedDocument:
    document: DocumentSource
    worker: str
    attempt: int
    errors: int
    crashes: int


_LOCK_SOURCES = Sql(
    """SELECT d.id, d.job_id, d.name, d.source_key, d.media_type, j.options, j.password, d.owner, d.sha256,
              d.engine
       FROM document d JOIN job j ON j.id = d.job_id
       WHERE d.id IN (SELECT id FROM {list:ids(id text)}) AND d.state || '' = 'running'
       ORDER BY d.id {update_of_d}"""
)
_CLAIM_PAGES = Sql(
    """UPDATE page SET state = 'running', worker = :worker, attempt = page.attempt + 1, rung_at = NULL
       FROM {list:refs(d text, n int, a int)}
       WHERE page.document_id = refs.d AND page.number = refs.n AND page.attempt = refs.a
         AND page.state = 'pending' AND page.ready_at <= {now} AND page.crashes >= :least AND page.crashes <= :most
       RETURNING document_id, number, attempt, errors, crashes"""
)
_SUSPECTS = Sql(
    """SELECT document_id, number, attempt, crashes FROM page JOIN {list:refs(d text, n int, a int)}
         ON page.document_id = refs.d AND page.number = refs.n AND page.attempt = refs.a
       WHERE page.state = 'pending' AND page.ready_at <= {now} AND page.crashes >= :least
       ORDER BY document_id, number"""
)
_COUNT_CLAIMED = Sql(
    """UPDATE document SET pending = pending - counts.n, running = running + counts.n
       FROM {list:counts(d text, n int)} WHERE document.id = counts.d"""
)


def claim_pages(
    session: Session, worker: str, refs: Sequence[PageRef], *, company: Company = Company.ANY
) -> list[ClaimedPage]:
    """Make these pages ours, in ascending order; empty when we are not alive in the table (rule 4).

    Takes those that are to be read in this company; the caller makes sure that suspects have no other.
    """
    if not refs or not share_worker(session, worker):
        return []
    sources = _lock_sources(session, {ref.document for ref in refs})
    wanted = [{"d": r.document, "n": r.number, "a": r.attempt} for r in refs if r.document in sources]
    if not wanted:
        return []
    rows = _CLAIM_PAGES.run(session, worker=worker, refs=wanted, **company.value._asdict()).all()
    counts = grouped((row[0], row) for row in rows)
    _COUNT_CLAIMED.run(session, counts=[{"d": d, "n": len(pages)} for d, pages in counts.items()])
    return sorted(
        (ClaimedPage(sources[row[0]], row[1], worker, row[2], row[3], row[4]) for row in rows),
        key=lambda page: (page.document.id, page.number),
    )


def suspects_among(session: Session, refs: Sequence[PageRef]) -> list[tuple[PageRef, int]]:
    """Those of these pages that wait to be claimed apart from others, with their crashes."""
    wanted = [{"d": r.document, "n": r.number, "a": r.attempt} for r in refs]
    return [(PageRef(*row[:3]), row[3]) for row in _SUSPECTS.run(session, refs=wanted, least=GROUPED)]


def _lock_sources(session: Session, ids: Iterable[str]) -> dict[str, DocumentSource]:
    return {row[0]: _source(row) for row in _LOCK_SOURCES.run(session, ids=[{"id": i} for i in sorted(ids)])}


def _source(row: Sequence[Any]) -> DocumentSource:
    return DocumentSource(
        row[0], row[1], row[2], row[3], row[4], json_value(row[5]) or {}, row[6], row[7], row[8], row[9]
    )  # fmt: skip


_QUEUED_JOBS = Sql(
    """SELECT DISTINCT j.id FROM job j JOIN document d ON d.job_id = j.id
       WHERE d.id IN (SELECT id FROM {list:ids(id text)}) AND j.state || '' = 'queued'"""
)
_START_JOBS = Sql(
    """UPDATE job SET state = 'running', started_at = {now}
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state = 'queued'"""
)
_LOCK_CLAIMABLE = Sql(
    """SELECT d.id FROM document d JOIN {list:refs(d text, a int)} ON d.id = refs.d
       WHERE d.attempt = refs.a ORDER BY d.id {update_of_d}"""
)


def _claim_unsealed(kind: str) -> Sql:
    return Sql(
        f"""UPDATE document SET state = 'running', worker = :worker, attempt = attempt + 1, rung_at = NULL,
                  started_at = coalesce(started_at, {{now}})
           FROM {{list:refs(d text, a int)}}
           WHERE document.id = refs.d AND document.attempt = refs.a AND NOT sealed AND worker IS NULL
             AND state || '' IN ('queued', 'running') AND ready_at <= {{now}} AND {kind}
           RETURNING id, attempt, errors, crashes"""
    )


_CLAIM_SPLITS = _claim_unsealed("source_url IS NULL")
_CLAIM_FETCHES = _claim_unsealed("source_url IS NOT NULL")
_CLAIM_ASSEMBLIES = Sql(
    """UPDATE document SET worker = :worker, attempt = attempt + 1, rung_at = NULL
       FROM {list:refs(d text, a int)}
       WHERE document.id = refs.d AND document.attempt = refs.a AND sealed AND worker IS NULL
         AND state || '' = 'running' AND pending = 0 AND running = 0 AND ready_at <= {now}
       RETURNING id, attempt, errors, crashes"""
)


def claim_splits(session: Session, worker: str, refs: Sequence[DocumentRef]) -> list[ClaimedDocument]:
    """Make the splitting of these documents ours; their jobs run from now on."""
    return _claim_unsealed_documents(session, _CLAIM_SPLITS, worker, refs)


def claim_fetches(session: Session, worker: str, refs: Sequence[DocumentRef]) -> list[ClaimedDocument]:
    """Make the fetching of these documents' files ours; their jobs run from now on."""
    return _claim_unsealed_documents(session, _CLAIM_FETCHES, worker, refs)


def _claim_unsealed_documents(
    session: Session, claim: Sql, worker: str, refs: Sequence[DocumentRef]
) -> list[ClaimedDocument]:
    if not refs or not share_worker(session, worker):
        return []
    queued = [row[0] for row in _QUEUED_JOBS.run(session, ids=[{"id": r.document} for r in refs])]
    if queued:
        _START_JOBS.run(session, ids=[{"id": job} for job in lock_jobs(session, queued)])
    return _claim_documents(session, claim, worker, refs)


def claim_assemblies(session: Session, worker: str, refs: Sequence[DocumentRef]) -> list[ClaimedDocument]:
    """Make the assembling of these documents ours. Nothing where pages are still to come."""
    if not refs or not share_worker(session, worker):
        return []
    return _claim_documents(session, _CLAIM_ASSEMBLIES, worker, refs)


def _claim_documents(session: Session, claim: Sql, worker: str, refs: Sequence[DocumentRef]) -> list[ClaimedDocument]:
    wanted = [{"d": ref.document, "a": ref.attempt} for ref in refs]
    _LOCK_CLAIMABLE.run(session, refs=wanted)
    rows = {row[0]: row for row in claim.run(session, worker=worker, refs=wanted)}
    sources = _lock_sources(session, rows)
    return [ClaimedDocument(sources[d], worker, rows[d][1], rows[d][2], rows[d][3]) for d in sorted(rows)]


_RELEASE_DOCUMENT = Sql(
    """UPDATE document SET worker = NULL, rung_at = NULL, errors = errors + :errors, ready_at = {later::delay}
       WHERE id = :document AND worker = :worker AND attempt = :attempt AND state || '' = 'running'"""
)


def release_document(session: Session, claim: ClaimedDocument, *, errors: int = 0, delay: float = 0.0) -> bool:
    """Hand a claimed document back, to be claimed again after `delay` seconds. False where it was no longer ours."""
    released = _RELEASE_DOCUMENT.run(
        session, document=claim.document.id, worker=claim.worker, attempt=claim.attempt, errors=errors, delay=delay
    )
    return released.rowcount == 1


_LET_GO_DOCUMENT = Sql(
    """UPDATE document SET worker = NULL
       WHERE id = :document AND worker = :worker AND attempt = :attempt AND state = 'canceled'"""
)


def let_go(session: Session, claim: ClaimedDocument) -> None:
    """We no longer write anything for this canceled document, so that it can be purged."""
    _LET_GO_DOCUMENT.run(session, document=claim.document.id, worker=claim.worker, attempt=claim.attempt)
