"""B4: pagemill against ordinary Celery designs, on the same engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.celery_designs.apps import VISIBILITY
from tests.bench.celery_runs import Killed, Run, kill, measure
from tests.bench.celery_sides import Design, Pagemill, Side
from tests.bench.modelled import Model
from tests.bench.report import Scale, Section, Spread, table
from tests.services import Postgres, Valkey

MODEL = Model(50)
ECHO = Model(1_000_000)
"""An engine that takes no time: what is left is the queue."""


def pages(threads: int = 96) -> Design:
    return Design("chord of pages", "pages", f"-P threads -c {threads} -Q celery,assemble")


def batches(flush: int = 128, interval: float = 1.0) -> Design:
    variables = {"BENCH_FLUSH": str(flush), "BENCH_INTERVAL": str(interval)}
    return Design("celery-batches", "batches", "-P threads -c 1", environment="celery-batches", variables=variables)


def chunks(documents: int = 1) -> Design:
    return Design("document a task", "chunks", "-P solo", variables={"BENCH_CHUNK": str(documents)})


def designs() -> list[Design]:
    """Tuned: `python -m tests.bench.celery_tuning`."""
    return [pages(), batches(), chunks()]


def run(scale: Scale) -> Section:
    with bench(designs()) as (sides, parts):
        for n in range(scale.rounds):
            for side in sides:
                print(n, side.name, measure(side, MODEL, parts, scale.of(6, 4), small=True), flush=True)
                print(n, side.name, measure(side, ECHO, parts, scale.of(6, 4), small=False), flush=True)
        for side in sides:
            print(side.name, kill(side, MODEL, 3), flush=True)
        print("VT", kill(sides[1], MODEL, 3, 40.0, **{VISIBILITY: "20"}), flush=True)
    return Section("")


@contextmanager
def bench(found: list[Design]) -> Iterator[tuple[list[Side], dict[str, list[int]]]]:
    """pagemill and these designs, ready; and the processes that all of them share, by name."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres(fsync=True))
        for number, design in enumerate(found, 1):
            place = root / f"design-{number}"
            place.mkdir()
            design.open(stack, place, postgres, valkey.url_of(number))
        pagemill = Pagemill(stack, _folder(root / "pagemill"), postgres, valkey)
        yield [pagemill, *found], {"broker": [valkey.pid], "database": [postgres.pid]}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
