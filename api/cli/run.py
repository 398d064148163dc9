"""`pagemill run`: a folder of documents in, Markdown and JSON out, on this machine and nothing else.

Here is only what is needed to begin (tests/unit/test_cli_main.py). The rest is imported while the workers start, which
they do as soon as a file is found that is to be read.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from api.cli.options import Dpi, Engine, Json, More, Pages, Password, Paths, TextFrom, job_options
from api.cli.output import Recipe
from api.cli.plan import make_plan
from api.cli.private import PrivateStack
from api.cli.stack import Signals
from api.cli.todo import LOOK, Tally, Todo
from jobs.errors import InvalidRequest, PagemillError
from jobs.settings import EngineSettings, LimitSettings, load


def run(
    paths: Paths,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the results; made where missing.")
    ],
    engine: Engine = None,
    pages: Pages = None,
    dpi: Dpi = None,
    text: TextFrom = None,
    password: Password = None,
    force: Annotated[bool, typer.Option("--force", help="Read again what is done already.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Worker processes.")] = 1,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Read documents on this machine: PATHS in, Markdown and JSON below OUT.

    OUT mirrors the folders: x.pdf becomes x.pdf.md, x.pdf.json, x.pdf.figures/.
    What is done already is skipped, what failed is tried again.
    Exit status 0, or 1 with a table of what failed and why.

    Examples:

      pagemill run scans/ -o text/

      pagemill run a.pdf b.tiff -o text/ --pages 1-3 --dpi 300
    """
    options = job_options(more, pages=pages, dpi=dpi, text=text, password=password, engine=engine)
    name = options.engine or load(EngineSettings).name
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    started = time.monotonic()
    with _held_out(out):
        plan = make_plan(paths, out)
        tally = Tally(failures=list(plan.failures), failed=len(plan.failures))
        limits = load(LimitSettings)
        todo = Todo(plan, out, Recipe(name, options.stored()), force, limits.max_file_bytes, tally)
        with Signals() as signals, contextlib.closing(PrivateStack(name, workers, signals)) as stack:
            todo.advance(LOOK)
            if todo.found:
                with contextlib.suppress(PagemillError, OSError):  # it comes again, and is told with what was done
                    stack.begin()
            from api.cli.running import Done, Wanted, carry_out

            wanted = Wanted(todo, tally, out, name, options, limits)
            done = Done(plan, tally, carry_out(wanted, stack, console, signals))
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(orjson.dumps(done.summary(seconds), option=orjson.OPT_INDENT_2))
    else:
        done.tell(console, seconds)
    if signals.stopped:
        typer.echo("stopped; run the same command again to go on", err=True)
        raise typer.Exit(signals.exit_code)
    if done.error is not None:
        raise done.error
    raise typer.Exit(1 if done.tally.failures else 0)


@contextlib.contextmanager
def _held_out(out: Path) -> Iterator[None]:
    """OUT, made and held: two runs that write into it would undo each other's work. Raises InvalidRequest."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidRequest(f"OUT cannot be written: {error.strerror}", where=str(out)) from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidRequest("another pagemill run is writing to OUT", where=str(out)) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(folder)
