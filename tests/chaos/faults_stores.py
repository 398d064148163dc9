"""Faults of the database, the broker, the object store, and of the network before them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from contextlib import closing

import psycopg

from tests.chaos.proxy import CLEAR, Kind, Proxy, Weather
from tests.chaos.registry import FAULTS, Fault, Scene, fault, on_postgres, on_sqlite
from tests.chaos.stage import MAX_CONNECTIONS

# --- the broker


@fault()
def valkey_killed(scene: Scene) -> None:
    valkey = scene.stage.valkey
    valkey.kill()
    scene.stage.wait(scene.seconds / 2)
    valkey.start()


@fault()
def valkey_frozen(scene: Scene) -> None:
    """Up to 8 seconds: longer than anybody waits for an answer."""
    valkey = scene.stage.valkey
    valkey.freeze()
    scene.stage.wait(scene.seconds * 2)
    valkey.thaw()


@fault()
def valkey_flushed(scene: Scene) -> None:
    scene.stage.valkey.flush()


@fault()
def valkey_rolled_back(scene: Scene) -> None:
    """Its append-only file of a while ago comes back: messages that were taken lie in the queues again."""
    valkey = scene.stage.valkey
    data, old = valkey.directory / "appendonlydir", scene.stage.root / "old-appendonlydir"
    shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(data, old)
    scene.stage.wait(scene.seconds)
    valkey.kill()
    shutil.rmtree(data)
    shutil.move(old, data)
    valkey.start()


# --- PostgreSQL


@fault(on_postgres)
def postgres_killed(scene: Scene) -> None:
    """kill -9 of all of it: every transaction breaks where it is, and the log is replayed."""
    assert scene.stage.postgres
    scene.stage.postgres.kill()
    scene.stage.wait(scene.seconds / 4)
    scene.stage.postgres.start()


@fault(on_postgres)
def postgres_restarted(scene: Scene) -> None:
    assert scene.stage.postgres
    scene.stage.postgres.restart()


@fault(on_postgres)
def postgres_frozen(scene: Scene) -> None:
    """Up to 8 seconds: twice as long as a heartbeat may be silent."""
    assert scene.stage.postgres
    scene.stage.postgres.freeze()
    time.sleep(scene.seconds * 2)  # a supervisor that asks the database would wait with it
    scene.stage.postgres.thaw()


@fault(on_postgres)
def postgres_read_only(scene: Scene) -> None:
    _set_read_only(scene, "on")
    scene.stage.wait(scene.seconds)
    _set_read_only(scene, "off")


def _set_read_only(scene: Scene, value: str) -> None:
    assert scene.stage.postgres
    with scene.stage.postgres.connect() as connection:
        connection.execute(f"ALTER DATABASE chaos SET default_transaction_read_only = {value}")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chaos'")


@fault(on_postgres)
def backends_terminated(scene: Scene) -> None:
    """Those that are in the middle of a transaction, for a while."""
    assert scene.stage.postgres
    ends = time.monotonic() + scene.seconds / 2
    query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = 'chaos' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"""
    with scene.stage.postgres.connect() as connection:
        while time.monotonic() < ends:
            connection.execute(query)
            scene.stage.wait(0.1)


@fault(on_postgres)
def connections_exhausted(scene: Scene) -> None:
    """Every connection that the server has is somebody else's."""
    assert scene.stage.postgres
    held: list[psycopg.Connection[tuple[object, ...]]] = []
    ends = time.monotonic() + scene.seconds
    try:
        with scene.stage.postgres.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chaos'")
            while time.monotonic() < ends:
                if len(held) < MAX_CONNECTIONS:
                    with contextlib.suppress(psycopg.OperationalError):
                        held.append(scene.stage.postgres.connect())
                        continue
                scene.stage.wait(0.1)
    finally:
        for found in held:
            found.close()


# --- SQLite


@fault(on_sqlite)
def sqlite_locked(scene: Scene) -> None:
    """Somebody writes for up to 5 seconds: longer than anybody waits for his turn here."""
    path = scene.stage.disk.path / "pagemill.db"
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        scene.stage.wait(scene.seconds * 1.25)
        connection.execute("ROLLBACK")


# --- both


@fault(lambda stage: stage.disk.small)
def database_disk_full(scene: Scene) -> None:
    stage = scene.stage
    stage.disk.fill()
    stage.wait(scene.seconds)
    stage.disk.clear()
    # It panics where its log cannot be written, and may be past restarting by itself: then it is its supervisor's.
    if stage.postgres and not stage.until(stage.postgres._ready, 5):
        stage.postgres.restart()


# --- the object store


@fault()
def s3_killed(scene: Scene) -> None:
    scene.stage.s3.kill()
    scene.stage.wait(scene.seconds / 2)
    scene.stage.s3.start()


@fault()
def s3_frozen(scene: Scene) -> None:
    scene.stage.s3.freeze()
    scene.stage.wait(scene.seconds)
    scene.stage.s3.thaw()


def _weather(kind: str, target: str, weather: Weather) -> None:
    """Enter a fault of the network: this weather before `target`, for as long as is drawn."""

    def act(scene: Scene) -> None:
        proxy: Proxy = getattr(scene.stage, f"to_{target}")
        proxy.set(weather)
        scene.stage.wait(scene.seconds)
        proxy.set(CLEAR)

    possible = on_postgres if target == "database" else (lambda _stage: True)
    FAULTS[kind] = Fault(kind, act, possible)


_weather("s3_503_storm", "s3", Weather(Kind.REFUSAL, status=503))
_weather("s3_full", "s3", Weather(Kind.REFUSAL, status=507))
_weather("s3_answers_lost", "s3", Weather(Kind.CUT_ANSWER))
_weather("s3_slow", "s3", Weather(Kind.LATENCY, 0.2))
_weather("database_answers_lost", "database", Weather(Kind.CUT_ANSWER))
for _target in ("database", "valkey", "s3"):
    _weather(f"{_target}_resets", _target, Weather(Kind.RESET))
    _weather(f"{_target}_silent", _target, Weather(Kind.SILENCE))
for _target in ("database", "valkey"):
    _weather(f"{_target}_latency", _target, Weather(Kind.LATENCY, 0.02))
