"""Earlier results: looking for one, and entering pages that were copied from it (docs/decisions/0009)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.store.claiming import ClaimedDocument
from jobs.store.sql import Sql, grouped
from jobs.store.submitting import LOCK_SMALL, PIECE

# The newest first: those of a version that nobody runs any more are the older ones.
_FIND = Sql(
    """SELECT w.d, (
         SELECT e.id FROM document e JOIN job j ON j.id = e.job_id
         WHERE e.reuse_key = w.wanted AND e.state = 'succeeded' AND e.reuse_key IS NOT NULL AND e.reader IS NOT NULL
           AND e.owner = w.owner AND j.deleted_at IS NULL
           AND EXISTS (SELECT 1 FROM worker WHERE worker.state = 'alive' AND worker.engine = e.engine
                         AND worker.reader = e.reader)
         ORDER BY e.id DESC LIMIT 1)
       FROM {list:w(d text, wanted text, owner text)}"""
)
_ORIGINALS = Sql(
    """SELECT id, job_id, source_pages, reader, total FROM document
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state = 'succeeded'"""
)
_PAGES = Sql(
    """SELECT document_id, number, attempt FROM page
       WHERE document_id IN (SELECT id FROM {list:ids(id text)}) AND state = 'succeeded' ORDER BY document_id, number"""
)
_STILL_THERE = Sql(
    """SELECT d.id FROM document d JOIN job j ON j.id = d.job_id
       WHERE d.id IN (SELECT id FROM {list:ids(id text)}) AND d.state = 'succeeded' AND j.deleted_at IS NULL"""
)
_NOTE = Sql(
    """UPDATE document SET copied = document.attempt FROM {list:c(d text, w text, a int)}
       WHERE document.id = c.d AND document.worker = c.w AND document.attempt = c.a AND document.state = 'running'
         AND NOT document.sealed AND document.total = 0
       RETURNING id"""
)
_INSERT = Sql(
    """INSERT INTO page (document_id, number, state, attempt, errors, crashes, ready_at, finished_at)
       SELECT id, number, 'succeeded', attempt, 0, 0, {now}, {now}
       FROM {list:pages(id text, number int, attempt int)}"""
)
_SEAL = Sql(
    """UPDATE document SET sealed = true, worker = NULL, source_pages = g.source_pages, errors = 0, crashes = 0,
              total = g.pages, succeeded = g.pages, cached = true, reuse_key = g.reuse_key, reader = g.reader
       FROM {list:g(id text, source_pages int, pages int, reuse_key text, reader text)} WHERE document.id = g.id"""
)


@dataclass(frozen=True, slots=True)
class Original:
    """A succeeded document whose result another one may get."""

    document: str
    job_id: str
    source_pages: int
    reader: str
    pages: tuple[tuple[int, int], ...]
    """Number and attempt, ascending: together they name the stored results."""


@dataclass(frozen=True, slots=True)
class Gift:
    """An earlier result whose copies lie under the keys of this claim."""

    claim: ClaimedDocument
    original: Original
    key: str
    """The request key, by which the copy is found in its turn."""


def find(session: Session, wanted: Sequence[tuple[ClaimedDocument, str]]) -> dict[str, Original]:
    """By claimed document: the newest one of its owner with this request key, if a living worker reads as it was read.

    One probe of an index each, in one statement; a second and third only where something was found.
    """
    asked = [{"d": claim.document.id, "wanted": key, "owner": claim.document.owner} for claim, key in wanted]
    found = {row[0]: row[1] for row in _FIND.run(session, w=asked) if row[1] is not None}
    if not found:
        return {}
    ids = [{"id": i} for i in sorted(set(found.values()))]
    pages = grouped((row[0], (row[1], row[2])) for row in _PAGES.run(session, ids=ids))
    originals = {
        id_: Original(id_, job, source_pages, reader, tuple(pages.get(id_, ())))
        for id_, job, source_pages, reader, total in _ORIGINALS.run(session, ids=ids)
        if total and len(pages.get(id_, ())) == total
    }
    return {document: originals[i] for document, i in found.items() if i in originals}


def note_copying(session: Session, claims: Sequence[ClaimedDocument]) -> set[str]:
    """Write down that objects are about to be copied in the name of these claims. Returns the documents that are still
    ours to split and of which no pages were inserted by an earlier split; nothing may be copied for the others."""
    rows = [{"d": c.document.id, "w": c.worker, "a": c.attempt} for c in claims]
    return {row[0] for row in _NOTE.run(session, c=rows)}


def still_there(session: Session, originals: Sequence[str]) -> set[str]:
    """Those of them whose job was not deleted: none of their objects was purged until now."""
    return {row[0] for row in _STILL_THERE.run(session, ids=[{"id": i} for i in originals])}


def insert_copied(session: Session, worker: str, gifts: Sequence[Gift]) -> list[str]:
    """Insert the originals' pages as succeeded and seal, in one transaction. Returns the documents that were still ours
    to split; nothing is done to the others."""
    fences = [{"id": g.claim.document.id, "attempt": g.claim.attempt} for g in gifts]
    ours = {row[0] for row in LOCK_SMALL.run(session, worker=worker, done=fences)}
    gifts = [g for g in gifts if g.claim.document.id in ours]
    if not gifts:
        return []
    pages = [
        {"id": g.claim.document.id, "number": number, "attempt": g.claim.attempt}
        for g in gifts
        for number, _ in g.original.pages
    ]
    for start in range(0, len(pages), PIECE):
        _INSERT.run(session, pages=pages[start : start + PIECE])
    _SEAL.run(session, g=[_sealed(g) for g in gifts])
    return sorted(ours)


def _sealed(gift: Gift) -> dict[str, Any]:
    original = gift.original
    return {
        "id": gift.claim.document.id,
        "source_pages": original.source_pages,
        "pages": len(original.pages),
        "reuse_key": gift.key,
        "reader": original.reader,
    }
