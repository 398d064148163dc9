"""The command `pagemill`: its subcommands, and the one edge where errors become a line and an exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from api.cli import doctor, evaluate, fetch, flower, keys, reconcile, remote, run, serve, turns, up, workers
from api.cli.report import one_line
from api.version import VERSION
from jobs.errors import PagemillError

app = typer.Typer(
    name="pagemill",
    help="Documents in, Markdown and JSON out: an OCR job queue for one folder or for millions of pages.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pagemill {VERSION}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


_HERE, _THERE, _PARTS = "On this machine", "On a server (PAGEMILL_URL)", "Parts of a server"
app.command("run", rich_help_panel=_HERE)(run.run)
app.command("up", rich_help_panel=_HERE)(up.up)
app.command("eval", rich_help_panel=_HERE)(evaluate.eval_)
app.command("submit", rich_help_panel=_THERE)(remote.submit)
app.command("status", rich_help_panel=_THERE)(remote.status)
app.command("fetch", rich_help_panel=_THERE)(fetch.fetch)
app.command("cancel", rich_help_panel=_THERE)(remote.cancel)
app.command("prioritize", rich_help_panel=_THERE)(remote.prioritize)
app.command("retry", rich_help_panel=_THERE)(remote.retry)
app.command("jobs", rich_help_panel=_THERE)(remote.jobs)
app.command("api", rich_help_panel=_PARTS)(serve.api)
app.command("worker", rich_help_panel=_PARTS)(serve.worker)
app.command("flower", rich_help_panel=_PARTS)(flower.flower)
app.command("pause", rich_help_panel=_THERE)(turns.pause)
app.command("resume", rich_help_panel=_THERE)(turns.resume)
app.command("drain", rich_help_panel=_THERE)(turns.drain)
app.command("doctor", rich_help_panel=_PARTS)(doctor.doctor)
app.command("workers", rich_help_panel=_THERE)(workers.workers)
app.command("reconcile", rich_help_panel=_PARTS)(reconcile.reconcile)
app.add_typer(serve.db, name="db", rich_help_panel=_PARTS)
app.add_typer(keys.app, name="keys", rich_help_panel=_PARTS)


def main() -> None:
    """Exit status 0; 1 for an error, one line on stderr; 2 for wrong usage; 130 after Ctrl-C."""
    try:
        app()
    except PagemillError as error:
        typer.echo(f"pagemill: {one_line(error)}", err=True)
        sys.exit(1)
