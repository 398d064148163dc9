"""Waiting for jobs inside one process: who is woken when, by what the database says, on both databases."""

from __future__ import annotations

from types import SimpleNamespace

import anyio
import pytest

from api import waiting
from api.waiting import Waits, polling, unless_gone
from jobs import deletion, lifecycle
from jobs.errors import DatabaseUnavailable, Gone, NotFound
from jobs.models import State
from jobs.settings import DatabaseSettings
from jobs.store import following
from jobs.store.database import open_database
from tests.protocol import rows, submit
from tests.services import Postgres

LONG = 120.0
"""Seconds that no test waits: its own time limit would end it."""


@pytest.fixture
def job(db):
    return submit(db)[0]


def look(db, job):
    with db.read() as session:
        return following.look(session, job)


def waits_of(db, scenario):
    """Run a scenario with a poller."""

    async def run():
        waits = Waits(db)
        async with polling(waits):
            await scenario(waits)
        assert len(waits) == 0, "somebody still waits"

    anyio.run(run)


async def in_thread(call, *values):
    return await anyio.to_thread.run_sync(call, *values)


async def all_wait(waits, count):
    while len(waits) < count:
        await anyio.sleep(0.01)


def test_what_happened_between_the_look_and_the_wait_is_not_missed(db, job):
    async def scenario(waits):
        seen = look(db, job)
        lifecycle.prioritize(db, job, "interactive")
        assert (await waits.change(seen, LONG)).job.priority == "interactive"

    waits_of(db, scenario)


def test_many_wait_for_one_job_and_each_is_woken_by_what_it_waits_for(db, job):
    async def scenario(waits):
        seen, told = look(db, job), []

        async def changed():
            told.append((await waits.change(seen, LONG)).job.priority)

        async def ended():
            told.append((await waits.end(seen, LONG)).job.state)

        async with anyio.create_task_group() as group:
            for call in (changed, changed, ended, ended):
                group.start_soon(call)
            await all_wait(waits, 4)
            await in_thread(lifecycle.prioritize, db, job, "interactive")
            while len(told) < 2:
                await anyio.sleep(0.01)
            assert told == ["interactive", "interactive"]
            await anyio.sleep(3 * waiting.TICK)
            assert len(waits) == 2, "the end is still waited for"
            await in_thread(lifecycle.cancel, db, job)
        assert told[2:] == [State.CANCELED, State.CANCELED]

    waits_of(db, scenario)


def test_when_time_is_over_the_job_is_told_as_it_is(db, job):
    async def scenario(waits):
        seen = look(db, job)
        assert await waits.change(seen, 0.3) is seen
        assert await waits.end(seen, 0) is seen
        lifecycle.prioritize(db, job, "interactive")
        assert (await waits.end(seen, 0.3)).job.priority == "interactive", "it has not ended, and is not as it was"
        assert (await waits.until_ended(seen.job, 0.3)).priority == "interactive"

    waits_of(db, scenario)


def test_a_job_that_has_ended_is_not_waited_for(db, job):
    async def scenario(waits):
        lifecycle.cancel(db, job)
        seen = look(db, job)
        assert await waits.end(seen, LONG) is seen
        assert (await waits.until_ended(seen.job, LONG)).state is State.CANCELED

    waits_of(db, scenario)


def test_what_is_deleted_or_purged_meanwhile_is_gone(db, blobs, job):
    async def scenario(waits):
        seen, other = look(db, job), look(db, submit(db)[0])
        failures = []

        async def wait(kind, one, error):
            with pytest.raises(error):
                await kind(one, LONG)
            failures.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(wait, waits.change, seen, (Gone, NotFound))
            group.start_soon(wait, waits.end, seen, (Gone, NotFound))
            await all_wait(waits, 2)
            await in_thread(deletion.delete, db, blobs, job)
        assert len(failures) == 2
        deletion.delete(db, blobs, other.job.id)
        assert rows(db, "SELECT count(*) FROM job WHERE purged_at IS NULL")[0][0] == 0
        assert await waits.until_ended(other.job, LONG) == other.job, "an answer without is good enough"

    waits_of(db, scenario)


def test_nobody_waits_for_a_server_that_ends(db, job):
    async def scenario(waits):
        seen = look(db, job)
        answers = []

        async def wait():
            answers.append(await waits.change(seen, LONG))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await all_wait(waits, 1)
            waits.close()
        assert answers == [seen]
        assert await waits.end(seen, LONG) is seen

    waits_of(db, scenario)


def test_a_client_that_hangs_up_leaves_nothing_behind(db, job):
    async def scenario(waits):
        seen, calls = look(db, job), iter([{"type": "http.request"}, {"type": "http.disconnect"}])

        async def receive():
            await all_wait(waits, 1)
            return next(calls)

        request = SimpleNamespace(receive=receive)
        assert await unless_gone(request, lambda: waits.end(seen, LONG), seen) is seen
        assert len(waits) == 0

        async def hear_nothing():
            await anyio.sleep_forever()

        lifecycle.cancel(db, job)
        staying = SimpleNamespace(receive=hear_nothing)
        assert (await unless_gone(staying, lambda: waits.change(seen, LONG), seen)).job.state is State.CANCELED
        with pytest.raises(Gone):
            await unless_gone(staying, lambda: _raise(Gone("it went")), seen)

    waits_of(db, scenario)


async def _raise(error):
    raise error


def test_nothing_is_asked_while_nobody_waits(db, job, monkeypatch):
    asked = []
    monkeypatch.setattr(following, "moved", lambda *_: asked.append(1) or {})

    async def scenario(waits):
        await anyio.sleep(3 * waiting.TICK)
        assert asked == []
        assert await waits.change(look(db, job), 0.3)
        count = len(asked)
        assert count > 0
        await anyio.sleep(3 * waiting.TICK)
        assert len(asked) <= count + 1

    waits_of(db, scenario)


def test_the_poller_outlives_what_it_did_not_expect(db, job, monkeypatch, caplog):
    real = following.moved

    def broken(*values):
        monkeypatch.setattr(following, "moved", real)
        raise RuntimeError("a bug")

    monkeypatch.setattr(following, "moved", broken)

    async def scenario(waits):
        seen = look(db, job)
        lifecycle.cancel(db, job)
        assert (await waits.end(seen, LONG)).job.state is State.CANCELED

    waits_of(db, scenario)
    assert "a bug" in caplog.text


def test_a_database_that_is_away_is_waited_for_and_told_of_at_the_end(caplog):
    with Postgres() as postgres:
        database = open_database(DatabaseSettings(database_url=postgres.create_database("away")))
        database.migrate()
        job, _ = submit(database)

        async def scenario(waits):
            seen = look(database, job)
            await in_thread(postgres.kill)
            with pytest.raises(DatabaseUnavailable):
                await waits.change(seen, 1.0)
            ended = []

            async def wait():
                ended.append((await waits.end(seen, LONG)).job.state)

            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await all_wait(waits, 1)
                await anyio.sleep(2 * waiting.TICK)
                postgres.restart()  # in this thread: the kernel kills a service with the thread that started it
                lifecycle.cancel(database, job)
            assert ended == [State.CANCELED]

        waits_of(database, scenario)
        database.dispose()
    assert caplog.text.count("wait on") == 1, "told once, however often it is tried"


def test_a_database_that_hangs_holds_nobody_for_ever(monkeypatch):
    monkeypatch.setattr(waiting, "SLACK", 0.5)
    with Postgres() as postgres:
        database = open_database(DatabaseSettings(database_url=postgres.create_database("hung")))
        database.migrate()
        job, _ = submit(database)

        async def scenario(waits):
            seen = look(database, job)
            postgres.freeze()
            with pytest.raises(DatabaseUnavailable):
                await waits.change(seen, 0.5)
            postgres.thaw()
            lifecycle.cancel(database, job)
            assert (await waits.end(seen, LONG)).job.state is State.CANCELED

        waits_of(database, scenario)
        database.dispose()
