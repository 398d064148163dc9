"""The command `pagemill`: its subcommands, and the one edge where errors become a line and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from api.version import VERSION
from jobs.errors import PagemillError

_HERE, _THERE, _PARTS = "On this machine", "On a server (PAGEMILL_URL)", "Parts of a server"
COMMANDS = {
    "run": ("run:run", _HERE),
    "up": ("up:up", _HERE),
    "eval": ("evaluate:eval_", _HERE),
    "submit": ("remote:submit", _THERE),
    "status": ("remote:status", _THERE),
    "fetch": ("fetch:fetch", _THERE),
    "cancel": ("remote:cancel", _THERE),
    "prioritize": ("remote:prioritize", _THERE),
    "retry": ("remote:retry", _THERE),
    "jobs": ("remote:jobs", _THERE),
    "api": ("serve:api", _PARTS),
    "worker": ("serve:worker", _PARTS),
    "flower": ("flower:flower", _PARTS),
    "pause": ("turns:pause", _THERE),
    "resume": ("turns:resume", _THERE),
    "drain": ("turns:drain", _THERE),
    "doctor": ("doctor:doctor", _PARTS),
    "workers": ("workers:workers", _THERE),
    "reconcile": ("reconcile:reconcile", _PARTS),
    "db": ("serve:db", _PARTS),
    "keys": ("keys:app", _PARTS),
}
"""By name, in the order of the help: module and what of it, a function or a group of commands; under which heading."""


def build(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command with these subcommands. All of them import half a second of what most do not need."""
    app = typer.Typer(
        name="pagemill",
        help="Documents in, Markdown and JSON out: an OCR job queue for one folder or for millions of pages.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_top)
    for name in names:
        place, panel = COMMANDS[name]
        module, _, attribute = place.partition(":")
        found = getattr(import_module(f"api.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(found)
    return app


def asked(arguments: Sequence[str]) -> Iterable[str]:
    """The subcommand that is named; all where none is: for the help, a shell's completion, a name that is wrong."""
    return arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pagemill {VERSION}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Exit status 0; 1 for an error, one line on stderr; 2 for wrong usage; 130 after Ctrl-C."""
    try:
        build(asked(sys.argv[1:]))()
    except KeyboardInterrupt:  # while it was imported: typer answers the later ones
        sys.exit(130)
    except PagemillError as error:
        from api.cli.report import one_line

        typer.echo(f"pagemill: {one_line(error)}", err=True)
        sys.exit(1)
