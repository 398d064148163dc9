"""Pauses: owners whose documents and pages are not rung for now.

Nothing is taken from anybody: what is rung or held ends as usual, and assemblies go on.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from jobs.models import Pause
from jobs.store.sql import Sql

_PAUSE = Sql("INSERT INTO pause (owner, since) VALUES (:owner, {now}) ON CONFLICT (owner) DO NOTHING")
_RESUME = Sql("DELETE FROM pause WHERE owner = :owner")


def pause(session: Session, owner: str) -> bool:
    """Ring nothing more of this owner's jobs, present and future ones. False where it was paused already."""
    return _PAUSE.run(session, owner=owner).rowcount == 1


def resume(session: Session, owner: str) -> bool:
    """Its turn comes again, with the next round of dispatch. False where it was not paused."""
    return _RESUME.run(session, owner=owner).rowcount == 1


def paused(session: Session) -> list[tuple[str, datetime]]:
    """Owners that are paused now, and since when."""
    return [(row.owner, row.since) for row in session.exec(select(Pause).order_by(col(Pause.owner)))]
