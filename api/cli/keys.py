"""`pagemill keys`: who may use the servers of a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import orjson
import typer

from jobs import keys
from jobs.models import KeyPublic, Scope
from jobs.settings import DatabaseSettings, load
from jobs.store.database import Database, open_database

app = typer.Typer(no_args_is_help=True, help="API keys, in the database of PAGEMILL_DATABASE_URL.")

_HEADS = ("key", "name", "begins", "scopes", "made", "revoked")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def _database() -> Iterator[Database]:
    database = open_database(load(DatabaseSettings))
    try:
        database.migrate()
        yield database
    finally:
        database.dispose()


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, for people.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="May be given several times; submit and read if absent."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: it is kept nowhere.

    Examples:

      pagemill keys create "back office"

      pagemill keys create operator --scope admin
    """
    with _database() as database:
        key, secret = keys.create(database, name, scope or [Scope.SUBMIT, Scope.READ])
    if as_json:
        typer.echo(orjson.dumps(key.model_dump(mode="json") | {"key": secret}))
        return
    typer.echo(secret)
    typer.echo(f"{key.id}, {_scopes(key)}; it is not shown again", err=True)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All keys ever made, with how each begins. What they say is not kept."""
    with _database() as database:
        found = keys.listed(database)
    if as_json:
        typer.echo(orjson.dumps([key.model_dump(mode="json") for key in found]))
        return
    for row in (_HEADS, *map(_row, found)):
        typer.echo("\t".join(row))


@app.command("revoke")
def revoke(key: Annotated[str, typer.Argument(metavar="KEY", help="Its id: key_…")]) -> None:
    """Let a key open nothing any more. Its jobs go on; servers hear of it within three seconds."""
    with _database() as database:
        typer.echo(f"{keys.revoke(database, key).id} is revoked")


def _row(key: KeyPublic) -> tuple[str, ...]:
    made, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (key.created_at, key.revoked_at))
    return key.id, key.name, key.hint + "…", _scopes(key), made, revoked


def _scopes(key: KeyPublic) -> str:
    return "+".join(key.scopes)
