"""Rows by the hundred thousand, put into the tables by plain SQL: what a queue of that size looks like to a statement.

Shapes: `history` (everything has ended but 10 jobs of 1,000 pages), `backlog` (everything waits), `both`, `one job` (of
documents of one page, half of them read), `long job`, `owners` (who wait; told by their number, not that of pages). Ids
sort by age, as real ones do. All documents have one file: `SOURCE`, of 100 pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, text

from jobs.store import workers
from jobs.store.database import Database
from jobs.store.workers import Registration

WORKER = "wrk_1"
SOURCE = "uploads/a.pdf"
CAPACITY = 64
ENGINE = "echo"
JOB = f"job_{1:012x}{0:020x}"
"""The first one."""
PAGES, DOCUMENTS = 100, 100
"""Of a document, of a job."""
LIVE_JOBS, LIVE_DOCUMENTS = 10, 10
OWNED, PAGES_OWNED = 10_000, 16
"""Documents of all owners that wait to be read; pages of each."""

_JOBS = """INSERT INTO job (id, state, sealed, engine, priority, options, metadata, cancel_requested, manifest,
             documents_total, documents_succeeded, documents_partial, documents_failed, documents_canceled, pages_total,
             pages_running, pages_succeeded, pages_failed, pages_canceled, finished_at)
           SELECT 'job_' || lpad(to_hex(i), 12, '0') || lpad('', 20, '0'), :state, true,
             'echo', 1, '{}', '{}', false, :ended,
             :documents, CASE WHEN :ended THEN :documents ELSE 0 END, 0, 0, 0, CAST(:documents AS int) * :pages, 0,
             CASE WHEN :ended THEN CAST(:documents AS int) * :pages ELSE 0 END, 0, 0,
             CASE WHEN :ended THEN now() END
           FROM generate_series(CAST(:first AS int), :first + CAST(:jobs AS int) - 1) AS i"""
_DOCUMENTS = """INSERT INTO document (id, job_id, position, name, source_key, media_type, bytes, sha256, engine,
                  priority, state, sealed, attempt, errors, crashes, total, pending, running, succeeded, failed,
                  canceled, source_pages, result_attempt, started_at, finished_at)
                SELECT 'doc_' || lpad(to_hex(j), 12, '0') || lpad(to_hex(d), 20, '0'),
                  'job_' || lpad(to_hex(j), 12, '0') || lpad('', 20, '0'), d, 'a.pdf', 'uploads/a.pdf',
                  'application/pdf', 20000, 'a', 'echo', 1, :state, true, CASE WHEN :ended THEN 2 ELSE 1 END, 0, 0,
                  :pages, CASE WHEN :ended THEN 0 ELSE :pages END, 0, CASE WHEN :ended THEN :pages ELSE 0 END, 0, 0,
                  :pages, CASE WHEN :ended THEN 2 END, now(), CASE WHEN :ended THEN now() END
                FROM generate_series(CAST(:first AS int), :first + CAST(:jobs AS int) - 1) AS j,
                  generate_series(CAST(:from AS int), :from + CAST(:documents AS int) - 1) AS d"""
_PAGES = """INSERT INTO page (document_id, number, state, attempt, errors, crashes, finished_at, worker)
            SELECT 'doc_' || lpad(to_hex(j), 12, '0') || lpad(to_hex(d), 20, '0'), n,
              CASE WHEN :ended THEN 'succeeded' ELSE 'pending' END, CASE WHEN :ended THEN 1 ELSE 0 END, 0, 0,
              CASE WHEN :ended THEN now() END, CASE WHEN :ended THEN 'wrk_1' END
            FROM generate_series(CAST(:first AS int), :first + CAST(:jobs AS int) - 1) AS j,
              generate_series(CAST(:from AS int), :from + CAST(:documents AS int) - 1) AS d,
              generate_series(1, CAST(:pages AS int)) AS n"""

_KEYS = """INSERT INTO api_key (id, name, digest, hint, scopes)
           SELECT owner, 'a', owner, 'a', '["submit"]' FROM job"""


def history(connection: Connection, pages: int) -> None:
    """So many pages that were read, and 10,000 that wait."""
    jobs = max(1, pages // (PAGES * DOCUMENTS))
    _fill(connection, first=1, jobs=jobs, documents=DOCUMENTS, pages=PAGES, ended=True)
    _fill(connection, first=jobs + 1, jobs=LIVE_JOBS, documents=LIVE_DOCUMENTS, pages=PAGES, ended=False)


def backlog(connection: Connection, pages: int) -> None:
    """So many pages that wait."""
    _fill(connection, first=1, jobs=max(1, pages // (PAGES * DOCUMENTS)), documents=DOCUMENTS, pages=PAGES, ended=False)


def one_job(connection: Connection, pages: int) -> None:
    """A job of so many documents of one page, the older half of which were read."""
    half = pages // 2
    _jobs(connection, first=1, jobs=1, documents=pages, pages=1, ended=False)
    for start, ended in ((0, True), (half, False)):
        _documents(connection, first=1, jobs=1, documents=half, pages=1, ended=ended, start=start)


def both(connection: Connection, pages: int) -> None:
    """A half was read, the other waits."""
    jobs = max(1, pages // 2 // (PAGES * DOCUMENTS))
    _fill(connection, first=1, jobs=jobs, documents=DOCUMENTS, pages=PAGES, ended=True)
    _fill(connection, first=jobs + 1, jobs=jobs, documents=DOCUMENTS, pages=PAGES, ended=False)


def long_job(connection: Connection, pages: int) -> None:
    """One job of so many pages that wait."""
    _fill(connection, first=1, jobs=1, documents=pages // PAGES, pages=PAGES, ended=False)


def owners(connection: Connection, owners: int) -> None:
    """So many owners of one job each. Up to `OWNED` they have as many documents together however many they are; half of
    them wait to be split."""
    documents = max(1, OWNED // owners)
    _jobs(connection, first=1, jobs=owners, documents=2 * documents, pages=PAGES_OWNED, ended=False)
    _documents(connection, first=1, jobs=owners, documents=documents, pages=PAGES_OWNED, ended=False)
    _documents(connection, first=1, jobs=owners, documents=documents, pages=0, ended=False, start=documents)
    connection.execute(text("UPDATE document SET state = 'queued', sealed = false WHERE total = 0"))
    for table, job in (("job", "id"), ("document", "job_id")):
        connection.execute(text(f"UPDATE {table} SET owner = 'key' || substr({job}, 4)"))
    connection.execute(text(_KEYS))


SHAPES: Mapping[str, Callable[[Connection, int], None]] = {
    "history": history,
    "backlog": backlog,
    "one job": one_job,
    "both": both,
    "long job": long_job,
    "owners": owners,
}


def load(db: Database, shape: str, pages: int) -> None:
    """Fill an empty database, with a living worker, and let PostgreSQL look at what it has, as autovacuum would."""
    with db.write() as session:
        workers.register(session, Registration(WORKER, "host", "slot", 1, ENGINE, CAPACITY))
    fill(db, shape, pages)


def fill(db: Database, shape: str, pages: int) -> None:
    """The same without a worker."""
    with db.write() as session:
        SHAPES[shape](session.connection(), pages)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _fill(connection: Connection, *, first: int, jobs: int, documents: int, pages: int, ended: bool) -> None:
    _jobs(connection, first=first, jobs=jobs, documents=documents, pages=pages, ended=ended)
    _documents(connection, first=first, jobs=jobs, documents=documents, pages=pages, ended=ended)


def _jobs(connection: Connection, *, first: int, jobs: int, documents: int, pages: int, ended: bool) -> None:
    values = {"first": first, "jobs": jobs, "documents": documents, "pages": pages, "ended": ended}
    connection.execute(text(_JOBS), values | {"state": _state(ended)})


def _documents(
    connection: Connection, *, first: int, jobs: int, documents: int, pages: int, ended: bool, start: int = 0
) -> None:
    values = {"first": first, "jobs": jobs, "documents": documents, "pages": pages, "ended": ended, "from": start}
    connection.execute(text(_DOCUMENTS), values | {"state": _state(ended)})
    connection.execute(text(_PAGES), values)


def _state(ended: bool) -> str:
    return "succeeded" if ended else "running"
