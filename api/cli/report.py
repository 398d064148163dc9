"""How failures and errors are said to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.plan import Failure
from jobs.errors import PagemillError, Problem


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
            number(failure.limit),
        )
    console.print(table)


def document_failures(where: str, pages: Iterable[tuple[int, Problem]], error: Problem | None) -> list[Failure]:
    """What ails a document: its failed pages by code, or else its own error."""
    by_code: dict[tuple[str, float | str | None], list[tuple[int, Problem]]] = {}
    for page, problem in pages:
        by_code.setdefault((problem.code, problem.limit), []).append((page, problem))
    if not by_code:
        return [Failure(where, error.code, error.detail, error.limit)] if error is not None else []
    failures = []
    for (code, limit), found in by_code.items():
        details = {problem.detail for _, problem in found}
        detail = found[0][1].detail + (" (and similar)" if len(details) > 1 else "")
        failures.append(Failure(where, code, detail, limit, page_list([page for page, _ in found])))
    return failures


def page_list(numbers: Iterable[int]) -> str:
    """`[3, 7, 8, 9]` -> `"3,7-9"`."""
    parts: list[list[int]] = []
    for page in sorted(numbers):
        if parts and page == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], page]
        else:
            parts.append([page])
    return ",".join("-".join(str(page) for page in part) for part in parts)


def number(limit: float | str | None) -> str:
    """A limit worth showing: one that is a text (a list of types) stands in the detail already."""
    return str(limit) if isinstance(limit, int | float) else ""


def counted(count: int, noun: str) -> str:
    """`1 page`, `2 pages`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def failure_line(failure: Failure, what: str = "failed") -> str:
    noun = "page" if failure.pages and failure.pages.isdigit() else "pages"
    pages = f" {noun} {failure.pages}" if failure.pages else ""
    limit = f" (limit {number(failure.limit)})" if number(failure.limit) else ""
    return f"{what}: {shown(failure.where)}{pages}: {failure.code}: {failure.detail}{limit}"


def shown(name: str) -> str:
    """A file name as it can be printed, whatever bytes it is made of."""
    return name.encode(errors="replace").decode()


def one_line(error: PagemillError) -> str:
    """`code: detail (where; limit N)`: how the command says an error."""
    facts = [error.where or ""]
    if number(error.limit):
        facts.append(f"limit {error.limit}")
        if isinstance(error.actual, int | float):
            facts.append(f"found {error.actual}")
    inside = "; ".join(fact for fact in facts if fact and fact not in error.detail)
    text = f"{error.code}: {error.detail}" + (f" ({inside})" if inside else "")
    return " ".join(text.split())
