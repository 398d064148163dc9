"""`pagemill api`, `pagemill worker`, `pagemill db`: one part of the service each, set by PAGEMILL_… variables."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from api.cli.embedded import python_environment
from api.cli.options import Engine
from jobs.settings import DatabaseSettings, LogSettings, environment, load

db = typer.Typer(no_args_is_help=True, help="The database.")


def api(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on (PAGEMILL_API_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on (PAGEMILL_API_PORT).")
    ] = None,
) -> None:
    """Serve the HTTP API.

    Example:

      PAGEMILL_DATABASE_URL=postgresql://… PAGEMILL_STORE_URL=s3://… pagemill api --host 0.0.0.0 --port 8470
    """
    from api.main import serve

    # uvicorn ends in good order and then raises the signal again, for whoever had it before: for nobody that is death.
    signal.signal(signal.SIGTERM, _leave)
    # Where programs read what it says, a line for people would be none of theirs; the log tells the address too.
    people = load(LogSettings).log_format == "text"
    serve(host, port, on_ready=(lambda address: typer.echo(f"listening on {address}")) if people else None)


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def worker(
    engine: Engine = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, or the index of a GPU (PAGEMILL_DEVICE).")
    ] = None,
    slot: Annotated[
        str | None, typer.Option("--slot", help="Name of its place on this host, kept over restarts (PAGEMILL_SLOT).")
    ] = None,
    queues: Annotated[
        str | None, typer.Option("--queues", help="What it serves: recognize,split,assemble,deliver (PAGEMILL_QUEUES).")
    ] = None,
) -> None:
    """Run one worker with its engine. SIGTERM lets it finish the pages it holds.

    Example:

      PAGEMILL_DATABASE_URL=postgresql://… PAGEMILL_BROKER_URL=redis://… pagemill worker --engine rapidocr
    """
    given = {
        "PAGEMILL_ENGINE": engine,
        "PAGEMILL_DEVICE": device,
        "PAGEMILL_SLOT": slot,
        "PAGEMILL_QUEUES": queues,
    }
    env = python_environment(environment()) | {name: value for name, value in given.items() if value is not None}
    # The worker takes this process's place: signals and the exit status are its own.
    os.execve(sys.executable, [sys.executable, "-m", "workers"], env)  # noqa: S606


@db.command("upgrade")
def upgrade() -> None:
    """Bring the database's schema to this version. Safe to run at any time, several times at once.

    Example:

      PAGEMILL_DATABASE_URL=postgresql://… pagemill db upgrade
    """
    from jobs.store.database import open_database

    database = open_database(load(DatabaseSettings))
    database.migrate()
    database.dispose()
    typer.echo("the database is up to date")
