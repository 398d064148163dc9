"""`pagemill reconcile`: whether rows, counters, stored objects and Redis agree, and mending where they do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.options import Json
from api.cli.report import counted, one_line, shown
from jobs.blobs import open_store
from jobs.dispatch import RescueRules
from jobs.errors import PagemillError
from jobs.queue import Doorbell, make_app
from jobs.reconcile.differences import CODES, Difference
from jobs.reconcile.parts import Parts, patience
from jobs.reconcile.run import reconcile as differences
from jobs.settings import (
    BlobSettings,
    BrokerSettings,
    DatabaseSettings,
    MetricsSettings,
    TimerSettings,
    WorkerSettings,
    load,
)
from jobs.store.database import open_database

CLEAN, DIFFERENT, BLIND = 0, 1, 2


@dataclass(slots=True)
class Tally:
    """What was found: all of it counted, so much of each code kept."""

    limit: int
    counts: Counter[str] = field(default_factory=Counter)
    fixed: Counter[str] = field(default_factory=Counter)
    kept: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        self.counts[difference.code] += 1
        self.fixed[difference.code] += difference.fixed
        if self.counts[difference.code] <= self.limit:
            self.kept.append(difference)


def reconcile(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended; see docs/reconcile.md.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every stored result and source too: takes as long as reading them.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Differences told of each kind; all are counted.")] = 100,
    as_json: Json = False,
) -> None:
    """Compare rows, counters, stored objects and Redis, while all of it runs. Changes nothing without --fix.

    Set by the PAGEMILL_… variables of the workers. Exit status 0: no difference, or with --fix none left; 1:
    differences; 2: something could not be looked at.

    Example:

      PAGEMILL_DATABASE_URL=postgresql://… PAGEMILL_STORE_URL=s3://… pagemill reconcile --fix
    """
    console = Console(stderr=True, highlight=False)
    tally = Tally(limit)
    blind: list[str] = []
    try:
        _run(console, tally, blind, fix=fix, deep=deep)
    except PagemillError as error:
        blind.append(one_line(error))
    if as_json:
        typer.echo(orjson.dumps(summary(tally, blind, fix=fix), option=orjson.OPT_INDENT_2))
    else:
        _tell(tally, blind, fix=fix)
    raise typer.Exit(status(tally, blind))


def _run(console: Console, tally: Tally, blind: list[str], *, fix: bool, deep: bool) -> None:
    timers = load(TimerSettings)
    stale, rescue_every = timers.scaled("heartbeat_stale"), timers.scaled("rescue_every")
    rules = RescueRules(stale, timers.scaled("ring_expires"), rescue_every, load(WorkerSettings).max_crashes)
    db, blobs = open_database(load(DatabaseSettings)), open_store(load(BlobSettings))
    bell = Doorbell(make_app(load(BrokerSettings)))
    parts = Parts(
        db, blobs, bell, patience(timers), rules, fix=fix, deep=deep, price=load(MetricsSettings).price, blind=blind
    )
    try:
        db.require_schema()
        with console.status("", spinner="dots") as line:
            for difference in differences(parts, lambda text: line.update(Text(f"{text} …"))):
                tally.add(difference)
    finally:
        bell.close()
        blobs.close()
        db.dispose()


def status(tally: Tally, blind: list[str]) -> int:
    """2 where something could not be looked at, 1 where a difference is left, else 0."""
    if blind:
        return BLIND
    return DIFFERENT if tally.counts.total() > tally.fixed.total() else CLEAN


def summary(tally: Tally, blind: list[str], *, fix: bool) -> dict[str, Any]:
    """The run as JSON; `codes` counts everything, `differences` holds the first of each code."""
    return {
        "clean": status(tally, blind) == CLEAN,
        "fix": fix,
        "not_looked_at": blind,
        "codes": {
            code: {"what": CODES[code].what, "fix": CODES[code].fix or None, "found": n, "fixed": tally.fixed[code]}
            for code, n in sorted(tally.counts.items())
        },
        "differences": [
            {"code": d.code, "where": d.where, "expected": d.expected, "actual": d.actual, "fixed": d.fixed}
            for d in tally.kept
        ],
    }


def _tell(tally: Tally, blind: list[str], *, fix: bool) -> None:
    console = Console(highlight=False)
    if console.is_terminal:
        if tally.kept:
            console.print(_table(tally))
    else:
        for row in (_HEADS, *(_row(difference) for difference in tally.kept)) if tally.kept else ():
            typer.echo("\t".join(row))
    for code, count in sorted(tally.counts.items()):
        more = f" ({count - tally.limit} of them not told here)" if count > tally.limit else ""
        mended = f", {tally.fixed[code]} mended" if fix else ""
        typer.echo(f"{count} {code}{mended}{more}: {CODES[code].what}", err=True)
    for sentence in blind:
        typer.echo(f"not looked at: {sentence}", err=True)
    if not tally.counts and not blind:
        typer.echo("no differences", err=True)
    elif tally.counts:
        left = tally.counts.total() - tally.fixed.total()
        typer.echo(f"{counted(tally.counts.total(), 'difference')}, {left} left", err=True)


_HEADS = ("code", "where", "expected", "actual", "mended")


def _row(difference: Difference) -> tuple[str, ...]:
    mended = "yes" if difference.fixed else "no"
    cells = (difference.code, difference.where, difference.expected, difference.actual, mended)
    return tuple(" ".join(shown(cell).split()) for cell in cells)


def _table(tally: Tally) -> Table:
    table = Table(*_HEADS, box=None, pad_edge=False, header_style="bold")
    for difference in tally.kept:
        code, *cells = _row(difference)
        table.add_row(
            Text(code, style="green" if difference.fixed else "red"), *(Text(c, overflow="fold") for c in cells)
        )
    return table
