"""RapidOCR through the whole queue ÷ a plain loop over the same pages with the same processes and threads.

Both sides use one render process per core with the same page half; the plain loop is nothing but that: a process per
core that renders and reads its share. Rounds alternate, so that a machine whose speed drifts treats both alike.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from jobs.models import FINAL
from jobs.settings import EngineSettings, LimitSettings
from tests.bench.plain_loop import read_all
from tests.installation import Installation
from tests.services import Valkey
from tests.testdata import TESTDATA

ROUNDS = 2
PAGES = 60


def subset() -> list[tuple[Path, int]]:
    """60 pages of public documents: (file, page number), always the same."""
    assert TESTDATA is not None, "the subset is read from ../shared/testdata"
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
    pages = [(TESTDATA / name, number) for name, count in names.items() for number in range(1, count + 1)]
    assert len(pages) == PAGES, len(pages)
    return pages


def run() -> str:
    """A table of both sides' pages/s by round, and the median ratio."""
    pages = subset()
    lines, ratios = ["round   queue pages/s   plain pages/s   ratio"], []
    with ExitStack() as stack:
        queue = _Queue(stack)
        for number in range(1, ROUNDS + 1):
            through = len(pages) / queue.read(pages)
            plain = len(pages) / read_all(pages, EngineSettings(), LimitSettings())
            ratios.append(through / plain)
            lines.append(f"{number:5} {through:15.3f} {plain:15.3f} {ratios[-1]:7.3f}")
    lines.append(f"median ratio {sorted(ratios)[len(ratios) // 2]:.3f}")
    return "\n".join(lines)


class _Queue:
    def __init__(self, stack: ExitStack) -> None:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        settings = {"PAGEMILL_ENGINE": "rapidocr", "PAGEMILL_TIME_FACTOR": "1"}
        url = f"sqlite:///{root / 'bench.db'}"
        self._installation = stack.enter_context(Installation(root, url, valkey.url, settings=settings))
        worker = self._installation.worker()
        stack.callback(worker.remove)
        worker.start()
        self.read(subset()[:2])  # warm

    def read(self, pages: list[tuple[Path, int]]) -> float:
        """Seconds from submit to the last job closed."""
        numbers: dict[Path, list[int]] = {}
        for path, number in pages:
            numbers.setdefault(path, []).append(number)
        started = time.perf_counter()
        jobs = [
            self._installation.submit(path.read_bytes(), pages=",".join(map(str, chosen)), engine="rapidocr")
            for path, chosen in numbers.items()
        ]
        for job in jobs:
            while self._installation.job(job).state not in FINAL:
                time.sleep(0.1)
        return time.perf_counter() - started
