"""Workers die or freeze in the middle of jobs: nothing is lost, nothing is doubled."""

import sqlite3
from contextlib import closing

import psycopg
import pytest

from jobs.options import EchoOptions
from tests.documents import pdf
from tests.processes import alive, wait_until


def test_kill_9_of_a_worker(chaos):
    first, second = chaos.worker(), chaos.worker()
    chaos.load()
    for worker, share in ((first, 0.2), (second, 0.3)):
        chaos.progress(share)
        chaos.notice()
        left = worker.crash()
        wait_until(lambda left=left: not any(map(alive, left)), "its render processes to be gone")
        worker.start()
    chaos.settle()


def test_kill_9_of_the_whole_tree(chaos):
    first, second = chaos.worker(), chaos.worker()
    chaos.load()
    for share in (0.1, 0.4):
        chaos.progress(share)
        chaos.notice()
        first.kill()
        second.kill()
        chaos.revive()
    chaos.settle()


def test_kill_9_of_everything_that_is_there(chaos, broker):
    """Workers, render processes and Valkey at once, as when the machine goes."""
    worker = chaos.worker()
    chaos.load()
    chaos.progress(0.3)
    chaos.notice()
    worker.kill()
    broker.kill()
    broker.start()
    worker.start()
    chaos.settle()


def test_a_frozen_worker_begins_anew(chaos):
    """Declared dead while it stood still; what it brings afterwards comes too late, and it works on."""
    stale = {"PAGEMILL_HEARTBEAT_STALE": "30"}
    first, second = chaos.worker(**stale), chaos.worker(**stale)
    chaos.submit(*[pdf(10)] * 8, echo=EchoOptions(seconds={"*": 0.5}))
    chaos.mill.until(lambda: held_by(chaos, first) >= 4, "the first worker to be busy")
    old = first.incarnation().id
    freeze_between_transactions(chaos, first)
    chaos.mill.until(lambda: state_of(chaos, old) == "dead", "the frozen worker to be declared dead")
    chaos.mill.until(chaos.ended, "the other worker to do the rest")
    first.thaw()
    chaos.mill.until(lambda: first.incarnation().state == "alive", "the frozen worker to begin anew")
    assert first.incarnation().id != old
    chaos.settle()

    # It works on: alone, under its new name.
    assert second.terminate() == 0
    job = chaos.submit(pdf(30))
    chaos.settle()
    assert {page.worker for page in chaos.mill.pages(job)} == {first.incarnation().id}


def held_by(chaos, worker):
    return worker.incarnation().pages_running


def state_of(chaos, worker_id):
    [state] = [row.state for row in chaos.mill.workers() if row.id == worker_id]
    return state


def freeze_between_transactions(chaos, worker):
    """A worker that is frozen inside a transaction keeps its locks, and its database waits with it: not this test."""
    for _ in range(100):
        worker.freeze()
        if not holds_locks(chaos.mill.database_url):
            return
        worker.thaw()
    pytest.fail("it is always inside a transaction")


def holds_locks(url):
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.5, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        # Transactions that are still open after a while are those of the frozen worker: also one that waits for a lock
        # yet ("active"), for it holds others, and nobody reads the answer when it gets it.
        query = """SELECT pid, xact_start FROM pg_stat_activity
            WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
        before = set(connection.execute(query).fetchall())
        connection.execute("SELECT pg_sleep(0.3)")
        return bool(before & set(connection.execute(query).fetchall()))
