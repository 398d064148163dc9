"""Pages that wait: many jobs of ten documents of a hundred pages each, put into the database in bulk as their splits
would have left them. They are older than anything that is submitted later.
"""

from __future__ import annotations

import psycopg

from tests.services import Postgres

DOCUMENTS, PAGES = 10, 100
"""Documents of a job, pages of a document."""
OWNER = "key_" + "0" * 32
"""Has the form of a key, so that `PAGEMILL_KEY_PAGES_IN_FLIGHT` bounds what it has in flight."""
PAGE_SECONDS = 1.0
"""What each of its pages takes of an echo engine: those that have their turn stand for little of what is measured."""

_JOBS = """
    INSERT INTO job (id, state, sealed, engine, priority, owner, options, metadata, cancel_requested, manifest,
      documents_total, documents_succeeded, documents_partial, documents_failed, documents_canceled,
      pages_total, pages_running, pages_succeeded, pages_failed, pages_canceled, started_at)
    SELECT 'job_' || lpad(to_hex(i), 32, '0'), 'running', true, %(engine)s, 1, %(owner)s, %(options)s, '{}', false,
      false, least(%(documents)s, %(all)s - %(documents)s * (i - 1)), 0, 0, 0, 0,
      %(pages)s * least(%(documents)s, %(all)s - %(documents)s * (i - 1)), 0, 0, 0, 0, now()
    FROM generate_series(1, (%(all)s + %(documents)s - 1) / %(documents)s) AS i"""
_DOCUMENTS = """
    INSERT INTO document (id, job_id, position, name, source_key, media_type, bytes, sha256, engine, priority, owner,
      state, sealed, attempt, errors, crashes, source_pages, total, pending, running, succeeded, failed, canceled,
      started_at)
    SELECT 'doc_' || lpad(to_hex(i), 32, '0'), 'job_' || lpad(to_hex((i - 1) / %(documents)s + 1), 32, '0'),
      (i - 1) %% %(documents)s, 'waits.pdf', 'uploads/waits', 'application/pdf', 1, 'none', %(engine)s, 1, %(owner)s,
      'running', true, 1, 0, 0, %(pages)s, %(pages)s, %(pages)s, 0, 0, 0, 0, now()
    FROM generate_series(1, %(all)s) AS i"""
_PAGES = """
    INSERT INTO page (document_id, number, state, attempt, errors, crashes)
    SELECT document.id, i, 'pending', 0, 0, 0 FROM document, generate_series(1, %(pages)s) AS i
    WHERE document.owner = %(owner)s"""


def fill(postgres: Postgres, database: str, pages: int, engine: str) -> None:
    """So many pages (whole hundreds) wait for `engine`. Statistics and visibility are as autovacuum leaves them."""
    with postgres.connect(database) as connection:
        values = {
            "all": pages // PAGES,
            "documents": DOCUMENTS,
            "pages": PAGES,
            "engine": engine,
            "owner": OWNER,
            "options": f'{{"echo": {{"seconds": {{"*": {PAGE_SECONDS}}}}}}}',
        }
        for insert in (_JOBS, _DOCUMENTS, _PAGES):
            connection.execute(insert, values)
        settle(connection)


def settle(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """What autovacuum and the checkpointer would do some minutes later."""
    connection.execute("VACUUM (ANALYZE) job, document, page")
    connection.execute("CHECKPOINT")


def gather(postgres: Postgres, database: str) -> tuple[str, str, int]:
    """Make all waiting documents but ten those of the oldest job, and leave the next one ten pages. Returns the ids of
    the large and the small job, and the pages of the large one."""
    large, small = (f"job_{number:032x}" for number in (1, 2))
    values = {"large": large, "small": small, "owner": OWNER}
    with postgres.connect(database) as connection:
        for statement in _GATHER:
            connection.execute(statement, values)
        settle(connection)
        row = connection.execute("SELECT pages_total FROM job WHERE id = %(large)s", values).fetchone()
    assert row is not None
    return large, small, int(str(row[0]))


_GATHER = (
    """UPDATE document SET job_id = %(large)s, position = d.place
       FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM document
             WHERE owner = %(owner)s AND job_id <> %(small)s) AS d
       WHERE document.id = d.id""",
    """DELETE FROM page USING document WHERE document.id = page.document_id AND job_id = %(small)s AND number > 1""",
    """UPDATE document SET source_pages = 1, total = 1, pending = 1 WHERE job_id = %(small)s""",
    """UPDATE job SET documents_total = s.documents, pages_total = s.pages
       FROM (SELECT job_id, count(*) AS documents, sum(total) AS pages FROM document
             WHERE job_id IN (%(large)s, %(small)s) GROUP BY job_id) AS s
       WHERE id = job_id""",
    """DELETE FROM job WHERE owner = %(owner)s AND id NOT IN (%(large)s, %(small)s)""",
)
