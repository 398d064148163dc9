"""Pages that wait: many jobs of up to ten documents of a hundred pages each, whose owners take turns, put into the
database in bulk as their splits would have left them. They are older than anything that is submitted later.
"""

from __future__ import annotations

import psycopg

from tests.services import Postgres

DOCUMENTS, PAGES = 10, 100
"""Documents of a job at most, pages of a document."""
OWNERS, SERVED = 100, 16
"""Owners, where there are as many documents: job by job the next one's. And those that may have pages in flight, by
`PAGEMILL_KEY_PAGES_IN_FLIGHT`, since their names have the form of keys. All others are keys that may have none, as is
who has what it may have: dispatch goes through all of them, and few of their pages count among those measured."""
PAGE_SECONDS = 2.0
"""What each of its pages takes of an echo engine: those that have their turn stand for little of what is measured."""

_KEYS = """
    INSERT INTO api_key (id, name, digest, hint, scopes, limits, grants, created_at, revoked_at)
    SELECT 'key_' || lpad(to_hex(i), 32, '0'), 'waits', 'digest ' || i, '', '[]', '{"pages_in_flight": 0}', '{}', now(),
      now() FROM generate_series(%(served)s, %(owners)s - 1) AS i"""
_JOBS = """
    INSERT INTO job (id, state, sealed, engine, priority, owner, options, metadata, cancel_requested, manifest,
      documents_total, documents_succeeded, documents_partial, documents_failed, documents_canceled,
      pages_total, pages_running, pages_succeeded, pages_failed, pages_canceled, started_at)
    SELECT 'job_' || lpad(to_hex(i), 32, '0'), 'running', true, %(engine)s, 1,
      'key_' || lpad(to_hex((i - 1) %% %(owners)s), 32, '0'), %(options)s, '{}', false,
      false, least(%(documents)s, %(all)s - %(documents)s * (i - 1)), 0, 0, 0, 0,
      %(pages)s * least(%(documents)s, %(all)s - %(documents)s * (i - 1)), 0, 0, 0, 0, now()
    FROM generate_series(1, (%(all)s + %(documents)s - 1) / %(documents)s) AS i"""
_DOCUMENTS = """
    INSERT INTO document (id, job_id, position, name, source_key, media_type, bytes, sha256, engine, priority, owner,
      state, sealed, attempt, errors, crashes, source_pages, total, pending, running, succeeded, failed, canceled,
      started_at)
    SELECT 'doc_' || lpad(to_hex(i), 32, '0'), 'job_' || lpad(to_hex((i - 1) / %(documents)s + 1), 32, '0'),
      (i - 1) %% %(documents)s, 'waits.pdf', 'uploads/waits', 'application/pdf', 1, 'none', %(engine)s, 1,
      'key_' || lpad(to_hex((i - 1) / %(documents)s %% %(owners)s), 32, '0'),
      'running', true, 1, 0, 0, %(pages)s, %(pages)s, %(pages)s, 0, 0, 0, 0, now()
    FROM generate_series(1, %(all)s) AS i"""
_PAGES = """
    INSERT INTO page (document_id, number, state, attempt, errors, crashes)
    SELECT document.id, i, 'pending', 0, 0, 0 FROM document, generate_series(1, %(pages)s) AS i
    WHERE document.source_key = 'uploads/waits'"""


def job_size(documents: int) -> int:
    """Documents of a job, of so many in all."""
    return max(1, min(DOCUMENTS, documents // OWNERS))


def fill(postgres: Postgres, database: str, pages: int, engine: str) -> None:
    """So many pages (whole hundreds) wait for `engine`. Statistics and visibility are as autovacuum leaves them."""
    with postgres.connect(database) as connection:
        values = {
            "all": pages // PAGES,
            "documents": job_size(pages // PAGES),
            "pages": PAGES,
            "engine": engine,
            "owners": OWNERS,
            "served": SERVED,
            "options": f'{{"echo": {{"seconds": {{"*": {PAGE_SECONDS}}}}}}}',
        }
        for insert in (_KEYS, _JOBS, _DOCUMENTS, _PAGES):
            connection.execute(insert, values)
        settle(connection)


def settle(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """What autovacuum and the checkpointer would do some minutes later."""
    connection.execute("VACUUM (ANALYZE) job, document, page")
    connection.execute("CHECKPOINT")


def gather(postgres: Postgres, database: str) -> tuple[str, str, int]:
    """Make the ten youngest documents those of one job, with a page each, and all others those of another one. Returns
    the ids of the large and the small job, and the pages of the large one."""
    large, small = (f"job_{number:032x}" for number in (1, 2))
    values = {"large": large, "small": small, "few": FEW}
    with postgres.connect(database) as connection:
        for statement in _GATHER:
            connection.execute(statement, values)
        settle(connection)
        row = connection.execute("SELECT pages_total FROM job WHERE id = %(large)s", values).fetchone()
    assert row is not None
    return large, small, int(str(row[0]))


FEW = 10
"""Documents of the small job: lists of both are equally long."""
_GATHER = (
    # The youngest, since no page of theirs has had its turn.
    """UPDATE document SET owner = 'key_' || lpad('', 32, '0'),
         job_id = CASE WHEN d.place < %(few)s THEN %(small)s ELSE %(large)s END,
         position = CASE WHEN d.place < %(few)s THEN d.place ELSE d.place - %(few)s END
       FROM (SELECT id, row_number() OVER (ORDER BY id DESC) - 1 AS place FROM document
             WHERE source_key = 'uploads/waits') AS d
       WHERE document.id = d.id""",
    """DELETE FROM page USING document WHERE document.id = page.document_id AND job_id = %(small)s AND number > 1""",
    """UPDATE page SET state = 'pending', worker = NULL, rung_at = NULL FROM document
       WHERE document.id = page.document_id AND job_id = %(small)s""",
    """UPDATE document SET source_pages = 1, total = 1, pending = 1, running = 0, succeeded = 0
       WHERE job_id = %(small)s""",
    """UPDATE job SET owner = 'key_' || lpad('', 32, '0'), documents_total = s.documents, pages_total = s.pages
       FROM (SELECT job_id, count(*) AS documents, sum(total) AS pages FROM document
             WHERE job_id IN (%(large)s, %(small)s) GROUP BY job_id) AS s
       WHERE id = job_id""",
    """DELETE FROM job WHERE left(owner, 4) = 'key_' AND id NOT IN (%(large)s, %(small)s)""",
)
