"""An outlook that cannot be had: who asks for a job waits once at most, and not behind everybody else."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import anyio
import pytest

from api.backlog import FRESH, STALE, Backlog
from jobs.models import DocumentCounts, JobPublic, PageCounts, State
from jobs.settings import DatabaseSettings
from jobs.store.database import Database, open_database
from jobs.store.following import Seen

NOW = datetime(2026, 11, 30, tzinfo=UTC)
TIMEOUT = 60.0
SOON = 30.0
"""Seconds within which another thread does what it is about to do."""
SEEN = Seen(
    JobPublic(
        id="job_" + "0" * 32,
        state=State.RUNNING,
        sealed=True,
        engine="echo",
        priority="batch",
        options={},
        metadata={},
        documents=DocumentCounts(total=1, unfinished=1, succeeded=0, partial=0, failed=0, canceled=0),
        pages=PageCounts(total=9, pending=9, running=0, succeeded=0, failed=0, canceled=0),
        error=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=None,
    ),
    "mark",
    "",
)


class Slow(Database):
    """A database that takes its time, by a clock that only it moves, and counts who asks."""

    def __init__(self, db: Database) -> None:
        super().__init__(db.engine)
        self.now, self.takes, self.asked = 1000.0, 0.0, 0
        self.asking, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    @contextmanager
    def read(self):
        self.asked += 1
        self.asking.set()
        assert self.go_on.wait(SOON)
        self.now += self.takes
        with super().read() as session:
            yield session

    def clock(self) -> float:
        return self.now


@pytest.fixture
def database(tmp_path):
    """Without its tables, so that it fails: SQLite says `no such table`."""
    db = open_database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'empty.db'}"))
    yield Slow(db)
    db.dispose()


async def places(backlog: Backlog, count: int) -> list[JobPublic]:
    """Of so many who ask at once."""
    found = []

    async def ask():
        found.append(await backlog.placed(SEEN))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(ask)
    return found


def test_those_who_wait_for_an_outlook_that_fails_ask_for_no_other(database):
    """Each got a timeout of its own, one behind the other."""
    database.takes = TIMEOUT
    backlog = Backlog(database, database.clock)
    assert anyio.run(places, backlog, 5) == [SEEN.job] * 5
    assert database.asked == 1


@pytest.mark.parametrize(("takes", "remembered"), [(0.0, FRESH), (TIMEOUT, STALE)])
def test_a_failure_is_remembered_as_long_as_an_answer_that_took_as_long(database, takes, remembered):
    database.takes = takes
    backlog = Backlog(database, database.clock)
    asked = []
    for passed in (0.0, 0.9 * remembered, 0.2 * remembered):
        database.now += passed
        assert anyio.run(backlog.placed, SEEN) == SEEN.job
        asked.append(database.asked)
    assert asked == [1, 1, 2]


def test_nobody_waits_beside_who_asks_again_after_a_failure(database):
    backlog = Backlog(database, database.clock)

    async def ask() -> None:
        await backlog.placed(SEEN)
        database.now += FRESH + STALE
        database.asking.clear()
        database.go_on.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(backlog.placed, SEEN)
            assert await anyio.to_thread.run_sync(database.asking.wait, SOON)
            try:
                with anyio.fail_after(SOON / 2):
                    assert await backlog.placed(SEEN) == SEEN.job
            finally:
                database.go_on.set()

    anyio.run(ask)
    assert database.asked == 2


def test_when_the_database_answers_again_there_are_places(database):
    backlog = Backlog(database, database.clock)
    assert anyio.run(backlog.placed, SEEN).queue is None
    database.migrate()
    database.now += FRESH
    assert anyio.run(backlog.placed, SEEN).queue is not None
