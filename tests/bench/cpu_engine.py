"""RapidOCR through the whole queue ÷ a plain loop over the same pages with the same processes and threads.

Both sides use one render process per core with the same page half; the plain loop is nothing but that: a process per
core that renders and reads its share. The processes of both are up and have read pages before, and those of the side
whose turn it is not sleep. Turns go there and back (queue, loop, loop, queue), so that a machine whose speed drifts
treats both alike, and the loop takes the pages in the order in which the queue had them read: which page is last
decides how long one process reads alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import text as sql

from jobs.models import FINAL
from jobs.options import PageOptions, TextSource
from jobs.settings import EngineSettings, LimitSettings
from tests.bench.needs import documents
from tests.bench.plain_loop import Readers
from tests.installation import Installation
from tests.services import Valkey

ROUNDS = 2
LOOK_EVERY = 0.25
PAGES = 60
WARM = 8
"""Pages that both sides read before the first pair."""


def subset() -> list[tuple[Path, int]]:
    """60 pages of public documents: (file, page number), always the same."""
    names = {
        "public/py-pdf+sample-files/multicolumn.pdf": 3,
        "public/tabulapdf+tabula-java/eu-013.pdf": 12,
        "public/tabulapdf+tabula-java/us-018.pdf": 7,
        "public/tabulapdf+tabula-java/us-020.pdf": 6,
        "public/tabulapdf+tabula-java/eu-021.pdf": 9,
        "public/py-pdf+sample-files/pdflatex-4-pages.pdf": 4,
        "public/ocrmypdf+OCRmyPDF/cardinal.pdf": 4,
        "public/tabulapdf+tabula-java/eu-011.pdf": 4,
        "public/tabulapdf+tabula-java/schools.pdf": 5,
        "public/tabulapdf+tabula-java/us-002.pdf": 4,
        "public/tabulapdf+tabula-java/us-004.pdf": 2,
    }
    pages = _pages({name: range(1, count + 1) for name, count in names.items()})
    assert len(pages) == PAGES, len(pages)
    return pages


def sparse() -> list[tuple[Path, int]]:
    """13 pages with little on them, 0.7 to 4.5 s of CPU each and 28 in all: for benchmarks that must be short, and in
    which no page is so long that it decides when the last one ends."""
    return _pages(
        {
            "public/debian/xetex-examples.pdf": (1, 2, 3),
            "public/py-pdf+sample-files/pdflatex-outline.pdf": (1, 4),
            "public/py-pdf+sample-files/mistitled_outlines_example.pdf": (1, 4),
            "public/mozilla+pdf.js/sizes.pdf": (1, 2, 3),
            "public/pypdfium2-team+pypdfium2/multipage.pdf": (1, 2, 3),
        }
    )


def _pages(names: Mapping[str, Iterable[int]]) -> list[tuple[Path, int]]:
    """These pages of each file."""
    folder = documents()
    return [(folder / name, number) for name, numbers in names.items() for number in numbers]


@dataclass(frozen=True)
class _Round:
    """The pages once through the queue."""

    seconds: float
    """From submit to the last job closed."""
    rendering: float
    """CPU seconds of the render processes, which do all the reading."""
    worker: float
    """CPU seconds of the worker beside them: claims, results, the store."""
    order: list[tuple[Path, int]]
    """The pages as they were read, by their ends."""


@dataclass(frozen=True)
class Compared:
    """The same pages once on each side."""

    pages: int
    queue: float
    """Seconds from submit to the last job closed."""
    plain: float
    """Seconds of the plain loop."""
    plain_cpu: float
    """CPU seconds of its processes."""
    rendering: float
    """CPU seconds of the render processes, which do all the reading."""
    worker: float
    """CPU seconds of the worker beside them: claims, results, the store."""

    @property
    def ratio(self) -> float:
        return self.plain / self.queue


def compare(pages: list[tuple[Path, int]], text: TextSource, pairs: int) -> Iterator[Compared]:
    """So many times both sides, the plain loop first in every other pair."""
    with ExitStack() as stack:
        queue = _Queue(stack, text)
        plain = stack.enter_context(Readers(EngineSettings(), LimitSettings(), PageOptions(text=text)))
        order = queue.read(pages[-WARM:]).order
        plain.read(order)
        for number in range(pairs):
            if number % 2:
                loop, through = plain.read(order), queue.read(pages)
            else:
                through = queue.read(pages)
                order = through.order
                loop = plain.read(order)
            yield Compared(len(pages), through.seconds, loop.seconds, loop.cpu, through.rendering, through.worker)


def run(text: TextSource = "ocr", every: int = 1) -> str:
    """A table of both sides' pages/s by round, and the median ratio.

    `text`: the option of that name; `every`: one page in so many is read.
    """
    lines, ratios = ["pair    queue pages/s   plain pages/s   ratio   render processes busy   worker CPU ms/page"], []
    for number, both in enumerate(compare(subset()[::every], text, ROUNDS), 1):
        ratios.append(both.ratio)
        busy = both.rendering / both.queue / len(os.sched_getaffinity(0))
        speeds = f"{both.pages / both.queue:15.3f} {both.pages / both.plain:15.3f}"
        lines.append(f"{number:5} {speeds} {both.ratio:7.3f} {busy:23.0%} {both.worker / both.pages * 1000:20.1f}")
    lines.append(f"median ratio {sorted(ratios)[len(ratios) // 2]:.3f}")
    return "\n".join(lines)


class _Queue:
    def __init__(self, stack: ExitStack, text: TextSource) -> None:
        self._text = text
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        settings = {"PAGEMILL_ENGINE": "rapidocr", "PAGEMILL_TIME_FACTOR": "1"}
        url = f"sqlite:///{root / 'bench.db'}"
        self._installation = stack.enter_context(Installation(root, url, valkey.url, settings=settings))
        worker = self._installation.worker()
        stack.callback(worker.remove)
        worker.start()
        self._worker = psutil.Process(worker.pid)

    def read(self, pages: list[tuple[Path, int]]) -> _Round:
        numbers: dict[Path, list[int]] = {}
        for path, number in pages:
            numbers.setdefault(path, []).append(number)
        own, children = self._cpu()
        started = datetime.now(UTC)
        jobs = {
            self._installation.submit(
                path.read_bytes(), pages=",".join(map(str, chosen)), engine="rapidocr", text=self._text
            ): path
            for path, chosen in numbers.items()
        }
        seconds = (max(map(self._end, jobs)) - started).total_seconds()
        own_after, children_after = self._cpu()
        return _Round(seconds, children_after - children, own_after - own, self._order(jobs))

    def _end(self, job: str) -> datetime:
        """When it ended, as its row says: who looks takes time of the cores that the others need."""
        while (found := self._installation.job(job)).state not in FINAL:
            time.sleep(LOOK_EVERY)
        assert found.finished_at is not None
        return found.finished_at

    def _order(self, jobs: Mapping[str, Path]) -> list[tuple[Path, int]]:
        """Of the pages of these jobs, as they ended."""
        query = "SELECT d.job_id, p.number FROM page p JOIN document d ON d.id = p.document_id ORDER BY p.finished_at"
        with self._installation.db.read() as session:
            ended = [(str(job), int(number)) for job, number in session.connection().execute(sql(query))]
        return [(jobs[job], number) for job, number in ended if job in jobs]

    def _cpu(self) -> tuple[float, float]:
        """CPU seconds of the worker and of its living render processes."""
        own = self._worker.cpu_times()
        children = [child.cpu_times() for child in self._worker.children(recursive=True)]
        return own.user + own.system, float(sum(times.user + times.system for times in children))
