"""How failures and errors are said to people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.plan import Failure
from jobs.errors import PagemillError


def print_failures(console: Console, failures: Sequence[Failure]) -> None:
    """A table on a terminal; elsewhere a line each, so that nothing is cut off."""
    if not console.is_terminal:
        for failure in failures:
            console.print(Text(failure_line(failure)), soft_wrap=True)
        return
    table = Table("where", "pages", "code", "why", "limit", box=None, pad_edge=False, header_style="bold")
    for failure in failures:
        table.add_row(
            Text(shown(failure.where), overflow="fold"),
            failure.pages or "",
            Text(failure.code, style="red"),
            Text(failure.detail),
            failure.limit or "",
        )
    console.print(table)


def failure_line(failure: Failure) -> str:
    pages = f" pages {failure.pages}" if failure.pages else ""
    limit = f" (limit {failure.limit})" if failure.limit else ""
    return f"failed: {shown(failure.where)}{pages}: {failure.code}: {failure.detail}{limit}"


def shown(name: str) -> str:
    """A file name as it can be printed, whatever bytes it is made of."""
    return name.encode(errors="replace").decode()


def one_line(error: PagemillError) -> str:
    """`code: detail (where; limit N)`: how the command says an error."""
    facts = [error.where or ""]
    if error.limit is not None:
        facts.append(f"limit {error.limit}")
    if error.actual is not None:
        facts.append(f"found {error.actual}")
    inside = "; ".join(fact for fact in facts if fact and fact not in error.detail)
    text = f"{error.code}: {error.detail}" + (f" ({inside})" if inside else "")
    return " ".join(text.split())
