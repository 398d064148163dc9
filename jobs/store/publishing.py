"""Publications: where documents' results are wanted, whose turn it is to be written, and what is written already.

A document with a publication is `unpublished` until its end is written, so that what is due is found by an index
whoever ended it. Rows of one target are locked together: two documents are never written to one place at once, and
an older one never after a newer one. Locks: documents before publications.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from jobs.models import PageState, PublicationState, State
from jobs.store.clock import rfc3339
from jobs.store.locks import lock_documents
from jobs.store.sql import Sql, grouped, json_value
from jobs.store.submitting import json_text

_ENDED = "state IN ('succeeded', 'partial', 'failed', 'canceled')"
_VERSION = "d.state || '.' || d.attempt || '.' || coalesce(d.result_attempt, 0)"
"""Changes with each end of a document `d`."""

_NOW = Sql("SELECT {now}")
_INSERT = Sql(
    """INSERT INTO publication (document_id, location, path, target, rank, state, attempts, ready_at)
       SELECT d, l, p, t, r, 'waiting', 0, {now} FROM {list:new(d text, l text, p text, t text, r text)} WHERE true"""
)
_UNPUBLISHED = Sql(
    """UPDATE document SET unpublished = true
       WHERE id IN (SELECT document_id FROM publication WHERE document_id IN (SELECT id FROM {list:ids(id text)}))"""
)
_AGAIN = Sql(
    """UPDATE publication SET state = 'waiting', attempts = 0, ready_at = {now}, error = NULL
       WHERE document_id IN (SELECT id FROM {list:ids(id text)})"""
)


@dataclass(frozen=True, slots=True)
class NewPublication:
    document: str
    location: str
    path: str
    target: str
    rank: str | None = None
    """RFC 3339; now where absent."""


def insert(session: Session, publications: Sequence[NewPublication]) -> None:
    """In the transaction that inserts their documents, so that none can end unseen."""
    now = rfc3339(_NOW.run(session).scalar_one())
    rows = [{"d": p.document, "l": p.location, "p": p.path, "t": p.target, "r": p.rank or now} for p in publications]
    _INSERT.run(session, new=rows)
    _UNPUBLISHED.run(session, ids=[{"id": p.document} for p in publications])


def want_again(session: Session, documents: Sequence[str]) -> None:
    """These documents, whose rows are locked, run again: what they end with is to be written anew."""
    ids = [{"id": document} for document in documents]
    _AGAIN.run(session, ids=ids)
    _UNPUBLISHED.run(session, ids=ids)


# --- whose turn it is

# Who holds a row has it in state `waiting`: the two partial indexes of the table find all that is locked here, and the
# newest that was written, however many were written there before.
_FREE = "(p.holder IS NULL OR p.held_until < {now})"
_READY = f"p.state = 'waiting' AND p.ready_at <= {{now}} AND d.unpublished AND d.{_ENDED}"
_UNHELD = """NOT EXISTS (SELECT 1 FROM publication h WHERE h.target = p.target AND h.state = 'waiting'
                                AND h.holder IS NOT NULL AND h.held_until >= {now})"""
_ANY_DUE = Sql(
    f"SELECT 1 FROM document d JOIN publication p ON p.document_id = d.id WHERE {_READY} AND {_UNHELD} LIMIT 1"
)
# Locations take turns, and in each whoever waits longest is first: a place that keeps failing stops no other.
_DUE = Sql(
    f"""SELECT target FROM (
          SELECT target, ready_at, id, row_number() OVER (PARTITION BY location ORDER BY ready_at, id) AS turn FROM (
            SELECT p.target, p.location, min(p.ready_at) AS ready_at, min(d.id) AS id
            FROM document d JOIN publication p ON p.document_id = d.id
            WHERE {_READY} AND {_UNHELD} GROUP BY p.target, p.location) AS targets) AS turns
       ORDER BY turn, ready_at, id LIMIT :limit"""
)
_DUE_THERE = Sql(
    f"""SELECT p.document_id FROM publication p JOIN document d ON d.id = p.document_id
       WHERE p.target IN (SELECT t FROM {{list:targets(t text)}}) AND {_READY}"""
)
_LOCK_TARGETS = Sql(
    f"""SELECT p.target, p.document_id, p.rank, {_FREE} FROM publication p
       WHERE p.target IN (SELECT t FROM {{list:targets(t text)}}) AND p.state = 'waiting'
       ORDER BY p.document_id {{update}}"""
)
_NEWEST = Sql(
    """SELECT targets.t, (SELECT max(p.rank) FROM publication p WHERE p.target = targets.t
                            AND p.published_at IS NOT NULL) FROM {list:targets(t text)}"""
)
_HOLD = Sql(
    f"""UPDATE publication SET holder = :holder, held_until = {{later::seconds}}, attempts = attempts + 1
       WHERE document_id IN (SELECT id FROM {{list:ids(id text)}}) AND ready_at <= {{now}} AND EXISTS (
         SELECT 1 FROM document d WHERE d.id = publication.document_id AND d.unpublished AND d.{_ENDED})"""
)
_CLAIMED = Sql(
    f"""SELECT p.document_id, p.location, p.path, p.attempts, p.published, d.job_id, d.name, d.state, {_VERSION},
              d.result_attempt, d.error
       FROM publication p JOIN document d ON d.id = p.document_id
       WHERE p.holder = :holder AND p.document_id IN (SELECT id FROM {{list:ids(id text)}}) ORDER BY p.document_id"""
)
_RENEW = Sql(
    """UPDATE publication SET held_until = {later::seconds}
       WHERE document_id = :document AND holder = :holder AND held_until >= {now}"""
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A document whose end is to be written by `holder` alone."""

    holder: str
    document: str
    job: str
    name: str
    state: State
    version: str
    result_attempt: int | None
    error: dict[str, Any] | None
    location: str
    path: str
    attempts: int
    """This one included."""
    written: bool
    """This end is there already; only what follows failed."""
    earlier: bool
    """Another end, of this document or one before it, was written there."""


def any_due(session: Session) -> bool:
    return _ANY_DUE.run(session).first() is not None


def claim(session: Session, holder: str, limit: int, seconds: float) -> list[Claim]:
    """Up to `limit` documents that have ended, each for itself alone at its target, for so many seconds. Those that
    came too late for theirs are ended as superseded."""
    targets = [{"t": row[0]} for row in _DUE.run(session, limit=limit)]
    if not targets:
        return []
    due = {row[0] for row in _DUE_THERE.run(session, targets=targets)}
    lock_documents(session, due)
    rivals = grouped(
        (row[0], _Rival(row[1], row[2], bool(row[3]))) for row in _LOCK_TARGETS.run(session, targets=targets)
    )
    newest = {row[0]: row[1] for row in _NEWEST.run(session, targets=targets)}
    chosen, late = _choose(due, rivals, newest)
    _end(session, late, PublicationState.SUPERSEDED)
    ids = [{"id": document} for document in chosen]
    _HOLD.run(session, holder=holder, seconds=seconds, ids=ids)
    rows = _CLAIMED.run(session, holder=holder, ids=ids)
    return [_claim(holder, tuple(row), newest[chosen[row[0]]] is not None) for row in rows]


@dataclass(frozen=True, slots=True)
class _Rival:
    document: str
    rank: str
    free: bool


def _choose(
    due: set[str], rivals: dict[str, list[_Rival]], newest: dict[str, str | None]
) -> tuple[dict[str, str], list[str]]:
    """Documents to write and their targets, one a target and the greatest rank first; and those that came too late:
    something newer was written there, even where that is being read again just now. Where somebody writes just now,
    all wait for the next time."""
    chosen: dict[str, str] = {}
    late: list[str] = []
    for target, rows in rivals.items():
        written = newest[target] or ""
        late += [r.document for r in rows if r.document in due and r.free and r.rank < written]
        ready = [r for r in rows if r.document in due and r.rank >= written]
        if ready and all(r.free for r in rows):
            chosen[max(ready, key=lambda r: r.rank).document] = target
    return chosen, late


def _claim(holder: str, row: tuple[Any, ...], earlier: bool) -> Claim:
    document, location, path, attempts, published, job, name, state, version, result_attempt, error = row
    return Claim(
        holder, document, job, name, State(state), version, result_attempt, json_value(error), location, path, attempts,
        published == version, earlier,
    )  # fmt: skip


def renew(session: Session, claim: Claim, seconds: float) -> bool:
    """Hold on for so many seconds. False where it was too late: another one may write there now."""
    return _RENEW.run(session, document=claim.document, holder=claim.holder, seconds=seconds).rowcount == 1


# --- how it went

_WRITTEN = Sql(
    """UPDATE publication SET published = :version, published_at = {now}
       WHERE document_id = :document AND holder = :holder"""
)
_END = Sql(
    """UPDATE publication SET state = :state, holder = NULL, held_until = NULL, error = {json:CAST(:error AS text)}
       WHERE document_id IN (SELECT id FROM {list:ids(id text)})"""
)
_RELEASE = Sql(
    """UPDATE publication SET holder = NULL, held_until = NULL, ready_at = {later::seconds},
              error = {json:CAST(:error AS text)} WHERE document_id = :document AND holder = :holder"""
)
_HELD = Sql("SELECT 1 FROM publication WHERE document_id = :document AND holder = :holder {update}")
_VERSION_NOW = Sql(f"SELECT {_VERSION} FROM document d WHERE d.id = :document AND d.{_ENDED}")
_SEEN_TO = Sql("UPDATE document SET unpublished = false WHERE id IN (SELECT id FROM {list:ids(id text)})")


def note_written(session: Session, claim: Claim) -> None:
    """The files of this end lie where they are wanted."""
    _WRITTEN.run(session, document=claim.document, holder=claim.holder, version=claim.version)


def finish(session: Session, claim: Claim, state: PublicationState, error: dict[str, Any] | None = None) -> bool:
    """All is done, or given up. False where the document has run again since, or another one holds it."""
    lock_documents(session, [claim.document])
    if _HELD.run(session, document=claim.document, holder=claim.holder).first() is None:
        return False
    if _VERSION_NOW.run(session, document=claim.document).scalar() != claim.version:
        release(session, claim, 0.0, None)
        return False
    _end(session, [claim.document], state, error)
    return True


def _end(
    session: Session, documents: Sequence[str], state: PublicationState, error: dict[str, Any] | None = None
) -> None:
    ids = [{"id": document} for document in documents]
    _END.run(session, ids=ids, state=state.value, error=json_text(error))
    _SEEN_TO.run(session, ids=ids)


def release(session: Session, claim: Claim, delay: float, error: dict[str, Any] | None) -> None:
    """It failed; to be tried again after so many seconds."""
    _RELEASE.run(session, document=claim.document, holder=claim.holder, seconds=delay, error=json_text(error))


# --- what is written

_WINNERS = Sql("SELECT number, attempt FROM page WHERE document_id = :document AND state = :state")


def winning_attempts(session: Session, document: str) -> set[str]:
    """`<number>.<attempt>` of the pages whose results count, as their keys have it."""
    return {f"{row[0]}.{row[1]}" for row in _WINNERS.run(session, document=document, state=PageState.SUCCEEDED.value)}
