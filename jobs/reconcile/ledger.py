"""Rows against each other: pages, documents' counters, jobs' ends. Piece by piece, by ascending id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlmodel import Session

from jobs import deletion, lifecycle
from jobs.reconcile import again
from jobs.reconcile.differences import Difference
from jobs.reconcile.parts import Parts
from jobs.reconcile.rules import document_differences, job_differences
from jobs.store import ending, mending, proving
from jobs.store.locks import lock_documents, lock_jobs

PIECE = 200
"""Documents or jobs looked at in one statement, fewer where they are large: it must stay far below a minute."""
PAGES = 20_000
"""Pages counted in one statement, as far as one document has no more."""
DOCUMENTS = 20_000

# What a document's own row cannot tell: it is assembled again, and ends as its pages say.
_ASSEMBLED = frozenset({"document_result_unnamed", "document_state", "document_pages_left"})
_CLOSED = frozenset({"job_state", "job_documents_left"})
_LATE = frozenset({"job_unclosed", "job_manifest_late"})
_PURGED = frozenset({"job_unpurged", "job_purged_rows"})

Found = list[Difference]
Look = Callable[[Session, Sequence[str]], dict[str, Found]]


def document_ledger(parts: Parts) -> Iterator[Difference]:
    """Every document with its pages."""
    after = ""
    while True:
        with parts.db.read() as session:
            ids = proving.document_ids(session, after, PIECE, PAGES)
            last = ids[-1] if ids else ""
            nobodys = proving.pages_of_nobody(session, after, last)
        for document, count in nobodys.items():
            yield _drop_pages(parts, document, count)
        for id_, found in _twice(parts, ids, lambda session, some: look_at_documents(parts, session, some)):
            yield from _mend_document(parts, id_, found) if parts.fix else found
        if not ids:
            return
        after = last


def job_ledger(parts: Parts) -> Iterator[Difference]:
    """Every job with its documents."""
    after = ""
    while True:
        with parts.db.read() as session:
            ids = proving.job_ids(session, after, PIECE, DOCUMENTS)
        if not ids:
            return
        for id_, found in _twice(parts, ids, lambda session, some: look_at_jobs(parts, session, some)):
            yield from _mend_job(parts, id_, found) if parts.fix else found
        after = ids[-1]


def _twice(parts: Parts, ids: Sequence[str], look: Look) -> Iterator[tuple[str, Found]]:
    """What a first look found and a second one, in a transaction of its own, finds still."""
    with parts.db.read() as session:
        first = look(session, ids)
    for id_, found in first.items():
        keys = {difference.key for difference in found}
        with parts.db.read() as session:
            again_found = look(session, [id_]).get(id_, [])
        still = [difference for difference in again_found if difference.key in keys]
        if still:
            yield id_, still


def look_at_documents(parts: Parts, session: Session, ids: Sequence[str]) -> dict[str, Found]:
    """By document: everything that is wrong with it or with its pages."""
    found: dict[str, Found] = {}
    horizon = parts.patience.horizon
    for facts in proving.documents(session, ids, horizon):
        wrong = list(document_differences(facts))
        if facts.odd:
            wrong += _odd_pages(session, facts.id, horizon)
        if wrong:
            found[facts.id] = wrong
    return found


def _odd_pages(session: Session, document: str, horizon: float) -> Iterator[Difference]:
    for number, state, rules in proving.odd_pages(session, document, horizon):
        for rule in rules:
            yield Difference(rule, f"{document}/{number}", "a page that keeps the rule", state)


def look_at_jobs(parts: Parts, session: Session, ids: Sequence[str]) -> dict[str, Found]:
    """By job: everything that is wrong with it; a purge is late only where nobody holds the job."""
    found: dict[str, Found] = {}
    for facts in proving.jobs(session, ids, parts.patience.late, parts.patience.purge):
        wrong = [
            difference
            for difference in job_differences(facts)
            if difference.code != "job_unpurged" or not ending.is_held(session, facts.id)
        ]
        if wrong:
            found[facts.id] = wrong
    return found


# --- mending


def _drop_pages(parts: Parts, document: str, count: int) -> Difference:
    found = Difference("page_without_document", document, "no pages", f"{count} pages")
    if parts.fix:
        with parts.db.write() as session:
            mending.drop_pages_of_nobody(session, [document])
    return found.repaired(parts.fix)


def _mend_document(parts: Parts, document: str, found: Found) -> Found:
    """Under the document's lock look once more, mend, look again: what is gone then was mended."""
    codes = {difference.code for difference in found}
    with parts.db.write() as session:
        lock_documents(session, [document])
        now = proving.documents(session, [document], parts.patience.horizon)
        if not now:
            return []
        facts = now[0]
        if facts.job_state is None:
            mending.drop_document_of_nobody(session, document)
        elif "document_state_unknown" not in codes:
            mending.mend_document(session, facts, parts.patience.horizon)
    if facts.job_state is not None and codes & _ASSEMBLED:
        with parts.db.read() as session:
            left = {d.code for d in look_at_documents(parts, session, [document]).get(document, [])}
        if left & _ASSEMBLED:
            again.run_again(parts.db, parts.blobs, facts.job_id, document)
    with parts.db.read() as session:
        left_keys = {d.key for d in look_at_documents(parts, session, [document]).get(document, [])}
    return [difference.repaired(difference.key not in left_keys) for difference in found]


def _mend_job(parts: Parts, job: str, found: Found) -> Found:
    codes = {difference.code for difference in found}
    if "job_state_unknown" in codes:
        return found
    if codes - _LATE - _PURGED:
        with parts.db.write() as session:
            if lock_jobs(session, [job]):
                mending.mend_job(session, job)
    if codes & _CLOSED:
        with parts.db.read() as session:
            left = {d.code for d in look_at_jobs(parts, session, [job]).get(job, [])}
        if left & _CLOSED:
            again.close_anew(parts.db, parts.blobs, job, parts.price)
    if codes & _LATE:
        lifecycle.close(parts.db, parts.blobs, job, parts.price)
    if codes & _PURGED:
        deletion.purge(parts.db, parts.blobs, job)
    with parts.db.read() as session:
        left_keys = {d.key for d in look_at_jobs(parts, session, [job]).get(job, [])}
    return [difference.repaired(difference.key not in left_keys) for difference in found]
