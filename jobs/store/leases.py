"""Who acts in the name of all. A lease only saves work: what its holder does is harmless when two do it at once."""

from __future__ import annotations

from sqlmodel import Session

from jobs.store.sql import Sql

_TAKE = Sql(
    """INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, {later::seconds})
       ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
         WHERE lease.holder = excluded.holder OR lease.expires_at < {now}
       RETURNING holder"""
)
_TAKEN = Sql("SELECT 1 FROM lease WHERE name = :name AND expires_at >= {now}")
_GIVE_BACK = Sql("DELETE FROM lease WHERE name = :name AND holder = :holder")


def take_lease(session: Session, name: str, holder: str, seconds: float) -> bool:
    """Take or renew the lease for so many seconds. False while it is another's."""
    return _TAKE.run(session, name=name, holder=holder, seconds=seconds).first() is not None


def is_taken(session: Session, name: str) -> bool:
    """Whether anybody has it now; asking costs less than trying to take it."""
    return _TAKEN.run(session, name=name).first() is not None


def give_lease_back(session: Session, name: str, holder: str) -> None:
    _GIVE_BACK.run(session, name=name, holder=holder)
