"""`pagemill run`: a folder of documents in, Markdown and JSON out, on this machine and nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
import typer
from rich.console import Console
from rich.text import Text

from api.broker import broker_state
from api.cli import embedded
from api.cli.bars import Bars, clock
from api.cli.batch import Batch, Ground, Tally, Todo
from api.cli.options import Dpi, Engine, Json, More, Pages, Password, Paths, TextFrom, job_options
from api.cli.output import Recipe
from api.cli.plan import Plan, make_plan
from api.cli.report import counted, failure_line, print_failures, shown
from api.cli.stack import Child, Signals, Stack
from jobs.blobs import open_store
from jobs.errors import DatabaseUnavailable, EngineUnavailable, InvalidRequest, PagemillError
from jobs.models import WorkerState
from jobs.settings import (
    BlobSettings,
    DatabaseSettings,
    EngineSettings,
    LimitSettings,
    TimerSettings,
    environment,
    load,
)
from jobs.store import reading
from jobs.store.database import open_database
from jobs.vault import Vault

_PREFIX = "pagemill-run-"
_ABANDONED = 60.0
"""Seconds after which a temporary folder that nobody holds counts as left behind by a killed run."""
_PATIENCE = 6
"""How often in a row the database may not answer; each time it was waited for."""
_ROUND = 0.05
_LOOK = 0.2


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
        todo = Todo(plan, out, Recipe(name, options.stored()), force, load(LimitSettings).max_file_bytes, tally)
        batch = Batch(todo, out, options, name, tally)
        with Signals() as signals:
            error = _work(batch, todo, PrivateStack(name, workers), console, signals)
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(orjson.dumps(_summary(plan, tally, seconds, error), option=orjson.OPT_INDENT_2))
    else:
        _tell(console, plan, tally, seconds)
    if signals.stopped:
        typer.echo("stopped; run the same command again to go on", err=True)
        raise typer.Exit(signals.exit_code)
    if error is not None:
        raise error
    raise typer.Exit(1 if tally.failures else 0)


def _work(batch: Batch, todo: Todo, stack: PrivateStack, console: Console, signals: Signals) -> PagemillError | None:
    """Read what is to be read. An error that ends the run is returned: what was done is told before it."""
    try:
        with Bars(console) as bars:
            while todo.left and not todo.found and not signals.stopped:
                todo.advance(_LOOK)
                bars.show(batch.progress("looking for what is done"))
            if not todo.found or signals.stopped:
                return None
            with stack:
                ground = stack.start(signals)
                if ground is not None:
                    _loop(stack, batch, ground, bars, signals)
    except PagemillError as error:
        return error
    return None


def _loop(stack: PrivateStack, batch: Batch, ground: Ground, bars: Bars, signals: Signals) -> None:
    patience = _PATIENCE
    while not signals.stopped:
        try:
            stack.watch(bars.say)
            if batch.step(ground, lambda: signals.stopped):
                return
            patience = _PATIENCE
        except DatabaseUnavailable:
            patience -= 1
            if not patience:
                raise
        bars.show(batch.progress("" if stack.ready else "starting the engine"))
        time.sleep(_ROUND)


class PrivateStack:
    """Valkey, workers, database and store for one run, in a temporary folder that goes with them."""

    def __init__(self, engine: str, count: int) -> None:
        self.ready = False
        """Whether a worker has its engine up."""
        self._engine = engine
        self._count = count
        self._folder = Path()
        self._stack = Stack(backoff_max=2.0)
        self._broker: Child | None = None
        self._database: Any = None
        self._clean = contextlib.ExitStack()
        self._signals: Signals | None = None

    def __enter__(self) -> Self:
        self._folder = self._clean.enter_context(_private_folder())
        return self

    def __exit__(self, *_: object) -> None:
        signals = self._signals
        last = [self._broker] if self._broker is not None else []
        hurry: Callable[[], bool] = (lambda: signals.hurried) if signals is not None else (lambda: False)
        self._stack.stop(last, hurry, nudge=True)
        if self._database is not None:
            self._database.dispose()
        self._clean.close()

    def start(self, signals: Signals) -> Ground | None:
        """Everything up but the engines, which take their time. None when the user stops it."""
        self._signals = signals
        folder, logs = self._folder, self._folder / "logs"
        password, secret = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
        port = embedded.free_port()
        broker = embedded.broker_url(port, password)
        self._broker = self._stack.start(
            embedded.valkey(folder / "valkey", port, password, logs / "valkey.log", durable=False)
        )
        database_url, store_url = embedded.sqlite_url(folder / "pagemill.db"), f"file:{folder / 'objects'}"
        self._database = open_database(load(DatabaseSettings, database_url=database_url))
        self._database.migrate()
        if not embedded.wait_for(self._broker, lambda: broker_state(broker) == "ok", 20, lambda: signals.stopped):
            return None
        (folder / "tmp").mkdir()
        env = self._environment() | {
            "TMPDIR": str(folder / "tmp"),  # so that nothing of a worker stays behind
            "PAGEMILL_DATABASE_URL": database_url,
            "PAGEMILL_BROKER_URL": broker,
            "PAGEMILL_STORE_URL": store_url,
            "PAGEMILL_SECRET_KEY": secret,
            "PAGEMILL_ENGINE": self._engine,
        }
        for index in range(self._count):
            self._stack.start(embedded.worker(index, env, f"run-{index}", folder / "scratch", logs))
        blobs = open_store(load(BlobSettings, store_url=store_url))
        return Ground(self._database, blobs, load(LimitSettings), Vault(secret))

    def watch(self, say: Callable[[str], None]) -> None:
        """Restart who died. Raises EngineUnavailable when a worker ends before any engine was up."""
        if not self.ready:
            with self._database.read() as session:
                self.ready = any(w.state == WorkerState.ALIVE for w in reading.list_workers(session))
        for child, status in self._stack.watch():
            if not self.ready and child is not self._broker:
                words = (child.last_lines(1) or ["it said nothing"])[0].strip()
                reason = words.removeprefix("pagemill worker: engine_unavailable: ")
                raise EngineUnavailable(f"the engine {self._engine} did not start: {reason}")
            say(f"{self._stack.describe(child, status)}; it is started again")

    def _environment(self) -> dict[str, str]:
        """What is set about limits, timers and engines holds; where a server's database lies does not matter here."""
        kept = (LimitSettings, TimerSettings, EngineSettings)
        env = embedded.python_environment(embedded.without_settings(environment(), kept))
        if self._count > 1:
            env.setdefault("PAGEMILL_RENDER_PROCESSES", str(max(1, (os.cpu_count() or 1) // self._count)))
        return env


# --- folders


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


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A temporary folder of ours alone (mode 0700), gone at the end. Those of killed runs are cleared away."""
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{_PREFIX}*"):
        _clear_abandoned(left)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def _clear_abandoned(folder: Path) -> None:
    try:
        status = folder.lstat()
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < _ABANDONED:
            return
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # somebody's run is alive
    finally:
        os.close(held)


# --- telling


def _summary(plan: Plan, tally: Tally, seconds: float, error: PagemillError | None) -> dict[str, Any]:
    return {
        "documents": {
            "succeeded": tally.succeeded,
            "partial": tally.partial,
            "failed": tally.failed,
            "done_before": tally.done_before,
            "skipped": len(plan.skipped),
        },
        "pages": {"read": tally.pages - tally.pages_failed, "failed": tally.pages_failed},
        "seconds": round(seconds, 3),
        "failures": [asdict(failure) for failure in tally.failures],
        "doubts": [asdict(doubt) for doubt in tally.doubts],
        "skipped": plan.skipped,
        "error": error.problem().model_dump(exclude_none=True) if error is not None else None,
    }


def _tell(console: Console, plan: Plan, tally: Tally, seconds: float) -> None:
    if plan.skipped:
        some = shown(", ".join(plan.skipped[:3])) + (", …" if len(plan.skipped) > 3 else "")
        console.print(
            Text(f"skipped {counted(len(plan.skipped), 'file')} that cannot be read as documents: {some}", style="dim")
        )
    for doubt in tally.doubts:
        console.print(Text(failure_line(doubt, "doubtful"), style="yellow"))
    if tally.failures:
        print_failures(console, tally.failures)
    read = tally.succeeded + tally.partial
    pages = counted(tally.pages - tally.pages_failed, "page")
    parts = [f"{counted(read, 'document')} read", f"{pages} in {clock(seconds)}"]
    if tally.done_before:
        parts.append(f"{tally.done_before} done before")
    if tally.partial:
        parts.append(f"{tally.partial} of them in part")
    if tally.failed:
        parts.append(f"{tally.failed} failed")
    console.print(Text(", ".join(parts)))
