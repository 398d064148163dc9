"""Idempotency-Keys: which job the first request with one made (rule 11)."""

from __future__ import annotations

from sqlmodel import Session

from jobs.store.sql import Sql

KEPT = 3 * 86_400.0
"""Seconds for which a key is remembered."""

_NOTE = Sql(
    """INSERT INTO idempotency (owner, key, fingerprint, job_id, created_at)
       VALUES (:owner, :key, :fingerprint, :job, {now}) ON CONFLICT (owner, key) DO NOTHING"""
)
_WINNER = Sql("SELECT job_id, fingerprint FROM idempotency WHERE owner = :owner AND key = :key")
_FORGET = Sql("DELETE FROM idempotency WHERE created_at < {later:-:age}")


def note(session: Session, owner: str, key: str, fingerprint: str, job: str) -> bool:
    """Note that this key makes this job, in the job's own transaction. Waits for another transaction that notes it just
    now; False where that one, or an earlier one, was first."""
    return _NOTE.run(session, owner=owner, key=key, fingerprint=fingerprint, job=job).rowcount == 1


def is_noted(session: Session, owner: str, key: str) -> bool:
    return _WINNER.run(session, owner=owner, key=key).first() is not None


def winner(session: Session, owner: str, key: str) -> tuple[str, str]:
    """The job that the key made, and its request's fingerprint."""
    row = _WINNER.run(session, owner=owner, key=key).one()
    return row[0], row[1]


def forget(session: Session) -> None:
    """Keys that are older than they are remembered."""
    _FORGET.run(session, age=KEPT)
