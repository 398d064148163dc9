"""PostgreSQL's statistics are from before a backlog came: what names documents by id must not read all that wait."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from jobs import lifecycle
from jobs.store import claiming, closing, fetching, ringing, submitting, waiting
from jobs.store.sql import _parameter
from tests.protocol import register, submit

WHOLE = {"pk_document", "ix_document_job", "ix_document_worker"}
"""Indexes of all documents, whose size PostgreSQL knows, and of those that workers hold, which are few."""
REFS = [{"d": "doc_x", "a": 0}]
BY_ID = {
    "claim splits": (claiming._CLAIM_SPLITS, {"worker": "w", "refs": REFS}),
    "claim fetches": (claiming._CLAIM_FETCHES, {"worker": "w", "refs": REFS}),
    "claim assemblies": (claiming._CLAIM_ASSEMBLIES, {"worker": "w", "refs": REFS}),
    "lock sources": (claiming._LOCK_SOURCES, {"ids": [{"id": "doc_x"}]}),
    "lock one that is split": (submitting._LOCK_SPLITTING, {"document": "doc_x", "worker": "w", "attempt": 1}),
    "lock small ones": (submitting.LOCK_SMALL, {"worker": "w", "done": [{"id": "doc_x", "attempt": 1}]}),
    "note what was fetched": (
        fetching._FETCHED,
        {"document": "doc_x", "worker": "w", "attempt": 1, "key": "k", "media_type": "m", "bytes": 1, "sha256": "s"},
    ),
    "finish": (
        closing._FINISH,
        {"f": [{"d": "doc_x", "w": "w", "a": 1, "state": "failed", "with_result": False}]},
    ),
    "release": (
        claiming._RELEASE_DOCUMENT, {"document": "doc_x", "worker": "w", "attempt": 1, "errors": 0, "delay": 0.0}
    ),
}  # fmt: skip


@pytest.fixture
def backlog(pg):
    """All had ended when statistics were made; then a job came."""
    job, _ = submit(pg, 500)
    lifecycle.cancel(pg, job)
    with pg.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ALTER TABLE document SET (autovacuum_enabled = off)"))
        connection.execute(text("VACUUM ANALYZE document"))
    submit(pg, 200)
    return pg


def plan(session, statement, values):
    bound = {name: _parameter(value) for name, value in values.items()}
    session.connection().execute(text("SET LOCAL enable_seqscan = off"))  # the table is too small for any index
    rows = session.connection().execute(text(f"EXPLAIN {statement._postgresql.text}"), bound)
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("name", BY_ID)
def test_what_names_documents_does_not_look_among_those_that_wait(backlog, name):
    with backlog.write() as session:
        found = plan(session, *BY_ID[name])
    assert set(re.findall(r"[ip][xk]_document\w*", found)) <= WHOLE, found


def test_dispatch_walks_along_the_index_of_its_order(backlog):
    register(backlog)
    quotas = [{"priority": 1, "owner": "", "job": "job_x", "n": 16}]
    with backlog.write() as session:
        assert ringing.dispatch_lock(session)
        found = plan(session, ringing._STAMP_SPLITS, {"quotas": quotas, "total": 16})
    assert "ix_document_split" in found, found
    with backlog.read() as session:
        assert session.connection().execute(text("SHOW enable_sort")).scalar() == "on", "for that transaction alone"


def test_a_probe_for_chores_reads_no_table_of_documents_of_which_none_waits(pg):
    """In the middle of a large job half of the documents run and half have no page that waits: by statistics a quarter
    of all are to be put together, and the first row of the table would do."""
    submit(pg, 2000)
    running = "sealed = true, state = 'running', pending = 5, total = 5"
    ended = "sealed = true, state = 'succeeded', succeeded = 5, total = 5"
    fresh = "sealed = false, state = 'queued', pending = 0, succeeded = 0, total = 0"
    with pg.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ALTER TABLE document SET (autovacuum_enabled = off)"))
        connection.execute(text(f"UPDATE document SET {running} WHERE position % 2 = 0"))
        connection.execute(text(f"UPDATE document SET {ended} WHERE position % 2 = 1"))
        connection.execute(text("VACUUM ANALYZE document"))
        connection.execute(text(f"UPDATE document SET {fresh}"))  # what the statistics know stays as it was
    with pg.write() as session:
        assert ringing.dispatch_lock(session)
        rows = session.connection().execute(text(f"EXPLAIN {waiting._CHORES._postgresql.text}"))
        found = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in found, found
