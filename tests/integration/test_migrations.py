"""The schema: what migrations make is what the models say, on both databases, however many start at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

import jobs.models  # noqa: F401 - fills the metadata
from jobs.migrations import config
from jobs.settings import DatabaseSettings
from jobs.store.database import open_database
from tests.protocol import rows


@pytest.fixture
def empty(database_url):
    found = open_database(DatabaseSettings(database_url=database_url))
    yield found
    found.dispose()


def tables(db):
    return set(inspect(db.engine).get_table_names())


def test_an_empty_database_gets_every_table(empty):
    empty.migrate()
    assert tables(empty) == set(SQLModel.metadata.tables) | {"alembic_version"}


def test_migrating_twice_changes_nothing(empty):
    empty.migrate()
    before = rows(empty, "SELECT version_num FROM alembic_version")
    empty.migrate()
    assert rows(empty, "SELECT version_num FROM alembic_version") == before


def migrate(url, start):
    db = open_database(DatabaseSettings(database_url=url))
    start.wait(60)
    db.migrate()
    db.dispose()


def test_four_processes_may_migrate_at_once(empty, database_url):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4)
    processes = [context.Process(target=migrate, args=(database_url, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
        process.close()
    assert codes == [0, 0, 0, 0]
    assert len(rows(empty, "SELECT 1 FROM alembic_version")) == 1
    assert tables(empty) >= {"job", "document", "page", "worker", "lease"}


def test_the_migrations_make_what_the_models_say(db):
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_partial_indexes_have_the_conditions_of_the_models(db):
    """Alembic does not compare them."""
    found = {}
    for table in inspect(db.engine).get_table_names():
        for index in inspect(db.engine).get_indexes(table):
            options = index.get("dialect_options", {})
            found[index["name"]] = any(options.get(f"{name}_where") is not None for name in ("sqlite", "postgresql"))
    declared = {
        index.name: index.dialect_options["sqlite"]["where"] is not None
        for table in SQLModel.metadata.tables.values()
        for index in table.indexes
    }
    assert found == declared


def test_back_to_nothing(empty):
    empty.migrate()
    with empty.engine.begin() as connection:
        command.downgrade(config(connection), "base")
    assert tables(empty) == {"alembic_version"}
    empty.migrate()
    assert "page" in tables(empty)


def test_pages_leave_room_in_their_blocks(pg):
    """Every page row is updated a handful of times; with room beside it no index is touched."""
    found = dict(
        rows(pg, "SELECT relname, reloptions[1] FROM pg_class WHERE relname IN ('page', 'document', 'worker')")
    )
    assert found == {"page": "fillfactor=70", "document": "fillfactor=70", "worker": "fillfactor=50"}


def test_a_new_sqlite_file_is_opened_while_somebody_begins_to_write_it(tmp_path):
    """SQLite refuses the change to write-ahead logging at once then, whatever the timeout."""
    first = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    first.execute("BEGIN IMMEDIATE")
    plain = sqlite3.connect(tmp_path / "new.db", timeout=60)
    with closing(plain), pytest.raises(sqlite3.OperationalError, match="locked"):
        plain.execute("PRAGMA journal_mode=WAL")
    second = open_database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'new.db'}"))
    with ThreadPoolExecutor() as threads:
        opening = threads.submit(second.check)
        assert wait([opening], timeout=0.3).not_done
        first.execute("COMMIT")
        opening.result(60)
    second.dispose()
    first.close()


def test_sqlite_writes_ahead_and_keeps_foreign_keys(sqlite_store_url):
    db = open_database(DatabaseSettings(database_url=sqlite_store_url))
    with db.read() as session:
        connection = session.connection()
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    db.dispose()


# What the hot statements look for, and the index that must find it without reading the table.
INDEXES = {
    "SELECT document_id, number FROM page WHERE worker = 'w' AND state = 'running'": "ix_page_held",
    "SELECT document_id FROM page WHERE worker IS NOT NULL AND worker = 'w' AND state = 'canceled'": (
        "ix_page_canceled_held"
    ),
    "SELECT number FROM page WHERE state = 'pending' AND rung_at IS NOT NULL AND rung_at < '2000-01-01'": (
        "ix_page_rung"
    ),
    "SELECT 1 FROM document WHERE job_id = 'j' AND state IN ('queued', 'running') LIMIT 1": "ix_document_unfinished",
    "SELECT id FROM document WHERE state IN ('queued','running') AND NOT sealed AND worker IS NULL"
    " AND source_url IS NULL AND rung_at IS NULL AND priority = 1 AND owner = '' AND job_id > 'j'"
    " ORDER BY job_id LIMIT 1": "ix_document_split",
    "SELECT id FROM document WHERE state IN ('queued','running') AND NOT sealed AND worker IS NULL"
    " AND source_url IS NOT NULL AND rung_at IS NULL AND priority = 1 AND owner = '' AND job_id > 'j'"
    " ORDER BY job_id LIMIT 1": "ix_document_fetch",
    "SELECT id FROM job WHERE expires_at IS NOT NULL AND deleted_at IS NULL AND expires_at < '2000-01-01'"
    " ORDER BY expires_at LIMIT 5": "ix_job_expires",
    "SELECT sum(pages_total) FROM job WHERE owner = 'o' AND state IN ('queued','running')": "ix_job_backlog",
    "SELECT owner FROM document WHERE engine = 'e' AND state = 'running' AND pending > 0 AND priority = 1"
    " AND owner > '' ORDER BY owner LIMIT 1": "ix_document_pending",
    "SELECT id FROM document WHERE state = 'running' AND sealed AND pending = 0 AND running = 0 AND worker IS NULL"
    " ORDER BY priority, id LIMIT 5": "ix_document_assemble",
    "SELECT (SELECT 1 FROM document d WHERE d.state = 'running' AND d.sealed AND d.pending = 0 AND d.running = 0"
    " AND d.worker IS NULL AND d.rung_at IS NULL AND d.ready_at <= '2000-01-01' LIMIT 1) IS NOT NULL": (
        "ix_document_assemble"
    ),
    "SELECT id FROM document WHERE unpublished AND state IN ('succeeded', 'partial', 'failed', 'canceled')"
    " ORDER BY id LIMIT 5": "ix_document_unpublished",
    "SELECT rank FROM publication WHERE target = 't' AND state = 'waiting'": "ix_publication_waiting",
    "SELECT max(rank) FROM publication WHERE target = 't' AND published_at IS NOT NULL": "ix_publication_written",
    "SELECT id FROM inbox_object WHERE document_id = 'd'": "ix_inbox_object_document",
    "SELECT id FROM job WHERE NOT manifest AND state NOT IN ('queued', 'running') AND deleted_at IS NULL"
    " ORDER BY id LIMIT 5": "ix_job_manifest",
    "SELECT id FROM webhook_delivery WHERE state = 'pending' AND owner = '' AND host = 'a' AND next_at <= '2000-01-01'"
    " ORDER BY next_at LIMIT 5": "ix_webhook_delivery_due",
    "SELECT min(owner) FROM webhook_delivery WHERE state = 'pending' AND owner > 'a'": "ix_webhook_delivery_due",
    "SELECT min(host) FROM webhook_delivery WHERE state = 'pending' AND owner = '' AND host > 'a'": (
        "ix_webhook_delivery_due"
    ),
    "SELECT owner, host, count(*) FROM webhook_delivery WHERE rung_at IS NOT NULL AND rung_at > '2000-01-01'"
    " GROUP BY owner, host": "ix_webhook_delivery_rung",
    "SELECT id FROM document WHERE reuse_key = 'k' AND state = 'succeeded' AND reuse_key IS NOT NULL"
    " AND reader IS NOT NULL ORDER BY id DESC LIMIT 1": "ix_document_reuse",
    "SELECT id FROM document WHERE job_id = 'j' AND (error IS NOT NULL OR failed > 0) AND position > 4"
    " ORDER BY position LIMIT 5": "ix_document_troubled",
    "SELECT number FROM page WHERE document_id = 'd' AND state = 'failed' AND number > 4"
    " AND CAST(error AS varchar) = 'x' ORDER BY number LIMIT 5": "ix_page_failed",
    "SELECT id, state FROM job WHERE state IN ('queued','running') ORDER BY id LIMIT 100000": (
        "ix_job_open or ix_job_backlog"  # the same jobs; of an empty table either is as good
    ),
    "SELECT id FROM job WHERE state IN ('queued','running') AND state = 'running' AND documents_total <= 1000": (
        "ix_job_open or ix_job_backlog"
    ),
    "SELECT id FROM job WHERE deleted_at IS NOT NULL AND purged_at IS NULL ORDER BY id LIMIT 5": "ix_job_to_purge",
    "SELECT id FROM job WHERE deleted_at IS NOT NULL AND purged_at IS NULL AND NOT EXISTS (SELECT 1 FROM lease"
    " WHERE name = 'purge ' || job.id AND expires_at >= '2000-01-01') ORDER BY id LIMIT 5": "ix_job_to_purge",
    # Of jobs/store/census.py, for every few seconds; its pass over `job` reads the table, and means to.
    "SELECT count(*) FROM page WHERE state = 'failed'": "ix_page_failed",
    "SELECT count(*) FROM document WHERE (error IS NOT NULL OR failed > 0) AND state = 'failed'": (
        "ix_document_troubled"
    ),
    "SELECT state, count(*) FROM document WHERE state IN ('queued','running') GROUP BY state": "ix_document_unfinished",
    "SELECT engine, priority, min(started_at) FROM document WHERE state = 'running' AND pending > 0"
    " GROUP BY engine, priority": "ix_document_pending",
    "SELECT count(*), min(next_at) FROM webhook_delivery WHERE state = 'pending' AND next_at <= '2000-01-01'": (
        "ix_webhook_delivery_due"
    ),
}


@pytest.mark.parametrize("query", INDEXES, ids=list(INDEXES.values()))
def test_hot_statements_find_their_rows_by_an_index(db, query):
    if db.engine.dialect.name == "sqlite":
        plan = rows(db, f"EXPLAIN QUERY PLAN {query}")
    else:
        with db.write() as session:  # a transaction, in which the setting counts
            # An empty table is read whole whatever indexes it has; the question is whether the index could serve.
            session.connection().execute(text("SET LOCAL enable_seqscan = off"))
            plan = list(session.connection().execute(text(f"EXPLAIN {query}")))
    assert any(index in str(plan) for index in INDEXES[query].split(" or ")), plan
