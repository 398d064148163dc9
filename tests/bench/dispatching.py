"""What a round of dispatch costs, with a short queue and with a long one: 1,000 jobs of 1,000 pages.

Only choosing and stamping is timed (`dispatch.choose`); claims and results between the rounds are made by plain SQL.
Nothing is sent, no page is read. It needs nothing that earlier versions lack, so that it can time them too.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import text

from jobs import dispatch
from jobs.settings import DatabaseSettings
from jobs.store import workers
from jobs.store.database import Database, open_database
from jobs.store.workers import Registration
from tests.services import Postgres

CAPACITY = 64
PER_ROUND = 16
"""Pages that are done between two rounds."""
ROUNDS = 200
QUEUES = ((10, 1000), (1000, 10), (1000, 1000))
"""(jobs of one document, pages of each)."""

_JOBS = """INSERT INTO job (id, state, sealed, engine, priority, options, metadata, cancel_requested, manifest,
             documents_total, documents_succeeded, documents_partial, documents_failed, documents_canceled, pages_total,
             pages_running, pages_succeeded, pages_failed, pages_canceled)
           SELECT 'job_' || (1000000 + i), 'running', true, 'echo', 1, '{}', '{}', false, false,
             1, 0, 0, 0, 0, :pages, 0, 0, 0, 0 FROM numbers"""
_DOCUMENTS = """INSERT INTO document (id, job_id, position, name, source_key, media_type, bytes, sha256, engine,
             priority, state, sealed, attempt, errors, crashes, total, pending, running, succeeded, failed, canceled)
           SELECT 'doc_' || (1000000 + i), 'job_' || (1000000 + i), 0, 'a', 'a', 'a', 1, 'a', 'echo',
             1, 'running', true, 1, 0, 0, :pages, :pages, 1, 0, 0, 0 FROM numbers"""
# `running` stays at one, so that nothing is to be assembled.
_PAGES = """INSERT INTO page (document_id, number, state, attempt, errors, crashes)
           SELECT document.id, i, 'pending', 0, 0, 0 FROM document, numbers"""
_CLAIM = """WITH next AS MATERIALIZED (
              SELECT document_id AS d, number AS n FROM page WHERE state = 'pending' AND rung_at IS NOT NULL LIMIT :n)
            UPDATE page SET state = 'running', worker = 'w', rung_at = NULL, attempt = 1 FROM next
            WHERE document_id = next.d AND number = next.n RETURNING document_id"""
_COUNT = "UPDATE document SET pending = pending - :n WHERE id = :id"
_END = """UPDATE page SET state = 'succeeded' WHERE (document_id, number) IN
            (SELECT document_id, number FROM page WHERE state = 'running' LIMIT :n)"""


def run() -> str:
    """Median milliseconds of a round and rounds per second, by database and queue."""
    lines = ["database     jobs  pages each   ms a round (least to most)   rounds/s"]
    for name in ("postgresql", "sqlite"):
        for jobs, pages in QUEUES:
            with _database(name) as db:
                _load(db, jobs, pages)
                taken = sorted(_rounds(db))
            middle = median(taken)
            spread = f"{middle:.2f} ({taken[0]:.2f} to {taken[-1]:.2f})"
            lines.append(f"{name:11} {jobs:5} {pages:11}   {spread:26}   {1000 / middle:8.0f}")
            print(lines[-1], flush=True)
    return "\n".join(lines)


@contextmanager
def _database(name: str) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as root:
        if name == "sqlite":
            yield _migrated(f"sqlite:///{Path(root) / 'bench.db'}")
        else:
            with Postgres(fsync=True) as postgres:
                db = _migrated(postgres.create_database("bench"))
                yield db
                db.dispose()


def _migrated(url: str) -> Database:
    db = open_database(DatabaseSettings(database_url=url))
    db.migrate()
    return db


def _load(db: Database, jobs: int, pages: int) -> None:
    series = "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :n)"
    with db.write() as session:
        workers.register(session, Registration("w", "host", "slot", 1, "echo", CAPACITY))
        connection = session.connection()
        for insert, count in ((_JOBS, jobs), (_DOCUMENTS, jobs), (_PAGES, pages)):
            head, body = insert.split("SELECT", 1)
            values = {"n": count, "pages": pages} if ":pages" in insert else {"n": count}
            connection.execute(text(f"{head} {series} SELECT {body}"), values)


def _rounds(db: Database) -> list[float]:
    """Milliseconds of each."""
    taken = []
    for number in range(ROUNDS + 10):
        begun = time.perf_counter()
        choice = dispatch.choose(db)
        if number >= 10:  # the first ones fill the window and the caches
            taken.append((time.perf_counter() - begun) * 1000)
        assert choice is not None
        assert len(choice) == (2 * CAPACITY if number == 0 else PER_ROUND), (number, len(choice))
        _work(db, ends=number >= CAPACITY // PER_ROUND)
    return taken


def _work(db: Database, *, ends: bool) -> None:
    """Some pages are done once the workers are full, as many are claimed."""
    with db.write() as session:
        connection = session.connection()
        if ends:
            connection.execute(text(_END), {"n": PER_ROUND})
        claimed = Counter(row[0] for row in connection.execute(text(_CLAIM), {"n": PER_ROUND}))
        connection.execute(text(_COUNT), [{"id": id_, "n": n} for id_, n in sorted(claimed.items())])
