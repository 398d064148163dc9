"""The table of `pagemill jobs`: one line a job. Ids, states and numbers are never cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.text import Text

from jobs.models import JobPublic, State

COLOURS: Mapping[State, str] = {
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.PARTIAL: "yellow",
    State.RUNNING: "cyan",
}

_HEADS = ("job", "state", "docs", "pages", "created", "engine")
_NEEDED = 4
"""Columns that stay however narrow the terminal is; a line that is too long then wraps."""


def colour(state: State) -> str:
    return COLOURS.get(state, "dim")


def plain_lines(jobs: Sequence[JobPublic]) -> list[str]:
    """For programs: a head and a line a job, columns separated by tabs, times as RFC 3339."""
    rows = [(*_cells(job), f"{job.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", job.engine) for job in jobs]
    return ["\t".join(row) for row in (_HEADS, *rows)]


def table_lines(jobs: Sequence[JobPublic], width: int, now: datetime) -> list[Text]:
    """For people: columns aligned; the engine and then the time are left out where `width` has no room for them."""
    rows = [_HEADS, *((*_cells(job), short_time(job.created_at, now), job.engine) for job in jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while len(widths) > _NEEDED and sum(widths) + len(widths) - 1 > width:
        widths.pop()
    styles = ["bold", *(colour(job.state) for job in jobs)]
    return [_line(row[: len(widths)], widths, style) for row, style in zip(rows, styles, strict=True)]


def short_time(moment: datetime, now: datetime) -> str:
    """`13:53` for today, `Nov 22` for this year, `2025-11-22` before, all UTC."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    if moment.date() == now.date():
        return f"{moment:%H:%M}"
    return f"{moment:%b %d}" if moment.year == now.year else f"{moment:%Y-%m-%d}"


def _cells(job: JobPublic) -> tuple[str, str, str, str]:
    done = job.documents.total - job.documents.unfinished
    pages = job.pages.succeeded + job.pages.failed
    return job.id, job.state.value, f"{done}/{job.documents.total}", f"{pages}/{job.pages.total}"


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    """The head is all in its style; of a job only the state."""
    line = Text(style="bold" if cells[0] == _HEADS[0] else "")
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        line.append(cell.ljust(width), style if number == 1 else "").append(" ")
    line.rstrip()
    return line
