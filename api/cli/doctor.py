"""`pagemill doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text

from api.cli.embedded import python_environment
from api.cli.options import Engine, Json
from api.cli.report import counted
from api.cli.up import DATA, running
from api.version import VERSION
from jobs.doctor.findings import Finding, Level, Report
from jobs.doctor.scene import Trial
from jobs.errors import InvalidRequest
from jobs.settings import environment, preset

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red", Level.SKIPPED: "dim"}

_PARTS = ("PAGEMILL_DATABASE_URL", "PAGEMILL_BROKER_URL", "PAGEMILL_STORE_URL")

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAMES", help="Areas or ids of findings, by commas: database,redis-eviction."),
]


def doctor(
    engine: Engine = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, or the index of a GPU (PAGEMILL_DEVICE).")
    ] = None,
    engine_start: Annotated[
        bool, typer.Option("--engine-start", help="Start the engine too and read a page: minutes on a GPU.")
    ] = False,
    only: Only = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Look at the `pagemill up` that runs on this folder."),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds that each check may take.")] = 20.0,
    as_json: Json = False,
) -> None:
    """Look for what is wrong here: settings, database, Redis, store, GPU, machine, workers. Changes nothing.

    Set by the PAGEMILL_… variables of the part that is to run here; where none names a database, Redis or store, the
    `pagemill up` that runs in this folder is looked at. Exit status 0: all well; 1: errors; 3: warnings
    only. Every finding is explained in docs/doctor.md.

    Examples:

      pagemill doctor

      pagemill doctor --engine paddleocr_vl --device 0 --engine-start

      pagemill doctor --only redis,store --json
    """
    from jobs.doctor.checks import checks
    from jobs.doctor.findings import report
    from jobs.doctor.run import run
    from jobs.doctor.scene import Scene

    _stand_in(data)
    scene = Scene.look(engine=engine, device=device, trial=_trial(engine, device) if engine_start else None)
    try:
        chosen = checks(scene, _names(only))
    except InvalidRequest as error:
        raise typer.BadParameter(error.detail, param_hint="--only") from None
    console = Console(stderr=True, highlight=False)
    with console.status(f"{counted(len(chosen), 'check')} …", spinner="dots"):
        found = report(VERSION, socket.gethostname(), run(scene, chosen, timeout))
    if as_json:
        typer.echo(orjson.dumps(found.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
    else:
        _tell(found)
    raise typer.Exit(found.status)


def _stand_in(data: Path | None) -> None:
    """Take the settings of a `pagemill up`: of the folder that is named, or of the usual one where nothing is set."""
    if data is None and any(name in environment() for name in _PARTS):
        return
    settings = running(data or DATA)
    if data is not None and not settings:
        raise typer.BadParameter(f"no pagemill up runs on {data}", param_hint="--data")
    preset(**settings)
    if settings:
        typer.echo(f"this is about the pagemill up of {(data or DATA).resolve()}", err=True)


def _trial(engine: str | None, device: str | None) -> Trial:
    given = {"PAGEMILL_ENGINE": engine, "PAGEMILL_DEVICE": device}
    env = python_environment(environment()) | {name: value for name, value in given.items() if value is not None}
    return Trial([sys.executable, "-m", "workers.trial"], env)


def _names(only: list[str] | None) -> list[str]:
    return [name.strip() for part in only or [] for name in part.split(",") if name.strip()]


def _tell(report: Report) -> None:
    """By area: a line for each finding, and for what is wrong another with the remedy. Nothing is cut off."""
    console = Console(highlight=False, soft_wrap=True)
    width = max((len(found.id) for found in report.findings), default=0)
    area = ""
    for found in report.findings:
        if found.area != area:
            area = found.area
            console.print(Text(area, style="bold"))
        line = Text(f"  {found.level:<8} ", style=_COLOURS[found.level]) + Text(f"{found.id:<{width}}  ", style="")
        console.print(line + Text(_sentence(found), style="dim" if found.level is Level.SKIPPED else ""))
        if found.do is not None:
            console.print(Text(f"           -> {found.do}"))
    told = ", ".join(f"{report.counts[level]} {level}" for level in Level if report.counts[level])
    console.print(Text(told or "nothing was looked at"))


def _sentence(found: Finding) -> str:
    where = f" [{found.where}]" if found.where and found.where not in found.found else ""
    return found.found + where
