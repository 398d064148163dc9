"""Schema migrations (Alembic). `upgrade` brings a database to this version of the code, beside processes that run.

Those are of the version before, so a migration only adds (docs/upgrade.md; tests/integration/test_upgrades.py reads
every statement). On PostgreSQL even adding a column needs its table for itself for a moment, and whoever waits for that
has everybody else wait behind it. So each revision is a transaction of its own, asks for a lock for two seconds only,
and is tried again later where somebody held on to the table: work stands still for two seconds at a time at most.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from jobs.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

_MIGRATION_LOCK = 0x6D696772617465  # "migrate"
LOCK_TIMEOUT = 0.5
"""Seconds. Less than PostgreSQL's `deadlock_timeout` (1 s): a worker may hold rows of one table and want another one
that we hold, and it is us who give up then, before PostgreSQL looks for somebody to end."""
PAUSE = 1.0
"""Seconds between two tries."""
PATIENCE = 900.0
"""Seconds after which a revision is given up that never got its tables: a backup (pg_dump) holds all of them."""
_IN_THE_WAY = {"55P03", "40P01"}
"""PostgreSQL's `lock_not_available` and `deadlock_detected`."""


def config(connection: Connection) -> Config:
    """Alembic's configuration for one open connection; there is no alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["connection"] = connection
    return alembic


def upgrade(engine: Engine) -> None:
    """To the newest revision. Several processes at once wait for each other; a schema that a newer version made stays.

    Raises DatabaseUnavailable when somebody held on to a table all the time; what was done until then stays done.
    """
    while _step(engine):
        pass


def _step(engine: Engine) -> bool:
    """One revision more, unless there is none; tried until its tables are free."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _one_more(engine)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                raise
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"a table could not be changed for {PATIENCE:g} s because a transaction holds on to it; a backup?"
                    " pg_stat_activity shows it. Run pagemill db upgrade again",
                    limit=PATIENCE,
                ) from error
            log.warning("a table is in use, trying again in %g s", PAUSE, extra={"action": "migration_waits"})
            time.sleep(PAUSE)


def _one_more(engine: Engine) -> bool:
    with engine.execution_options(pagemill_writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # a large table takes as long as it takes
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            connection.execute(text(f"SET LOCAL lock_timeout = {int(LOCK_TIMEOUT * 1000)}"))
        alembic = config(connection)
        there = MigrationContext.configure(connection).get_current_revision()
        known = [script.revision for script in ScriptDirectory.from_config(alembic).walk_revisions()]
        if there is not None and there not in known:
            log.warning("the schema (%s) is a newer version's", there, extra={"action": "schema_newer"})
            return False
        if there == known[0]:
            return False
        command.upgrade(alembic, "+1")
        return True
