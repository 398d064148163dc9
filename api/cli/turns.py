"""The commands that say who works and whose jobs run: pause, resume, drain (at PAGEMILL_URL)."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.fetch import open_client
from api.cli.report import counted

_Owner = Annotated[
    str, typer.Argument(metavar="[OWNER]", help="An API key's id or an inbox; - for jobs that nobody owns.")
]


def pause(
    owner: _Owner = "-",
    listed: Annotated[bool, typer.Option("--list", help="Only say who is paused.")] = False,
) -> None:
    """Start nothing more of an owner's jobs, present and future ones, until they are resumed.

    What is in flight ends as usual, and jobs go on being accepted.

    Examples:

      pagemill pause

      pagemill pause --list
    """
    with open_client() as client:
        if not listed:
            client.pause(owner)
        for row in client.pauses():
            typer.echo(f"{row.owner} is paused since {row.since:%Y-%m-%d %H:%M:%S} UTC")


def resume(owner: _Owner = "-") -> None:
    """Let the jobs of a paused owner go on.

    Example:

      pagemill resume
    """
    with open_client() as client:
        client.resume(owner)


def drain(worker: Annotated[str, typer.Argument(metavar="WORKER", help="Id of the worker: wrk_…")]) -> None:
    """Let a worker claim nothing more, finish what it holds, and end. A supervisor may start it again.

    Example:

      pagemill drain wrk_0199…
    """
    with open_client() as client:
        row = client.drain(worker)
        typer.echo(f"{row.id} on {row.host} ends after {counted(row.pages_running, 'page')}")
