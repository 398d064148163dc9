"""Connections: one Database per process, sessions that either read or write.

SQLite has one writer at a time, and a transaction that begins as a reader and then writes fails at once when another
writer was faster (81 % failed with four processes). So every write transaction begins IMMEDIATE and waits its turn.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from jobs.errors import DatabaseUnavailable, InvalidRequest
from jobs.settings import DatabaseSettings

__all__ = ["Database", "Session", "open_database"]

_WRITES = "pagemill_writes"
_WAL_PAUSE = 0.02
"""Seconds between two tries to turn a new file to write-ahead logging."""
_READ_ONLY = "25006"
"""PostgreSQL's `read_only_sql_transaction`: a standby that is not promoted yet."""


class Database:
    """The truth. Thread-safe; sessions are not."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        # PostgreSQL shows each statement what is committed when it begins, transaction or not (READ COMMITTED), and
        # BEGIN and ROLLBACK are round trips, two each with the ping: 1.5 ms of CPU a session became 0.7. On SQLite
        # BEGIN is what makes several statements see one state.
        sqlite = engine.dialect.name == "sqlite"
        self._reader = engine if sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads. Raises DatabaseUnavailable."""
        with _mapped_errors(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One write transaction: committed on leaving the block, rolled back on an error. Raises DatabaseUnavailable.

        An error from the commit itself leaves open whether it happened; guards make running it again harmless.
        """
        with _mapped_errors(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def check(self) -> None:
        """Raise DatabaseUnavailable when the database does not answer."""
        with self.read() as session:
            session.connection().execute(text("SELECT 1"))

    def has_schema(self) -> bool:
        """Whether it was ever migrated."""
        with self.read() as session:
            return inspect(session.connection()).has_table("alembic_version")

    def require_schema(self) -> None:
        """Raises InvalidRequest where it never was, DatabaseUnavailable. For what would break off at the first table:
        PostgreSQL's `UndefinedTable` is a fault, SQLite's `no such table` reads as a database that is away."""
        if not self.has_schema():
            raise InvalidRequest("the database has no schema yet: pagemill db upgrade", where="PAGEMILL_DATABASE_URL")

    def migrate(self) -> None:
        """Bring the schema to this version. Safe to run twice and by several processes at once."""
        from jobs.migrations import upgrade

        with _mapped_errors():
            upgrade(self.engine)

    def dispose(self) -> None:
        self.engine.dispose()


def open_database(settings: DatabaseSettings) -> Database:
    """A Database by URL: `sqlite:///path` or `postgresql+psycopg://…`. Opens no connection yet."""
    try:
        url = make_url(settings.database_url)
        if "@" in (url.host or ""):
            raise ValueError("what stands before it is the end of a password")
    except (ArgumentError, ValueError):  # which may tell a piece of the password
        raise InvalidRequest(
            "not a database URL; write sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME, special characters"
            " of a password percent-encoded",
            where="PAGEMILL_DATABASE_URL",
        ) from None
    if url.get_backend_name() == "sqlite":
        return Database(_sqlite(url, settings))
    if url.get_backend_name() == "postgresql":
        return Database(_postgresql(url.set(drivername="postgresql+psycopg"), settings))
    raise InvalidRequest("only sqlite and postgresql are supported", where="PAGEMILL_DATABASE_URL")


def _sqlite(url: URL, settings: DatabaseSettings) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(
        url,
        hide_parameters=True,  # an error that is logged must not tell what users sent
        pool_size=settings.database_pool,
        max_overflow=8,
        connect_args={
            "timeout": settings.database_busy_timeout,
            "isolation_level": None,  # we say BEGIN ourselves
            "check_same_thread": False,
        },
    )
    event.listen(engine, "connect", partial(_on_sqlite_connect, patience=settings.database_busy_timeout))
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _record: Any, *, patience: float) -> None:
    cursor = connection.cursor()
    _turn_to_wal(cursor, patience)
    # FULL: what was acknowledged survives a power cut too, as on PostgreSQL. NORMAL would only survive our own deaths.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _turn_to_wal(cursor: Any, patience: float) -> None:
    """Write-ahead logging, which the file remembers; `patience` in seconds.

    Where another process is about to write the new file, or turns it too, waiting could be a deadlock, and SQLite then
    refuses at once instead of asking its busy handler (see sqlite3_busy_handler): six processes on one new file lost
    one start in twelve.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_WAL_PAUSE)
        else:
            return


def _on_sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL, settings: DatabaseSettings) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=settings.database_pool,
        max_overflow=8,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,  # ms; keepalives say nothing about data that nobody acknowledges
            # A statement that hangs longer than this is a fault, not work.
            "options": "-c statement_timeout=60000 -c idle_in_transaction_session_timeout=180000",
            "application_name": "pagemill",
        },
    )


@contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise DatabaseUnavailable(f"the database does not answer: {_first_line(error)}", retry_after=5) from error
    except DBAPIError as error:
        if error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            raise DatabaseUnavailable(f"the database went away: {_first_line(error)}", retry_after=5) from error
        raise


def _first_line(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    return str(origin).strip().partition("\n")[0]
