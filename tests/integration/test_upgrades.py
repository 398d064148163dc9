"""From one version to the next: rows that the earlier one left are finished by ours, and it goes on working beside us.

tests/earlier/ holds what versions left, made by their own code (record.py there). Everything here counts from those
revisions to whatever the newest one is.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, text

from api.auth import Doorkeeper
from jobs import lifecycle, migrations
from jobs.errors import DatabaseUnavailable
from jobs.migrations import config
from jobs.models import State
from jobs.queue import Doorbell, make_app
from jobs.reconcile.run import reconcile
from jobs.settings import BrokerSettings, DatabaseSettings
from jobs.store.database import open_database
from tests.earlier import record
from tests.earlier.restoring import KINDS, REVISIONS, Earlier, restore, say_again
from tests.installation import Installation
from tests.ledger import assert_exact
from tests.processes import wait_until
from tests.protocol import change, one, rows
from tests.reconciling import PATIENCE, RULES, Parts

EVERY = [pytest.param(Earlier(revision, kind), id=f"{revision}-{kind}") for revision in REVISIONS for kind in KINDS]
SQLITE, POSTGRES = ([pytest.param(Earlier(REVISIONS[-1], kind), id=f"{REVISIONS[-1]}-{kind}")] for kind in KINDS)
"""The version just before. What starts processes is tried on one database."""


@pytest.fixture
def earlier(request):
    return request.param


@pytest.fixture
def url(earlier, request):
    """An empty database of its kind."""
    found: str = request.getfixturevalue(f"{earlier.kind}_url")
    return found


@pytest.fixture
def restored(earlier, url, request):
    """The database as the version left it, not migrated yet."""
    restore(earlier, url, lambda: request.getfixturevalue("postgres"))
    db = open_database(DatabaseSettings(database_url=url, database_busy_timeout=60.0))
    yield db
    db.dispose()


@pytest.fixture
def at_its_revision(earlier, url):
    """The same schema, empty."""
    db = open_database(DatabaseSettings(database_url=url, database_busy_timeout=60.0))
    with db.engine.execution_options(pagemill_writes=True).begin() as connection:
        command.upgrade(config(connection), earlier.revision)
    yield db
    db.dispose()


def states(db, job):
    return dict(rows(db, "SELECT p.state, count(*) FROM page p JOIN document d ON d.id = p.document_id"
                         " WHERE d.job_id = :job GROUP BY p.state", job=job))  # fmt: skip


# --- what an earlier version left


def test_what_the_version_before_left_is_kept(postgres_url):
    db = open_database(DatabaseSettings(database_url=postgres_url))
    with db.engine.connect() as connection:
        scripts = ScriptDirectory.from_config(config(connection))
    db.dispose()
    last = scripts.get_current_head()
    before = scripts.get_revision(last).down_revision
    assert before in REVISIONS, "python -m tests.earlier.record COMMIT: the last one without the new migration"


@pytest.mark.parametrize("earlier", EVERY, indirect=True)
def test_rows_of_an_earlier_version_survive(restored, earlier):
    before = {
        table: rows(restored, f"SELECT count(*) FROM {table}") for table in inspect(restored.engine).get_table_names()
    }
    notes = earlier.notes
    assert one(restored, "SELECT version_num FROM alembic_version") == earlier.revision
    restored.migrate()
    assert_exact(restored)
    assert {table: rows(restored, f"SELECT count(*) FROM {table}") for table in before} == before
    assert states(restored, notes["running"]) == {"succeeded": 3, "running": 3}
    found = dict(rows(restored, "SELECT id, state FROM job"))
    assert {name: found[job] for name, job in notes.items() if name not in ("key", "deleted")} == {
        name: name for name in ("succeeded", "partial", "failed", "canceled", "running", "queued")
    }
    keeper = Doorkeeper(restored, "keys", "127.0.0.1")
    assert keeper.admit(notes["key"], host=None, origin=None, site=None).may("admin")


@pytest.mark.parametrize("earlier", SQLITE, indirect=True)
def test_a_new_worker_finishes_what_the_earlier_version_began(restored, earlier, url, tmp_path, valkey):
    """Held by a worker that was killed, not split yet, encrypted with a password that lies in the database."""
    valkey.flush()
    earlier.unpack(tmp_path)
    notes = earlier.notes
    with Installation(tmp_path, url, valkey.url_of(1), settings={"PAGEMILL_RENDER_PROCESSES": "1"}) as mill:
        with mill.worker():
            for name in ("running", "queued"):
                assert mill.wait(notes[name]).state is State.SUCCEEDED, name
            assert states(mill.db, notes["running"]) == {"succeeded": 6}
            assert min(mill.results(notes["running"]).values()) == "page 1"
            lifecycle.retry(mill.db, mill.blobs, notes["partial"])
            assert mill.wait(notes["partial"]).state is State.PARTIAL, "its fault is for ever"
            assert mill.markdown(notes["succeeded"])[0].split() == ["page", "1", "page", "2", "page", "3"]
            assert len(mill.manifest(notes["queued"])["documents"]) == 2
        assert_exact(mill.db)
        app = make_app(BrokerSettings(broker_url=valkey.url_of(1)))
        parts = Parts(mill.db, mill.blobs, Doorbell(app), PATIENCE, RULES)
        wrong = list(reconcile(parts))
        app.close()
        assert (wrong, parts.blind) == ([], [])


# --- the earlier version beside us


@pytest.mark.parametrize("earlier", EVERY, indirect=True)
def test_what_an_earlier_version_says_does_what_it_did(at_its_revision, earlier, url):
    """Word for word, and the schema changes in the middle of it."""
    migrating = threading.Thread(target=at_its_revision.migrate)

    def meanwhile(number: int) -> None:
        if number == 100:
            migrating.start()

    count, left = say_again(earlier, url, meanwhile)
    migrating.join(60)
    assert count > 500
    assert head(at_its_revision) == newest(at_its_revision)
    found = [[table, *row] for table in ("page", "document", "job")
             for row in rows(at_its_revision, f"SELECT state, count(*) FROM {table} GROUP BY state")]  # fmt: skip
    assert sorted(found) == left
    assert_exact(at_its_revision)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("earlier", POSTGRES, indirect=True)
def test_the_earlier_code_itself_goes_on_while_the_schema_changes(at_its_revision, earlier, url, tmp_path):
    try:
        record.export(earlier.commit, tmp_path / "tree")
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip(f"the history here does not reach back to {earlier.commit}")
    processes = [
        subprocess.Popen(
            [sys.executable, record.HERE / "writing.py", str(seed), url, str(tmp_path / "objects")],
            cwd=tmp_path / "tree",
            env=record.environment(tmp_path / "tree"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "working\n"
        at_its_revision.migrate()
        said = "".join(process.communicate("migrated\n", timeout=200)[0] for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert said.count("done\n") == 3
    # Where the machine stood still for half a second, PostgreSQL may end one of them; whoever asked asks again.
    assert [line for line in said.splitlines() if line != "done" and "deadlock detected" not in line] == []
    assert_exact(at_its_revision)
    assert len(rows(at_its_revision, "SELECT 1 FROM page WHERE attempt > 0")) > 5


def shape(db):
    """Per table: its columns as (type, nullable, has a default), its unique sets of columns, its other rules."""
    found = {}
    inspector = inspect(db.engine)
    for table in inspector.get_table_names():
        columns = {c["name"]: (str(c["type"]), c["nullable"], c["default"] is not None)
                   for c in inspector.get_columns(table)}  # fmt: skip
        unique = {tuple(index["column_names"]) for index in inspector.get_indexes(table) if index["unique"]}
        rules = {str(foreign["constrained_columns"]) for foreign in inspector.get_foreign_keys(table)}
        rules |= {check["sqltext"] for check in inspector.get_check_constraints(table)}
        found[table] = columns, unique, rules
    return found


@pytest.mark.parametrize("earlier", EVERY, indirect=True)
def test_nothing_that_an_earlier_version_knows_has_changed(restored, earlier):
    before = shape(restored)
    restored.migrate()
    after = shape(restored)
    for table, (columns, unique, rules) in before.items():
        new_columns, new_unique, new_rules = after[table]
        assert {name: new_columns.get(name) for name in columns} == columns, table
        assert (new_unique, new_rules) == (unique, rules), f"{table}: what it inserts could be refused"
        for name in new_columns.keys() - columns.keys():
            _, nullable, has_default = new_columns[name]
            assert nullable or has_default, f"{table}.{name}: its INSERT does not name this column"


# --- what migrations may say

_ADDITIVE = (
    r"CREATE TABLE \w+ ",
    r"CREATE (UNIQUE )?INDEX \w+ ON \w+ ",
    r"ALTER TABLE \w+ ADD COLUMN \w+ [\w ]+( DEFAULT (\w+|'[^']*') NOT NULL)?$",
    r"ALTER TABLE \w+ SET \(fillfactor = \d+\)$",
    r"(INSERT INTO|UPDATE) alembic_version ",
)
_BIG = "page"
"""The table that has millions of rows: an index over all of them stops work for as long as it is built."""


def statements(db):
    """What each migration says, by revision."""
    said, current = {}, []

    def listen(_connection, _cursor, statement, *_):
        current.append(" ".join(statement.split()))

    event.listen(db.engine, "before_cursor_execute", listen)
    while migrations._one_more(db.engine):
        event.remove(db.engine, "before_cursor_execute", listen)
        said[head(db)] = [line for line in current if not line.startswith(("SELECT", "SET LOCAL"))]
        current.clear()
        event.listen(db.engine, "before_cursor_execute", listen)
    return said


def head(db):
    return one(db, "SELECT version_num FROM alembic_version")


def newest(db):
    with db.engine.connect() as connection:
        return ScriptDirectory.from_config(config(connection)).get_current_head()


def test_migrations_only_add(postgres_url):
    """On PostgreSQL, as it is said there. What 0001 to 0010 said when nobody had anything is history."""
    db = open_database(DatabaseSettings(database_url=postgres_url))
    said = statements(db)
    db.dispose()
    assert len(said) >= 10
    for revision, lines in said.items():
        made = {match[1] for line in lines if (match := re.match(r"CREATE TABLE (\w+) ", line))}
        again = {match[1] for line in lines if (match := re.match(r"CREATE INDEX (\w+) ", line))}
        for line in lines:
            replaced = re.match(r"DROP INDEX (\w+)$", line)
            if replaced is not None and replaced[1] in again and revision <= "0010":
                continue
            assert any(re.match(rule, line) for rule in _ADDITIVE), f"{revision}: {line}"
            index = re.match(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+) ", line)
            if index is not None and index[2] not in made:
                assert not index[1], f"{revision}: what an earlier version inserts could be refused: {line}"
                assert index[2] != _BIG or " WHERE " in line, f"{revision}: {line}"


def test_a_schema_of_a_newer_version_is_left_alone(db):
    """`pagemill up` of the version before, after a step back."""
    change(db, "UPDATE alembic_version SET version_num = '9999'")
    db.migrate()
    assert head(db) == "9999"


# --- locks


def oldest_on_postgres(request):
    earlier = Earlier(REVISIONS[0], "postgres")
    url = request.getfixturevalue("postgres_url")
    restore(earlier, url, lambda: request.getfixturevalue("postgres"))
    return open_database(DatabaseSettings(database_url=url))


def test_a_migration_that_waits_for_a_table_lets_others_work(request, monkeypatch):
    """A backup, or somebody who forgot a transaction, holds on to the documents."""
    db = oldest_on_postgres(request)
    monkeypatch.setattr(migrations, "PAUSE", 0.2)
    backup = db.engine.connect()
    backup.execute(text("SELECT count(*) FROM document"))
    migrating = threading.Thread(target=db.migrate)
    migrating.start()
    for _ in range(20):  # would stand still for ever behind a migration without a limit
        change(db, "UPDATE document SET attempt = attempt")
    assert migrating.is_alive()
    assert head(db) == REVISIONS[0]
    backup.rollback()
    backup.close()
    migrating.join(60)
    assert not migrating.is_alive()
    assert head(db) == newest(db)
    db.dispose()


def test_a_migration_ends_no_transaction_of_others(request):
    """A worker that holds documents and asks for a table that the migration has already: somebody must give way."""
    db = oldest_on_postgres(request)
    with db.engine.connect() as worker:
        worker.execute(text("UPDATE document SET attempt = attempt"))
        migrating = threading.Thread(target=db.migrate)
        migrating.start()
        waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database" \
                " WHERE d.datname = current_database() AND NOT granted"  # fmt: skip
        wait_until(lambda: one(db, waits), "the migration to stand behind the worker")
        for table in ("worker", "job", "page", "api_key"):
            worker.execute(text(f"SELECT count(*) FROM {table}"))
        worker.commit()
    migrating.join(60)
    assert head(db) == newest(db)
    db.dispose()


def test_a_migration_that_never_gets_its_table_says_why(request, monkeypatch):
    db = oldest_on_postgres(request)
    for name, value in (("LOCK_TIMEOUT", 0.1), ("PAUSE", 0.1), ("PATIENCE", 0.5)):
        monkeypatch.setattr(migrations, name, value)
    with db.engine.connect() as backup:
        backup.execute(text("SELECT count(*) FROM document"))
        with pytest.raises(DatabaseUnavailable, match="a transaction holds on to it; a backup"):
            db.migrate()
    db.migrate()
    db.dispose()
