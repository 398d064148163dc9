"""API keys: rows in, rows out."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlmodel import Session, col, select

from jobs.models import ApiKey, Job, KeyGrants, KeyLimits, KeyPublic, Scope
from jobs.store.sql import Sql

_INSERT = Sql(
    """INSERT INTO api_key (id, name, digest, hint, scopes, limits, grants, created_at)
       VALUES (:id, :name, :digest, :hint, {json::scopes}, {json::limits}, {json::grants}, {now})"""
)
_LIMIT = Sql("UPDATE api_key SET limits = {json::limits} WHERE id = :id")
_GRANT = Sql("UPDATE api_key SET grants = {json::grants} WHERE id = :id")
_REVOKE = Sql("UPDATE api_key SET revoked_at = COALESCE(revoked_at, {now}) WHERE id = :id")


def insert(
    session: Session,
    *,
    key_id: str,
    name: str,
    digest: str,
    hint: str,
    scopes: Sequence[Scope],
    limits: KeyLimits,
    grants: KeyGrants,
) -> None:
    values = orjson.dumps([scope.value for scope in scopes]).decode()
    _INSERT.run(
        session,
        id=key_id,
        name=name,
        digest=digest,
        hint=hint,
        scopes=values,
        limits=_stored(limits),
        grants=_stored(grants),
    )


def set_limits(session: Session, key_id: str, limits: KeyLimits) -> bool:
    """False where there is no such key."""
    return _LIMIT.run(session, id=key_id, limits=_stored(limits)).rowcount == 1


def set_grants(session: Session, key_id: str, grants: KeyGrants) -> bool:
    """False where there is no such key."""
    return _GRANT.run(session, id=key_id, grants=_stored(grants)).rowcount == 1


def _stored(value: KeyLimits | KeyGrants) -> str:
    return value.model_dump_json(exclude_none=True)


def get(session: Session, key_id: str) -> KeyPublic | None:
    row = session.get(ApiKey, key_id)
    return None if row is None else _public(row)


def by_digest(session: Session, digest: str) -> KeyPublic | None:
    """The key with this SHA-256, revoked or not."""
    row = session.exec(select(ApiKey).where(ApiKey.digest == digest)).first()
    return None if row is None else _public(row)


def revoke(session: Session, key_id: str) -> bool:
    """False where there is none. One that was revoked before keeps its time."""
    return _REVOKE.run(session, id=key_id).rowcount == 1


def all_keys(session: Session) -> list[KeyPublic]:
    """Oldest first."""
    return [_public(row) for row in session.exec(select(ApiKey).order_by(col(ApiKey.id)))]


def any_key(session: Session) -> bool:
    """Whether a key was ever made, revoked ones included."""
    return session.exec(select(ApiKey.id).limit(1)).first() is not None


def owner_of(session: Session, job_id: str) -> str | None:
    """Whose job it is, deleted or not; empty where nobody said, None where there is no such job."""
    return session.exec(select(Job.owner).where(Job.id == job_id)).first()


def _public(row: ApiKey) -> KeyPublic:
    return KeyPublic(
        id=row.id,
        name=row.name,
        hint=row.hint,
        scopes=tuple(Scope(scope) for scope in row.scopes),
        limits=KeyLimits.model_validate(row.limits),
        grants=KeyGrants.model_validate(row.grants),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
