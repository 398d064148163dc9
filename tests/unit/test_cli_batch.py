"""Files through a batch on a real database whose answers get lost: none is forgotten, none counted twice."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from api.cli.batch import Batch, Ground
from api.cli.output import Recipe
from api.cli.plan import make_plan
from api.cli.todo import Tally, Todo
from jobs import lifecycle
from jobs.blobs import open_store
from jobs.errors import DatabaseUnavailable
from jobs.options import JobOptions
from jobs.settings import BlobSettings, DatabaseSettings, LimitSettings
from jobs.store import reading
from jobs.store.database import open_database
from jobs.vault import Vault


@pytest.fixture
def ground(tmp_path):
    database = open_database(
        DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'pagemill.db'}", database_busy_timeout=0.05)
    )
    database.migrate()
    blobs = open_store(BlobSettings(store_url=f"file:{tmp_path / 'objects'}"))
    yield Ground(database, blobs, LimitSettings(), Vault("secret" * 8))
    database.dispose()


@pytest.fixture
def batch(tmp_path):
    """A batch of one document."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.pdf").write_bytes(b"%PDF-1.7\n")
    return batch_of(tmp_path)


def batch_of(tmp_path):
    plan, options, tally = make_plan([tmp_path / "in"]), JobOptions(), Tally()
    todo = Todo(plan, tmp_path / "out", Recipe("echo", options.stored()), False, LimitSettings().max_file_bytes, tally)
    return Batch(todo, tmp_path / "out", options, "echo", tally), tally


@contextmanager
def lost_commits(database):
    """The database commits, and its answer does not arrive."""

    def commit(connection):
        connection.connection.dbapi_connection.commit()
        raise lost("COMMIT")

    with listening(database.engine, "commit", commit):
        yield


@contextmanager
def failing(database, beginning):
    """Statements with this beginning do not arrive."""

    def execute(_connection, _cursor, statement, *_):
        if statement.startswith(beginning):
            raise lost(statement)

    with listening(database.engine, "before_cursor_execute", execute):
        yield


@contextmanager
def listening(engine, name, call):
    event.listen(engine, name, call)
    try:
        yield
    finally:
        event.remove(engine, name, call)


def lost(statement):
    return OperationalError(statement, {}, Exception("the connection is lost"))


def jobs_of(ground):
    with ground.database.read() as session:
        return reading.list_jobs(session, limit=10)


def never():
    return False


def test_a_file_stays_to_be_read_while_the_database_is_away(ground, batch):
    batch, tally = batch
    for _ in range(3):
        with ground.database.write() as session:
            session.connection()  # locked by somebody else
            with pytest.raises(DatabaseUnavailable):
                batch.step(ground, never)
        assert batch.progress().documents == 1
    assert not batch.step(ground, never)
    [job] = jobs_of(ground)
    assert [opened.name for opened in batch.progress().open] == ["x.pdf"]
    lifecycle.cancel(ground.database, job.id)
    assert batch.step(ground, never)
    assert tally.finished == 1


def test_a_submit_that_was_committed_unknown_is_not_made_twice(ground, batch):
    batch, tally = batch
    with lost_commits(ground.database), pytest.raises(DatabaseUnavailable):
        batch.step(ground, never)
    [job] = jobs_of(ground)
    assert not batch.step(ground, never)
    assert [found.id for found in jobs_of(ground)] == [job.id]
    lifecycle.cancel(ground.database, job.id)
    assert batch.step(ground, never)
    assert tally.finished == 1


@pytest.mark.parametrize("beginning", ["DELETE", "UPDATE"])
def test_a_job_that_cannot_be_deleted_is_counted_once_and_done(ground, batch, beginning):
    batch, tally = batch
    assert not batch.step(ground, never)
    [job] = jobs_of(ground)
    lifecycle.cancel(ground.database, job.id)
    with failing(ground.database, beginning):
        assert batch.step(ground, never)
    assert batch.step(ground, never)
    assert (tally.finished, tally.failed, len(tally.failures)) == (1, 1, 1)


def test_a_place_that_is_taken_is_told_before_anything_is_read(ground, batch, tmp_path):
    batch, tally = batch
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out/x.pdf.md"
    mine.write_text("mine")
    assert batch.step(ground, never)
    assert jobs_of(ground) == []
    [failure] = tally.failures
    assert (failure.where, failure.code) == (str(tmp_path / "in/x.pdf"), "output_forbidden")
    assert str(mine) in failure.detail
    assert mine.read_text() == "mine"
