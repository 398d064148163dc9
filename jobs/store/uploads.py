"""Places where files may be put by a link, to be submitted by their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from jobs.errors import NotFound
from jobs.models import Upload
from jobs.store.sql import Sql

_INSERT = Sql(
    """INSERT INTO upload (id, owner, key, name, created_at, expires_at)
       VALUES (:id, :owner, :key, :name, {now}, {later::seconds})"""
)
_EXPIRED = Sql("SELECT 1 FROM upload WHERE id = :id AND expires_at <= {now}")
_FORGET = Sql("DELETE FROM upload WHERE expires_at < {later:-86400}")


@dataclass(frozen=True, slots=True)
class Place:
    id: str
    key: str
    name: str
    expires_at: datetime


def insert(session: Session, *, upload: str, owner: str, key: str, name: str, seconds: float) -> Place:
    _INSERT.run(session, id=upload, owner=owner, key=key, name=name, seconds=seconds)
    return get(session, upload, owner)


def get(session: Session, upload: str, owner: str) -> Place:
    """Raises NotFound, also for another's and for one that has expired."""
    row = session.get(Upload, upload)
    if row is None or row.owner != owner or _EXPIRED.run(session, id=upload).first() is not None:
        raise NotFound(f"there is no upload {upload}", where=upload)
    return Place(row.id, row.key, row.name, row.expires_at)


def forget(session: Session) -> None:
    """Those that expired a day ago: what was put there is swept."""
    _FORGET.run(session)
