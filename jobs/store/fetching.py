"""Documents whose files lie elsewhere: where that is, and that one is here now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from jobs.store.claiming import ClaimedDocument
from jobs.store.sql import Sql


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a document's file is to be fetched from."""

    url: str
    """`s3://bucket/key`, `https://…`, or `upload:key` for one that was put into our own store."""
    etag: str | None
    """What is to be found there; None where nobody said."""
    owner: str


_REMOTES = Sql(
    """SELECT id, source_url, source_etag, owner FROM document
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND source_url IS NOT NULL"""
)
_AWAITED = Sql(
    """SELECT source_url FROM document WHERE state IN ('queued','running') AND NOT sealed AND source_url IS NOT NULL
         AND source_url >= :first AND source_url <= :last"""
)
_FETCHED = Sql(
    """UPDATE document SET source_url = NULL, source_key = :key, media_type = :media_type, bytes = :bytes,
              sha256 = :sha256, worker = NULL, rung_at = NULL, errors = 0, crashes = 0, ready_at = {now}
       WHERE id = :document AND worker = :worker AND attempt = :attempt AND state || '' = 'running' AND NOT sealed
         AND source_url IS NOT NULL"""
)


def awaited(session: Session, prefix: str) -> list[str]:
    """Keys of our own store beneath this prefix from which a document is still to be fetched."""
    rows = _AWAITED.run(session, first=f"upload:{prefix}", last=f"upload:{prefix}\U0010ffff")
    return [row[0].removeprefix("upload:") for row in rows]


def remotes(session: Session, documents: Sequence[str]) -> dict[str, Remote]:
    """By document."""
    rows = _REMOTES.run(session, ids=[{"id": document} for document in documents])
    return {row[0]: Remote(row[1], row[2], row[3]) for row in rows}


def note_fetched(
    session: Session, claim: ClaimedDocument, *, key: str, media_type: str, size: int, sha256: str
) -> bool:
    """The file lies under `key`, the document waits to be split. False where it was no longer ours."""
    noted = _FETCHED.run(
        session, document=claim.document.id, worker=claim.worker, attempt=claim.attempt,
        key=key, media_type=media_type, bytes=size, sha256=sha256,
    )  # fmt: skip
    return noted.rowcount == 1
