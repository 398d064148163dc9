"""`pagemill keys`: who may use the servers of a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer

from api.cli.embedded import sqlite_url
from jobs import keys
from jobs.blobs.buckets import parse_prefix
from jobs.errors import InvalidRequest
from jobs.models import KeyGrants, KeyLimits, KeyPublic, Scope
from jobs.settings import DatabaseSettings, load
from jobs.store.database import Database, open_database

app = typer.Typer(
    no_args_is_help=True,
    help="API keys, in the database of PAGEMILL_DATABASE_URL, or of the `pagemill up` whose folder --data names.",
)

_HEADS = ("key", "name", "begins", "scopes", "made", "revoked", "limits")

Requests = Annotated[int | None, typer.Option("--requests-per-second", help="Requests a second.", min=1)]
FileBytes = Annotated[int | None, typer.Option("--file-bytes", help="Largest file.", min=1)]
Backlog = Annotated[int | None, typer.Option("--backlog-pages", help="Pages of jobs that have not ended.", min=1)]
PerDay = Annotated[int | None, typer.Option("--pages-per-day", help="Pages a day (UTC).", min=1)]
InFlight = Annotated[int | None, typer.Option("--pages-in-flight", help="Pages read at once.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


SourcePlaces = Annotated[
    list[str] | None, typer.Option("--source", metavar="S3", help="s3://bucket/prefix/ it may read; several times.")
]
OutputPlaces = Annotated[
    list[str] | None, typer.Option("--output", metavar="S3", help="s3://bucket/prefix/ it may write; several times.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of a pagemill up, instead of PAGEMILL_DATABASE_URL."),
]


@contextmanager
def _database(data: Path | None) -> Iterator[Database]:
    """Raises InvalidRequest where there is no database: a key made in a new one would open no server."""
    settings = load(DatabaseSettings)
    if data is not None:
        settings = settings.model_copy(update={"database_url": sqlite_url(data / "pagemill.db")})
    file = settings.database_url.removeprefix("sqlite:///")
    if file != settings.database_url and not Path(file).is_file():
        raise InvalidRequest(
            f"there is no database {file}; say --data DIR of a pagemill up that has run, or PAGEMILL_DATABASE_URL"
            " (and pagemill db upgrade makes one)",
            where="PAGEMILL_DATABASE_URL",
        )
    database = open_database(settings)
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
    requests_per_second: Requests = None,
    file_bytes: FileBytes = None,
    backlog_pages: Backlog = None,
    pages_per_day: PerDay = None,
    pages_in_flight: InFlight = None,
    source: SourcePlaces = None,
    output: OutputPlaces = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: it is kept nowhere. Limits that are not given are the server's.

    Examples:

      pagemill keys create "back office"

      pagemill keys create operator --scope admin

      pagemill keys create intern --pages-per-day 5000 --pages-in-flight 16
    """
    limits = KeyLimits(
        requests_per_second=requests_per_second, file_bytes=file_bytes, backlog_pages=backlog_pages,
        pages_per_day=pages_per_day, pages_in_flight=pages_in_flight,
    )  # fmt: skip
    grants = _grants(source, output)
    with _database(data) as database:
        key, secret = keys.create(database, name, scope or [Scope.SUBMIT, Scope.READ], limits, grants)
    if as_json:
        typer.echo(orjson.dumps(key.model_dump(mode="json") | {"key": secret}))
        return
    typer.echo(secret)
    typer.echo(f"{key.id}, {_scopes(key)}; it is not shown again", err=True)


@app.command("list")
def list_(data: Data = None, as_json: Json = False) -> None:
    """All keys ever made, with how each begins. What they say is not kept."""
    with _database(data) as database:
        found = keys.listed(database)
    if as_json:
        typer.echo(orjson.dumps([key.model_dump(mode="json") for key in found]))
        return
    for row in (_HEADS, *map(_row, found)):
        typer.echo("\t".join(row))


@app.command("limit")
def limit(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id: key_…")],
    requests_per_second: Requests = None,
    file_bytes: FileBytes = None,
    backlog_pages: Backlog = None,
    pages_per_day: PerDay = None,
    pages_in_flight: InFlight = None,
    data: Data = None,
) -> None:
    """Replace a key's limits: those that are not given are the server's again. It counts within seconds."""
    limits = KeyLimits(
        requests_per_second=requests_per_second, file_bytes=file_bytes, backlog_pages=backlog_pages,
        pages_per_day=pages_per_day, pages_in_flight=pages_in_flight,
    )  # fmt: skip
    with _database(data) as database:
        typer.echo("\t".join(_row(keys.limit(database, key, limits))))


@app.command("grant")
def grant(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id: key_…")],
    source: SourcePlaces = None,
    output: OutputPlaces = None,
    data: Data = None,
) -> None:
    """Replace the buckets that a key may reach: those that are not given are the server's again. It counts within
    seconds."""
    grants = _grants(source, output)
    with _database(data) as database:
        typer.echo("\t".join(_row(keys.grant(database, key, grants))))


def _grants(source: list[str] | None, output: list[str] | None) -> KeyGrants:
    """Raises InvalidRequest for what names no bucket."""
    return KeyGrants(
        sources=tuple(str(parse_prefix(text, "--source")) for text in source) if source else None,
        outputs=tuple(str(parse_prefix(text, "--output")) for text in output) if output else None,
    )


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id: key_…")],
    data: Data = None,
) -> None:
    """Let a key open nothing any more. Its jobs go on; servers hear of it within three seconds."""
    with _database(data) as database:
        typer.echo(f"{keys.revoke(database, key).id} is revoked")


def _row(key: KeyPublic) -> tuple[str, ...]:
    made, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (key.created_at, key.revoked_at))
    own = [*key.limits, *key.grants]
    limits = " ".join(
        f"{name}={','.join(value) if isinstance(value, tuple) else value}" for name, value in own if value is not None
    )
    return key.id, key.name, key.hint + "…", _scopes(key), made, revoked, limits


def _scopes(key: KeyPublic) -> str:
    return "+".join(key.scopes)
