"""What an owner has waiting, and what of a day's pages its documents have used up (jobs/models.KeyLimits).

Lock order: usage rows by owner, then documents. Nobody locks a usage row who holds anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from jobs.ids import is_id
from jobs.store.sql import Sql
from jobs.store.submitting import Split

# Of jobs that are being split the totals still grow: a document counts as one page at least.
_BACKLOG = Sql(
    """SELECT coalesce(sum(CASE WHEN pages > documents THEN pages ELSE documents END), 0) FROM (
         SELECT pages_total - pages_succeeded - pages_failed - pages_canceled AS pages,
                documents_total - documents_succeeded - documents_partial - documents_failed - documents_canceled
                  AS documents
         FROM job WHERE owner = :owner AND state IN ('queued','running')) AS open_jobs"""
)
_USED = Sql("SELECT pages FROM usage WHERE owner = :owner AND day = {today}")
_OWNERS = Sql(
    """SELECT d.id, d.owner, d.charged, {text_of:k.limits.pages_per_day}
       FROM document d LEFT JOIN api_key k ON k.id = d.owner WHERE d.id IN (SELECT id FROM {list:ids(id text)})"""
)
_OPEN_DAY = Sql(
    """INSERT INTO usage (owner, day, pages) SELECT owner, {today}, 0 FROM {list:owners(owner text)} WHERE true
       ON CONFLICT (owner, day) DO NOTHING"""
)
_LOCK_DAY = Sql(
    """SELECT owner, pages FROM usage WHERE day = {today} AND owner IN (SELECT owner FROM {list:owners(owner text)})
       ORDER BY owner {update}"""
)
_CHARGE = Sql(
    """UPDATE document SET charged = charge.pages FROM {list:charge(id text, attempt int, pages int)}
       WHERE document.id = charge.id AND document.attempt = charge.attempt AND document.worker = :worker
         AND document.state = 'running' AND NOT document.sealed
       RETURNING document.id"""
)
_ADD = Sql(
    """UPDATE usage SET pages = usage.pages + added.pages FROM {list:added(owner text, pages int)}
       WHERE usage.owner = added.owner AND usage.day = {today}"""
)
_FORGET = Sql("DELETE FROM usage WHERE day < {today}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document whose pages are more than its owner's day has left."""

    limit: int
    actual: int
    """Pages of the day, were it split."""


def backlog(session: Session, owner: str) -> int:
    """Pages of the owner's jobs that have not ended. Read from the jobs' totals: documents are in them from the
    beginning; their pages come, and what has ended goes, with the next fold, which is within a second (later only
    where tens of thousands of documents run), or within 15 for jobs of more than 1,000 documents."""
    return int(_BACKLOG.run(session, owner=owner).scalar_one())


def used_today(session: Session, owner: str) -> int:
    """Pages that the owner's day was charged with; of owners without a limit nothing is counted."""
    return int(_USED.run(session, owner=owner).scalar() or 0)


def charge(session: Session, worker: str, splits: Sequence[Split], default: int | None) -> dict[str, Refusal]:
    """Count these documents' pages against their owners' days; returns those that do not fit, of which nothing is
    counted. A document that was charged before, by a split that died, is charged with the difference.

    `default`: pages a day of API keys that name no number of their own.
    """
    owned = {row[0]: row[1:] for row in _OWNERS.run(session, ids=[{"id": s.document} for s in splits])}
    limits = {owner: limit for owner, _, own in owned.values() if (limit := _limit(owner, own, default)) is not None}
    if not limits:
        return {}
    used = _lock_days(session, sorted(limits))
    fitting: dict[str, tuple[str, int]] = {}
    refused: dict[str, Refusal] = {}
    for split in splits:
        owner, before, _ = owned.get(split.document, ("", 0, None))
        if owner not in limits:
            continue
        more = max(0, len(split.numbers) - before)
        if used[owner] + more > limits[owner]:
            refused[split.document] = Refusal(limits[owner], used[owner] + more)
        else:
            used[owner] += more
            fitting[split.document] = (owner, more)
    _note(session, worker, [split for split in splits if split.document in fitting], fitting)
    return refused


def _limit(owner: str, own: str | None, default: int | None) -> int | None:
    if own is not None:
        return int(own)
    return default if is_id(owner, "key") else None


def _lock_days(session: Session, owners: Sequence[str]) -> dict[str, int]:
    rows = [{"owner": owner} for owner in owners]
    _OPEN_DAY.run(session, owners=rows)
    found = {row[0]: int(row[1]) for row in _LOCK_DAY.run(session, owners=rows)}
    return dict.fromkeys(owners, 0) | found  # a day that began between the two statements has no rows yet


def _note(session: Session, worker: str, splits: Sequence[Split], fitting: dict[str, tuple[str, int]]) -> None:
    """On the documents that are still this worker's, and on their owners' days."""
    rows = [{"id": s.document, "attempt": s.attempt, "pages": len(s.numbers)} for s in splits if fitting[s.document][1]]
    ours = [row[0] for row in _CHARGE.run(session, worker=worker, charge=rows)]
    added: dict[str, int] = {}
    for document in ours:
        owner, pages = fitting[document]
        added[owner] = added.get(owner, 0) + pages
    if added:
        _ADD.run(session, added=[{"owner": owner, "pages": pages} for owner, pages in sorted(added.items())])


def forget(session: Session) -> None:
    """Days that are over."""
    _FORGET.run(session)
