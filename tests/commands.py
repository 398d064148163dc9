"""Command lines of ours in files that nobody executes here: read as the command itself reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from api.cli.main import build


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    """The options of the command that comes after `pagemill`. Raises typer's usage errors."""
    command: Any = typer.main.get_command(build())
    context = command.make_context("pagemill", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)
