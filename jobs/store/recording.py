"""Outcomes of pages: the commit of rule 5, in groups.

A page's outcome counts when the row still says running, by this worker, at this attempt. Everything else came too late
and is dropped; the result's key carries the attempt, so a dropped result is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlmodel import Session

from jobs.spending import NOTHING, Spent
from jobs.store.claiming import ClaimedDocument, ClaimedPage, DocumentRef, claim_assemblies
from jobs.store.locks import lock_documents, share_worker
from jobs.store.sql import Sql, grouped
from jobs.store.submitting import json_text

SMALL = 32
"""Pages up to which the worker that records the last page assembles the document itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a claimed page ended, or that it goes back (`pending`)."""

    page: ClaimedPage
    state: Literal["succeeded", "failed", "pending"]
    error: dict[str, Any] | None = None
    """A problem; kept on a pending page too, so that one sees why it is tried again."""
    errors: int = 0
    crashes: int = 0
    delay: float = 0.0
    """Seconds before a pending page may be claimed again."""
    spent: Spent = NOTHING
    """What this attempt took of the engine. Kept as a sum by document, which costs a page nothing: its own row would be
    wider by three numbers in each of a million updates."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a group of outcomes."""

    kept: list[Outcome]
    """Those that were still ours."""
    assemblies: list[ClaimedDocument]
    """Small documents whose last page this was, claimed for assembling by the worker that asked."""
    late: int
    """Outcomes that were not: canceled meanwhile, or another worker's by now."""
    ended: list[DocumentRef]
    """Larger documents whose last page this was: somebody must assemble them."""

    @property
    def counted(self) -> int:
        return len(self.kept)


_RECORD = Sql(
    """UPDATE page SET state = o.state, error = {json:o.error}, errors = page.errors + o.errors, rung_at = NULL,
              crashes = page.crashes + o.crashes, ready_at = {later:o.delay},
              finished_at = CASE WHEN o.state = 'pending' THEN NULL ELSE {now} END
       FROM {list:o(d text, n int, w text, a int, state text, error text, errors int, crashes int, delay float)}
       WHERE page.document_id = o.d AND page.number = o.n AND page.worker = o.w AND page.attempt = o.a
         AND page.state = 'running'
       RETURNING document_id, page.state, number, attempt"""
)
_LET_GO = Sql(
    """UPDATE page SET worker = NULL FROM {list:o(d text, n int, w text, a int)}
       WHERE page.document_id = o.d AND page.number = o.n AND page.worker = o.w AND page.attempt = o.a
         AND (page.state = 'canceled' OR page.state = 'failed' AND {text_of:page.error.code} = 'deadline_exceeded')"""
)
COUNT_ENDED = Sql(
    """UPDATE document SET running = document.running - c.pending - c.succeeded - c.failed,
              pending = document.pending + c.pending, succeeded = document.succeeded + c.succeeded,
              failed = document.failed + c.failed, engine_micros = document.engine_micros + c.micros,
              tokens_in = document.tokens_in + c.tokens_in, tokens_out = document.tokens_out + c.tokens_out
       FROM {list:c(d text, pending int, succeeded int, failed int, micros bigint, tokens_in bigint, tokens_out bigint)}
       WHERE document.id = c.d
       RETURNING id, attempt, total, sealed, document.pending, running, state, worker"""
)
# Judged here, not in RETURNING: there SQLite 3.40 takes `worker IS NULL` for false because of the partial index
# on `worker IS NOT NULL`.


def record(session: Session, outcomes: Sequence[Outcome], *, assemble_as: str | None = None) -> Recorded:
    """Commit a group of outcomes. `assemble_as`: the worker that takes on small documents which end with it."""
    if assemble_as is not None and not share_worker(session, assemble_as):
        assemble_as = None
    lock_documents(session, (o.page.document.id for o in outcomes))
    rows = _RECORD.run(session, o=[_bound(o) for o in outcomes]).all()
    if len(rows) < len(outcomes):
        let_go(session, [_fence(o.page) for o in outcomes])
    claims = {(o.page.document.id, o.page.number, o.page.attempt): o for o in outcomes}
    kept = [claims[row[0], row[2], row[3]] for row in rows]
    spent = [(o.page.document.id, o.spent) for o in kept]
    ended = count_ended(session, [(row[0], row[1]) for row in rows], spent)
    small = [ref for ref, total in ended if total <= SMALL] if assemble_as else []
    claimed = claim_assemblies(session, assemble_as, small) if assemble_as and small else []
    taken = {claim.document.id for claim in claimed}
    return Recorded(kept, claimed, len(outcomes) - len(kept), [ref for ref, _ in ended if ref.document not in taken])


def let_go(session: Session, fences: Sequence[dict[str, Any]]) -> None:
    """Their worker writes nothing more of pages that ended in its hands, canceled or past their deadline, so that their
    job can be purged. A fence: `d`ocument, `n`umber, `w`orker, `a`ttempt; the documents are locked."""
    _LET_GO.run(session, o=fences)


def count_ended(
    session: Session, ended: Sequence[tuple[str, str]], spent: Sequence[tuple[str, Spent]] = ()
) -> list[tuple[DocumentRef, int]]:
    """Move the counters of documents whose running pages became (document, state) and on which this was `spent`.
    Returns those with none left to run, and their page totals."""
    spendings = grouped(spent)
    counts: list[dict[str, Any]] = [
        {"d": document}
        | {state: states.count(state) for state in ("pending", "succeeded", "failed")}
        | _summed(spendings.get(document, ()))
        for document, states in grouped(ended).items()
    ]
    if not counts:
        return []
    return [
        (DocumentRef(id_, attempt), total)
        for id_, attempt, total, sealed, pending, running, state, worker in COUNT_ENDED.run(session, c=counts)
        if sealed and not pending and not running and state == "running" and worker is None
    ]


def _summed(spendings: Sequence[Spent]) -> dict[str, int]:
    return {
        "micros": sum(spent.engine_micros for spent in spendings),
        "tokens_in": sum(spent.tokens_in for spent in spendings),
        "tokens_out": sum(spent.tokens_out for spent in spendings),
    }


def _fence(page: ClaimedPage) -> dict[str, Any]:
    return {"d": page.document.id, "n": page.number, "w": page.worker, "a": page.attempt}


def _bound(outcome: Outcome) -> dict[str, Any]:
    return _fence(outcome.page) | {
        "state": outcome.state,
        "error": json_text(outcome.error),
        "errors": outcome.errors,
        "crashes": outcome.crashes,
        "delay": outcome.delay,
    }
