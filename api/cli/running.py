"""What `pagemill run` does once its workers are on their way: files through the queue, and what became of them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from api.broker import broker_state
from api.cli import embedded
from api.cli.bars import Bars, clock
from api.cli.batch import Batch, Ground
from api.cli.plan import Plan
from api.cli.private import PrivateStack
from api.cli.report import counted, failure_line, print_failures, shown
from api.cli.stack import Signals
from api.cli.todo import LOOK, Tally, Todo
from jobs.blobs import open_store
from jobs.errors import DatabaseUnavailable, PagemillError
from jobs.models import WorkerState
from jobs.options import JobOptions
from jobs.settings import BlobSettings, DatabaseSettings, LimitSettings, load
from jobs.store import reading
from jobs.store.database import open_database
from jobs.vault import Vault

_PATIENCE = 6
"""How often in a row the database may not answer; each time it was waited for."""
_ROUND = 0.05


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for."""

    todo: Todo
    tally: Tally
    out: Path
    engine: str
    options: JobOptions
    limits: LimitSettings


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it."""

    plan: Plan
    tally: Tally
    error: PagemillError | None
    """What ended the run before everything was done."""

    def summary(self, seconds: float) -> dict[str, Any]:
        """For programs."""
        plan, tally, error = self.plan, self.tally, self.error
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

    def tell(self, console: Console, seconds: float) -> None:
        """For people."""
        plan, tally = self.plan, self.tally
        if plan.skipped:
            some = shown(", ".join(plan.skipped[:3])) + (", …" if len(plan.skipped) > 3 else "")
            console.print(
                Text(
                    f"skipped {counted(len(plan.skipped), 'file')} that cannot be read as documents: {some}",
                    style="dim",
                )
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


def carry_out(wanted: Wanted, stack: PrivateStack, console: Console, signals: Signals) -> PagemillError | None:
    """Read what is not done yet, until a signal comes. An error that ends it is returned: what was done is told before.
    The processes are started where something is to be read, if they were not yet."""
    todo = wanted.todo
    batch = Batch(todo, wanted.out, wanted.options, wanted.engine, wanted.tally)
    try:
        with Bars(console) as bars, contextlib.ExitStack() as opened:
            while todo.left and not todo.found and not signals.stopped:
                todo.advance(LOOK)
                bars.show(batch.progress("looking for what is done"))
            if not todo.found or signals.stopped:
                return None
            ground = _ground(stack, wanted.limits, signals, opened)
            if ground is not None:
                _loop(stack, batch, ground, bars, signals)
    except PagemillError as error:
        return error
    return None


def _ground(
    stack: PrivateStack, limits: LimitSettings, signals: Signals, opened: contextlib.ExitStack
) -> Ground | None:
    """Everything up but the engines, which take their time. None when the user stops it."""
    stack.begin()
    broker = stack.start_broker()
    database = open_database(load(DatabaseSettings, database_url=stack.database_url))
    opened.callback(database.dispose)
    database.migrate()
    if not embedded.wait_for(broker, lambda: broker_state(stack.broker_url) == "ok", 20, lambda: signals.stopped):
        return None
    stack.open()
    return Ground(database, open_store(load(BlobSettings, store_url=stack.store_url)), limits, Vault(stack.secret))


def _loop(stack: PrivateStack, batch: Batch, ground: Ground, bars: Bars, signals: Signals) -> None:
    patience = _PATIENCE
    while not signals.stopped:
        try:
            stack.ready = stack.ready or _is_ready(ground)
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


def _is_ready(ground: Ground) -> bool:
    with ground.database.read() as session:
        return any(worker.state == WorkerState.ALIVE for worker in reading.list_workers(session))
