"""The database: whether it answers, holds what it acknowledged, has this version's tables, and how quick it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs import keys
from jobs.doctor.clocks import clock
from jobs.doctor.disk import disk_of, room, size
from jobs.doctor.findings import Finding, NotChecked, error, ok, skipped, warning
from jobs.doctor.scene import Scene, is_near
from jobs.errors import DatabaseUnavailable, InvalidRequest
from jobs.settings import ApiSettings, DatabaseSettings
from jobs.store import examining
from jobs.store.database import Database, open_database

OLDEST_POSTGRESQL = 120_000
"""`WITH … AS MATERIALIZED`."""
CORRECTED_POSTGRESQL = 150_000
"""14 got its last corrections in November 2026 (postgresql.org, Versioning Policy)."""
OLDEST_SQLITE = (3, 35)
"""RETURNING."""
OVERFLOW = 8
"""Connections that a process opens beyond its pool (jobs/store/database.py)."""
SLOW = 0.02
"""Seconds of a round trip. Claiming and recording a group of pages takes about ten of them: at 20 ms five groups a
second and thread."""
ROUNDS = 7


class NoAddress(NotChecked):
    """The URL names no database."""


def database(scene: Scene) -> Iterator[Finding]:
    settings = scene.of(DatabaseSettings)
    try:
        with opened(settings) as db:
            yield from _looked_at(db, settings)
    except NoAddress as failure:
        yield error("database-reachable", str(failure), where="PAGEMILL_DATABASE_URL", do="Correct the address.")
        raise


def _looked_at(db: Database, settings: DatabaseSettings) -> Iterator[Finding]:
    try:
        db.check()
    except DatabaseUnavailable as failure:
        yield error("database-reachable", failure.detail, where="PAGEMILL_DATABASE_URL")
        raise NotChecked("the database does not answer") from None
    yield ok("database-reachable", "it answers")
    yield _schema(db)
    yield from _clock(db)
    if db.engine.dialect.name == "sqlite":
        yield from _sqlite(db, settings)
    else:
        yield from _postgresql(db, settings)


@contextmanager
def opened(settings: DatabaseSettings) -> Iterator[Database]:
    """Raises NotChecked where opening it would make a file, or where the URL is none."""
    path = sqlite_path(settings)
    if path is not None and not path.exists():
        raise NotChecked(f"there is no file {path} yet (`pagemill db upgrade` or `pagemill up` makes it)")
    try:
        db = open_database(settings)
    except InvalidRequest as failure:
        raise NoAddress(failure.detail) from None
    try:
        yield db
    finally:
        db.dispose()


@contextmanager
def current(scene: Scene) -> Iterator[Database]:
    """Raises NotChecked where the database does not answer, or has not this version's tables."""
    with opened(scene.of(DatabaseSettings)) as db:
        try:
            with db.read() as session:
                schema = examining.schema(session)
            if schema.found != schema.wanted:
                raise NotChecked("the database has not this version's tables (database-schema)")
            yield db
        except DatabaseUnavailable:
            raise NotChecked("the database does not answer") from None


def sqlite_path(settings: DatabaseSettings) -> Path | None:
    """The file of a SQLite database; None of one in memory, and of PostgreSQL."""
    if not settings.database_url.startswith("sqlite:///"):
        return None
    name = settings.database_url.removeprefix("sqlite:///").partition("?")[0]
    return Path(name) if name and name != ":memory:" else None


def _schema(db: Database) -> Finding:
    with db.read() as session:
        found = examining.schema(session)
    facts = {"limit": found.wanted, "actual": found.found}
    if found.found is None:
        return error("database-schema", "it has no tables yet", limit=found.wanted)
    if not found.known:
        return error(
            "database-schema",
            f"it is at revision {found.found}, which this version does not know: a newer one migrated it",
            do="Install the newer version of pagemill on this host too.",
            **facts,
        )
    if found.found != found.wanted:
        return error("database-schema", f"it is at revision {found.found}; this version is at {found.wanted}", **facts)
    return ok("database-schema", f"it is at revision {found.found}, as this version is")


def _clock(db: Database) -> Iterator[Finding]:
    times, skews = [], []
    with db.read() as session:
        for _ in range(ROUNDS):
            begun, before = time.monotonic(), time.time()
            told = examining.seconds(session)
            took = time.monotonic() - begun
            times.append(took)
            skews.append(told - (before + took / 2))
    best = min(times)  # of several: what the way takes, not what else goes on
    text = f"a round trip takes {1000 * best:.1f} ms"
    slow = warning("database-latency", text, limit=SLOW, actual=round(best, 4))
    yield slow if best > SLOW else ok("database-latency", text)
    yield clock("database-clock", "the database's", statistics.median(skews))


# --- PostgreSQL


def _postgresql(db: Database, settings: DatabaseSettings) -> Iterator[Finding]:
    with db.read() as session:
        found = examining.server(session)
    yield _version(found)
    yield _writable(found)
    if found.off:
        yield error("database-durability", f"{', '.join(found.off)} off", limit="on", actual="off")
    else:
        yield ok("database-durability", "fsync, full_page_writes and synchronous_commit are on")
    yield _connections(found, settings)
    yield skipped(
        "database-space", f"PostgreSQL does not tell its disk; this database has {size(found.database_bytes)}"
    )


def _writable(found: examining.Server) -> Finding:
    if not found.takes_writes:
        return error("database-writable", "it takes no writes: a standby, or default_transaction_read_only is on")
    if not found.may_write:
        remedy = "GRANT the rights on all tables to this user, or connect as their owner."
        return error("database-writable", "this user may not write into its tables", do=remedy)
    return ok("database-writable", "it takes writes")


def _version(found: examining.Server) -> Finding:
    text, major = f"PostgreSQL {found.version_text}", found.version // 10_000
    if found.version < OLDEST_POSTGRESQL:
        return error("database-version", text, limit=OLDEST_POSTGRESQL // 10_000, actual=major)
    if found.version < CORRECTED_POSTGRESQL:
        return warning("database-version", text, limit=CORRECTED_POSTGRESQL // 10_000, actual=major)
    return ok("database-version", text)


def _connections(found: examining.Server, settings: DatabaseSettings) -> Finding:
    left, need = found.max_connections - found.connections, settings.database_pool + OVERFLOW
    text = f"{left} of {found.max_connections} connections are left; a process opens up to {need}"
    if left < need:
        return warning("database-connections", text, limit=need, actual=left)
    return ok("database-connections", text)


# --- SQLite


def _sqlite(db: Database, settings: DatabaseSettings) -> Iterator[Finding]:
    with db.read() as session:
        found = examining.file(session)
    version = tuple(int(part) for part in found.version.split(".")[:2])
    if version < OLDEST_SQLITE:
        yield error("database-version", f"SQLite {found.version}", limit="3.35", actual=found.version)
    else:
        yield ok("database-version", f"SQLite {found.version}")
    path = sqlite_path(settings)
    if path is None:
        yield error("database-durability", "it is in memory", do="Name a file: sqlite:///PATH.")
        return
    durable = found.journal == "wal" and found.synchronous >= 2
    text = f"journal_mode {found.journal}, synchronous {found.synchronous}"
    yield ok("database-durability", text) if durable else error("database-durability", text)
    yield ok("database-connections", "SQLite counts none")
    disk = disk_of(path.parent)
    if disk.read_only:
        yield error("database-writable", f"the file system of {path.parent} is read-only", where=str(path.parent))
    else:
        yield ok("database-writable", "its file system takes writes")
    yield room("database-space", path.parent, disk)


# --- keys


def api_keys(scene: Scene) -> Iterator[Finding]:
    """Where keys are asked for there must be one."""
    api = scene.of(ApiSettings)
    if api.auth == "open" or (api.auth == "auto" and is_near(api.api_host)):
        yield ok("api-keys", "no key is needed to begin with")
        return
    with current(scene) as db:
        made = keys.were_made(db)
    if made:
        yield ok("api-keys", "keys were made")
    else:
        yield error("api-keys", f"keys are asked for on {api.api_host}, and none was made", where="PAGEMILL_API_HOST")
