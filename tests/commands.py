"""Command lines of ours in files that nobody executes here: read as the command itself reads them."""

from __future__ import annotations

from collections.abc import Sequence

import click
import typer

from api.cli.main import app


def parse(arguments: Sequence[str]) -> click.Context:
    """What comes after `pagemill`. Raises click.UsageError for anything that the command would not take."""
    command: click.Command = typer.main.get_command(app)
    context = command.make_context("pagemill", list(arguments))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    return context
