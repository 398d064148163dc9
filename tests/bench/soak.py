"""Memory of every process over a long run: is it flat?

Echo pages through the API (PostgreSQL, Valkey, a directory, two workers), or first pages of the public documents read
by RapidOCR (SQLite, one worker). Private memory (USS: what would be free if the process ended) is looked at every two
seconds. The slope is that of the least squares over the second half, when caches, pools and arenas are filled.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from statistics import linear_regression, mean

import psutil

from jobs.models import FINAL
from tests.api_server import ApiServer
from tests.bench.beside import Beside
from tests.bench.needs import documents
from tests.bench.plot import Panel, svg
from tests.documents import pdf
from tests.installation import Installation, WorkerService
from tests.processes import Service
from tests.services import Postgres, Valkey

EVERY = 2.0
MIB = 2**20
ECHO_PAGES, PAGES_EACH, DOCUMENTS_EACH = 100_000, 10, 50
OCR_PAGES, OCR_JOB = 300, 10
OPEN_JOBS = 4
PLOTS = Path(__file__).parents[2] / "docs"

Parts = dict[str, Callable[[], list[psutil.Process]]]


class Memory(Beside):
    """Samples of the private memory of each part, in MiB, taken beside what runs. Use as a context manager."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts
        self.series: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._end.wait(EVERY):
            at = time.monotonic() - begun
            for name, processes in self._parts.items():
                self.series[name].append((at, sum(map(private, processes())) / MIB))

    def table(self, pages: int) -> str:
        """A row for each part. `pages`: how many were read from the first sample to the last."""
        rows = ["| process | after a tenth, MiB | at the end | most | slope of the second half, MiB per 10,000 pages |"]
        rows.append("|---|---|---|---|---|")
        for name, series in self.series.items():
            at, size = zip(*series, strict=True)
            tenth, half = len(size) // 10, len(size) // 2
            per_second = linear_regression(at[half:], size[half:]).slope
            slope = per_second * at[-1] / pages * 10_000
            first, last = mean(size[tenth : 2 * tenth]), mean(size[-tenth:])
            rows.append(f"| {name} | {first:.1f} | {last:.1f} | {max(size):.1f} | {slope:+.2f} |")
        return "\n".join(rows)

    def plot(self, path: Path) -> None:
        panels = [Panel(f"{name}, MiB", [(at, round(size)) for at, size in s]) for name, s in self.series.items()]
        path.write_text(svg(panels, height=60))


def echo() -> str:
    """100,000 pages in documents of ten."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey, postgres = stack.enter_context(Valkey()), stack.enter_context(Postgres(fsync=True))
        url = postgres.create_database("soak")
        factor = {"PAGEMILL_TIME_FACTOR": "1"}
        mill = stack.enter_context(Installation(root, url, valkey.url, settings=factor))
        api = stack.enter_context(ApiServer(url, broker_url=valkey.url, store_url=f"file:{root / 'objects'}"))
        workers = [stack.enter_context(mill.worker()) for _ in range(2)]
        client = stack.enter_context(api.client())
        parts = parts_of(workers) | {"API": tree(api), "Valkey": tree(valkey), "PostgreSQL": tree(postgres)}
        files = [("file", (f"{n}.pdf", pdf(PAGES_EACH), "application/pdf")) for n in range(DOCUMENTS_EACH)]

        def submit(_: int) -> str:
            return str(client.post("jobs", files=files).raise_for_status().json()["id"])

        jobs = ECHO_PAGES // (PAGES_EACH * DOCUMENTS_EACH)
        return _soak(mill, parts, map(submit, range(jobs)), ECHO_PAGES, "soak-echo.svg")


def rapidocr() -> str:
    """300 first pages, all of them read from their pixels."""
    files = islice(cycle(sorted((documents() / "public").rglob("*.pdf"))), OCR_PAGES)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        settings = {"PAGEMILL_TIME_FACTOR": "1", "PAGEMILL_ENGINE": "rapidocr"}
        url = f"sqlite:///{root / 'soak.db'}"
        mill = stack.enter_context(Installation(root, url, valkey.url, settings=settings))
        worker = stack.enter_context(mill.worker())
        parts = parts_of([worker]) | {"Valkey": tree(valkey)}

        def submit(_: int) -> str:
            documents = [path.read_bytes() for path in islice(files, OCR_JOB)]
            return mill.submit(*documents, engine="rapidocr", pages="1", text="ocr")

        return _soak(mill, parts, map(submit, range(OCR_PAGES // OCR_JOB)), OCR_PAGES, "soak-rapidocr.svg")


def _soak(mill: Installation, parts: Parts, jobs: Iterable[str], pages: int, plot: str) -> str:
    """A few jobs are open all the time, until there are no more."""
    begun = time.monotonic()
    states: Counter[str] = Counter()
    with Memory(parts) as memory:
        for job in _ended(mill, jobs):
            states += mill.count(job)
    seconds = time.monotonic() - begun
    memory.plot(PLOTS / plot)
    assert states.total() == pages, states
    told = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
    rate = f"{seconds:.0f} s ({pages / seconds:.1f} pages/s), load average after: {os.getloadavg()[0]:.2f}"
    return f"{told}, in {rate}\n{memory.table(pages)}"


def _ended(mill: Installation, jobs: Iterable[str]) -> Iterator[str]:
    still_open: deque[str] = deque()
    for job in jobs:
        still_open.append(job)
        if len(still_open) == OPEN_JOBS:
            yield _end(mill, still_open.popleft())
    while still_open:
        yield _end(mill, still_open.popleft())


def _end(mill: Installation, job: str) -> str:
    while mill.job(job).state not in FINAL:
        time.sleep(0.1)
    return job


def parts_of(workers: list[WorkerService]) -> Parts:
    parts: Parts = {}
    for number, worker in enumerate(workers, 1):
        parts[f"worker {number}"] = lambda worker=worker: worker.tree()[:1]  # type: ignore[misc]
        parts[f"its other processes {number}"] = lambda worker=worker: worker.tree()[1:]  # type: ignore[misc]
    return parts


def tree(service: Service) -> Callable[[], list[psutil.Process]]:
    root = psutil.Process(service.pid)
    return lambda: [root, *root.children(recursive=True)]


def private(process: psutil.Process) -> int:
    """Bytes; 0 of one that has just ended."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0
