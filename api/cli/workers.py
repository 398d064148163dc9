"""`pagemill workers`: who runs what and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import orjson
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from api.cli.fetch import open_client
from api.cli.options import Json
from api.cli.report import counted, shown
from jobs.models import WorkerPublic, WorkerState
from jobs.settings import DatabaseSettings, TimerSettings, load

_EVERY = 2.0
"""Seconds between two looks of --watch."""
_LIVING = (WorkerState.ALIVE, WorkerState.DRAINING)
_HEADS = ("host", "slot", "engine", "state", "pages", "pages/s", "heard")
_WIDEST = (19, 12, 12, 8, 9, 7, 7)
"""With a space between them 80 columns; host and slot are cut, what is longer elsewhere moves the rest."""
_COLOURS = {"alive": "green", "leaving": "yellow", "draining": "yellow", "silent": "red", "stopped": "red"}


def workers(
    all_: Annotated[bool, typer.Option("--all", help="Those too that ended long ago or were replaced.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")] = False,
    direct: Annotated[
        bool, typer.Option("--direct", help="Ask the database (PAGEMILL_DATABASE_URL) and no server.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say which workers run, what each reads and how fast: those that live, and the last one of each slot where it
    ended with a reason.

    Pages: read now, of those it can have in flight. Pages/s: over the last two minutes. Heard: since its last
    heartbeat.

    Examples:

      pagemill workers --watch

      PAGEMILL_DATABASE_URL=postgresql://… pagemill workers --direct --json
    """
    stale = load(TimerSettings).scaled("heartbeat_stale")
    with _source(direct) as ask:
        if as_json:
            for rows in _looks(ask, all_, stale, watch):
                option = None if watch else orjson.OPT_INDENT_2
                typer.echo(orjson.dumps([row.model_dump(mode="json") for row in rows], option=option))
        elif watch and Console().is_terminal:
            _live(_looks(ask, all_, stale, watch), stale)
        else:
            for rows in _looks(ask, all_, stale, watch):
                _tell(rows, stale)


Ask = Callable[[], list[WorkerPublic]]


@contextmanager
def _source(direct: bool) -> Iterator[Ask]:
    """Where rows come from: the server, or the database itself."""
    if not direct:
        with open_client() as client:
            yield client.workers
        return
    from jobs.store import reading
    from jobs.store.database import open_database

    db = open_database(load(DatabaseSettings))

    def ask() -> list[WorkerPublic]:
        with db.read() as session:
            return reading.list_workers(session)

    try:
        db.require_schema()
        yield ask
    finally:
        db.dispose()


def _looks(ask: Ask, all_: bool, stale: float, watch: bool) -> Iterator[list[WorkerPublic]]:
    while True:
        rows = ask()
        yield rows if all_ else worth_showing(rows)
        if not watch:
            return
        time.sleep(_EVERY)


def worth_showing(rows: Sequence[WorkerPublic]) -> list[WorkerPublic]:
    """Those that live, and the last of a slot where it stopped with a reason: a place where nobody works, and why."""
    last = {(row.host, row.slot): row.id for row in rows}  # ids ascend with time
    return [
        row
        for row in rows
        if row.state in _LIVING
        or (row.state is WorkerState.STOPPED and row.detail and last[row.host, row.slot] == row.id)
    ]


def state_of(row: WorkerPublic, stale: float) -> str:
    """As the row has it; `silent` where it should have been heard of, `leaving` where it was asked to drain."""
    if row.state not in _LIVING:
        return row.state.value
    if row.silent_seconds > stale:
        return "silent"
    return "leaving" if row.drain_requested and row.state is WorkerState.ALIVE else row.state.value


# --- telling


def _live(looks: Iterable[list[WorkerPublic]], stale: float) -> None:
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        for rows in looks:
            live.update(_table(rows, stale, console.width), refresh=True)


def _tell(rows: Sequence[WorkerPublic], stale: float) -> None:
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_table(rows, stale, console.width))
        return
    for cells in [_PLAIN_HEADS, *(_plain(row, stale) for row in rows)]:
        typer.echo("\t".join(cells))


_PLAIN_HEADS = ("worker", *_HEADS, "documents", "why")


def _plain(row: WorkerPublic, stale: float) -> tuple[str, ...]:
    """For programs: nothing is cut."""
    cells = (row.id, *_cells(row, stale), ",".join(row.documents), row.detail or "")
    return tuple(" ".join(shown(cell).split()) for cell in cells)


def _cells(row: WorkerPublic, stale: float) -> tuple[str, ...]:
    pace = "" if row.pace is None or row.state not in _LIVING else f"{row.pace:.2f}"
    pages = f"{row.pages_running}/{row.capacity}"
    return row.host, row.slot, row.engine or "-", state_of(row, stale), pages, pace, short_age(row.silent_seconds)


def short_age(seconds: float) -> str:
    """`4 s`, `12 min`, `3 h`, `5 d`."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _table(rows: Sequence[WorkerPublic], stale: float, width: int) -> RenderableType:
    """Two lines a worker: its columns; its id and what it is busy with. A third one says why it does not work."""
    if not rows:
        return Text("no workers")
    lines = [_line(_HEADS, "bold")]
    for row in rows:
        cells = _cells(row, stale)
        lines.append(_line(cells, _COLOURS.get(cells[3], "dim")))
        lines.append(Text("  " + row.id + _busy(row), style="dim", no_wrap=True, overflow="ellipsis"))
        if row.detail:
            lines.append(Text(f"  {shown(row.detail)}", style="red" if row.state is WorkerState.STOPPED else ""))
    living = [row for row in rows if row.state in _LIVING]
    pace = sum(row.pace or 0.0 for row in living)
    running = sum(row.pages_running for row in living)
    lines.append(Text(f"{counted(len(living), 'worker')}, {counted(running, 'page')} in flight, {pace:.2f} pages/s"))
    return Group(*lines)


def _busy(row: WorkerPublic) -> str:
    """The document with most pages here, and how many others there are."""
    if not row.documents:
        return ""
    more = row.documents_total - 1
    return f"  {row.documents[0]}" + (f" +{more}" if more else "")


def _line(cells: Sequence[str], style: str) -> Text:
    """The head is all in its style, of a worker only the state."""
    head = cells is _HEADS
    line = Text(style=style if head else "")
    for number, (cell, width) in enumerate(zip(cells, _WIDEST, strict=True)):
        text = shown(cell)
        if number < 2 and len(text) > width:
            text = text[: width - 1] + "…"
        padded = text.rjust(width) if number >= 4 else text.ljust(width)
        line.append(padded, style if number == 3 and not head else "").append(" ")
    line.rstrip()
    return line
