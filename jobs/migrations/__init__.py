"""Schema migrations (Alembic). `upgrade` brings a database to this version of the code."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine

_MIGRATION_LOCK = 0x6D696772617465  # "migrate"


def config(connection: Connection) -> Config:
    """Alembic's configuration for one open connection; there is no alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["connection"] = connection
    return alembic


def upgrade(engine: Engine) -> None:
    """To the newest revision, in one transaction. Several processes at once wait for each other."""
    with engine.execution_options(pagemill_writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # a large table takes as long as it takes
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        command.upgrade(config(connection), "head")
