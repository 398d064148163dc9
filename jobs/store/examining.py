"""What `pagemill doctor` asks of the database: what kind it is, what it promises, and who works on it."""

from __future__ import annotations

from dataclasses import dataclass

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import Session

from jobs.store.sql import Sql, is_sqlite


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server, as its settings say."""

    version: int
    """`server_version_num`: 180001 is 18.1."""
    version_text: str
    off: tuple[str, ...]
    """Which of fsync, full_page_writes and synchronous_commit are off."""
    takes_writes: bool
    may_write: bool
    """Whether this user may, where there are tables."""
    max_connections: int
    """Those that are not reserved for superusers."""
    connections: int
    database_bytes: int


_SERVER = Sql(
    """SELECT current_setting('server_version_num'), current_setting('server_version'),
              current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
              pg_is_in_recovery(), current_setting('default_transaction_read_only'),
              current_setting('max_connections'), current_setting('superuser_reserved_connections'),
              (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
              pg_database_size(current_database()),
              coalesce(has_table_privilege(CAST(to_regclass('job') AS oid), 'INSERT, UPDATE, DELETE'), true)"""
)
_PROMISES = ("fsync", "full_page_writes", "synchronous_commit")


def server(session: Session) -> Server:
    """On PostgreSQL."""
    row = _SERVER.run(session).one()
    return Server(
        version=int(row[0]),
        version_text=str(row[1]).partition(" ")[0],
        off=tuple(name for name, value in zip(_PROMISES, row[2:5], strict=True) if value == "off"),
        takes_writes=not row[5] and row[6] != "on",
        may_write=bool(row[11]),
        max_connections=int(row[7]) - int(row[8]),
        connections=int(row[9]),
        database_bytes=int(row[10]),
    )


@dataclass(frozen=True, slots=True)
class File:
    """A SQLite database, as its connection says."""

    version: str
    journal: str
    synchronous: int
    """2: FULL."""


def file(session: Session) -> File:
    """On SQLite."""
    version = Sql("SELECT sqlite_version()").run(session).scalar_one()
    journal = Sql("PRAGMA journal_mode").run(session).scalar_one()
    synchronous = Sql("PRAGMA synchronous").run(session).scalar_one()
    return File(str(version), str(journal), int(synchronous))


_NOW_POSTGRESQL = Sql("SELECT extract(epoch FROM clock_timestamp())")
_NOW_SQLITE = Sql("SELECT (julianday('now') - 2440587.5) * 86400.0")


def seconds(session: Session) -> float:
    """The database's clock, in seconds since 1970."""
    statement = _NOW_SQLITE if is_sqlite(session) else _NOW_POSTGRESQL
    return float(statement.run(session).scalar_one())


@dataclass(frozen=True, slots=True)
class Schema:
    """Which tables there are, and which there should be; a migration's name each."""

    found: str | None
    """None: it was never migrated."""
    wanted: str
    known: bool
    """Whether this version of pagemill knows what was found."""


def schema(session: Session) -> Schema:
    from jobs.migrations import config

    connection = session.connection()
    found = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(config(connection))
    wanted = scripts.get_current_head() or ""
    return Schema(found, wanted, found in {script.revision for script in scripts.walk_revisions()})


# --- who works

_ENGINES = Sql(
    """SELECT j.engine, count(*),
              coalesce(sum(j.pages_total - j.pages_succeeded - j.pages_failed - j.pages_canceled), 0)
       FROM job j WHERE j.state IN ('queued', 'running') AND j.deleted_at IS NULL GROUP BY j.engine ORDER BY j.engine"""
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs of one engine that have not ended, and pages of theirs as far as they are counted."""

    engine: str
    jobs: int
    pages: int


def waiting(session: Session) -> list[Waiting]:
    return [Waiting(str(row[0]), int(row[1]), int(row[2])) for row in _ENGINES.run(session)]
