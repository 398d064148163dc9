"""What it costs to be rid of a job: it is canceled in one transaction, its rows are deleted in pieces."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jobs.store import ending
from jobs.store.database import Database
from tests.bench.report import table
from tests.bench.scale.bulk import JOB, fill
from tests.bench.scale.site import database

HEAD = ["pages of the job", "cancel: one transaction, s", "rows deleted, s", "longest transaction of that, s"]


def ended(sizes: Sequence[int]) -> str:
    """Seconds, for jobs of so many waiting pages in documents of a hundred."""
    return table(HEAD, [[f"{pages:,}", *(f"{seconds:.2f}" for seconds in _ended(pages))] for pages in sizes])


def _ended(pages: int) -> tuple[float, float, float]:
    with database() as db:
        fill(db, "long job", pages)
        begun = time.perf_counter()
        with db.write() as session:
            ending.mark_deleted(session, JOB)
        canceled = time.perf_counter() - begun
        pieces = _drop(db)
    return canceled, sum(pieces), max(pieces)


def _drop(db: Database) -> list[float]:
    """Seconds of each transaction."""
    pieces, gone = [], False
    while not gone:
        begun = time.perf_counter()
        with db.write() as session:
            gone = ending.drop_rows(session, JOB)
        pieces.append(time.perf_counter() - begun)
    return pieces
