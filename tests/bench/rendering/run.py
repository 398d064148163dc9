"""B5: rounds, rows, tables."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench import needs
from tests.bench.environments import REQUIREMENTS, environment
from tests.bench.plot import bars
from tests.bench.rendering import others
from tests.bench.rendering.halves import PDFIUM
from tests.bench.rendering.others import Drawn
from tests.bench.rendering.ours import ONLY_PIXELS, RESIDENT, TEXT, WHOLE_PAGE, Pool, Read, Work
from tests.bench.rendering.samples import BORN_DIGITAL, SCANS, Sample, page_count
from tests.bench.report import Scale, Section, Spread, table

DPIS = (144, 200)
STEPS_DPI = 144
OTHERS = ("pdftoppm", "PyMuPDF")
PLOT = "b5-ratio.svg"
SETS: Mapping[str, tuple[Sample, ...]] = {"born-digital": BORN_DIGITAL, "scans": SCANS}


@dataclass(slots=True)
class Row:
    """All rounds of one set at one resolution: pages/s on one core, CPU ms a page."""

    speeds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    busy: list[float] = field(default_factory=list)
    """Share of the time that both render processes were at work."""

    def take(self, side: str, pages: int, seconds: float, cpu: float) -> None:
        self.speeds[side].append(pages / seconds)
        self.cpu[side].append(1000 * cpu / pages)

    def ratio(self, side: str, other: str) -> Spread:
        return Spread(tuple(a / b for a, b in zip(self.speeds[side], self.speeds[other], strict=True)))


def run(scale: Scale) -> Section:
    """Against pdftoppm and PyMuPDF, and by step.

    Raises NotMeasured where there is nothing to read or to compare with.
    """
    needs.documents()
    needs.programs("poppler-utils", "pdftoppm")
    environment("pymupdf")
    dpis = DPIS[: scale.of(len(DPIS), 1)]
    against = _against(scale, dpis)
    engine = {work.name: _engine(work, scale) for work in (WHOLE_PAGE, RESIDENT, TEXT)}
    text = [_head(scale), _speeds(against), shown(), _costs(against), _words(), *_engines(engine)]
    return Section("\n\n".join(text), plots(against))


@contextmanager
def _one_core() -> Iterator[None]:
    """This process and all that it starts share one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _against(scale: Scale, dpis: Sequence[int]) -> dict[tuple[str, int], Row]:
    rows: dict[tuple[str, int], Row] = defaultdict(Row)
    for _ in range(scale.rounds):
        for name, samples in SETS.items():
            for dpi in dpis:
                _round(rows[name, dpi], samples, dpi)
    return rows


def _round(row: Row, samples: Sequence[Sample], dpi: int) -> None:
    with _one_core():
        with Pool(ONLY_PIXELS, 1) as pool:
            _take(row, "pagemill", pool.read(samples, dpi))
        _take(row, "pdftoppm", others.pdftoppm(samples, dpi))
        _take(row, "PyMuPDF", others.pymupdf(samples, dpi))
    with Pool(ONLY_PIXELS, 2) as pool:
        two = pool.read(samples, dpi)
        _take(row, "two", two)
        row.busy.append(two.child / two.seconds / 2)


def _take(row: Row, side: str, taken: Read | Drawn) -> None:
    row.take(side, taken.pages, taken.seconds, taken.cpu)


def _engine(work: Work, scale: Scale) -> dict[str, list[Read]]:
    """Rounds of each set, one process on one core, at STEPS_DPI."""
    found: dict[str, list[Read]] = {name: [] for name in SETS}
    for _ in range(scale.rounds):
        for name, samples in SETS.items():
            with _one_core(), Pool(work, 1) as pool:
                found[name].append(pool.read(samples, STEPS_DPI))
    return found


def _head(scale: Scale) -> str:
    pinned = (REQUIREMENTS / "pymupdf.txt").read_text().strip().replace("==", " ")
    return (
        f"{page_count(BORN_DIGITAL)} born-digital pages of {len(BORN_DIGITAL)} PDFs, {page_count(SCANS)} scanned ones"
        f" of {len(SCANS)} (tests/bench/rendering/samples.py), from the file to RGB pixels in memory; {scale.rounds}"
        " rounds, sides in turn. pagemill: a `RenderPool` with a real render process, the worker on the same"
        f" core. pdftoppm {others.pdftoppm_version()}: `-r`, PPM through a pipe, one process a file with its start."
        f" {pinned}: `get_pixmap`, no start. Ratios are of pages/s, round by round; the last columns have"
        " two render processes on both cores, and the share of the time that those were at work."
    )


def _speeds(rows: Mapping[tuple[str, int], Row]) -> str:
    head = (
        "pages, dpi",
        "pagemill, pages/s per core",
        "÷ pdftoppm",
        "÷ PyMuPDF",
        "two, pages/s per core",
        "both busy",
    )
    return table(
        head,
        [
            (
                f"{name}, {dpi}",
                f"{Spread(tuple(row.speeds['pagemill'])):.1f}",
                f"{row.ratio('pagemill', 'pdftoppm'):.2f}",
                f"{row.ratio('pagemill', 'PyMuPDF'):.2f}",
                f"{Spread(tuple(speed / 2 for speed in row.speeds['two'])):.1f}",
                f"{Spread(tuple(row.busy)):.0%}",
            )
            for (name, dpi), row in rows.items()
        ],
    )


def plots(rows: Mapping[tuple[str, int], Row]) -> dict[str, str]:
    """The ratios of pages/s, by file."""
    ratios = [
        (f"{name}, {dpi} dpi ÷ {other}", row.ratio("pagemill", other))
        for other in OTHERS
        for (name, dpi), row in rows.items()
    ]
    return {PLOT: bars("pages/s of one core, pagemill ÷ another renderer", ratios, 1, said="the same:", spec=".2f")}


def shown() -> str:
    return f"![Pages/s of one core, pagemill ÷ another renderer](bench/{PLOT})"


def _costs(rows: Mapping[tuple[str, int], Row]) -> str:
    sides = ("pagemill", *OTHERS)
    return table(
        ("CPU ms a page", *sides),
        [
            (f"{name}, {dpi}", *(f"{Spread(tuple(row.cpu[side])):.1f}" for side in sides))
            for (name, dpi), row in rows.items()
        ],
    )


def _words() -> str:
    return (
        f"What engines ask for beyond pixels, at {STEPS_DPI} dpi: CPU ms a page by step (medians), one render process"
        " and the worker's process on one core. PaddleOCR-VL asks for whole pages or goes by the layout; RapidOCR reads"
        " the text layer."
    )


def _engines(engine: Mapping[str, Mapping[str, list[Read]]]) -> list[str]:
    readings = {(work, name): reads for work, found in engine.items() for name, reads in found.items()}
    steps = list(dict.fromkeys(step for reads in readings.values() for read in reads for step in read.steps))
    rows: list[Sequence[object]] = [
        (step, *(f"{_per_page(reads, step):.2f}" for reads in readings.values())) for step in steps
    ]
    rows += [
        ("render process, not in a step", *(f"{_rest(reads):.2f}" for reads in readings.values())),
        ("worker's process: pool, loop, unpickling", *(f"{_parent(reads):.2f}" for reads in readings.values())),
        ("all", *(f"{_all(reads):.1f}" for reads in readings.values())),
        ("neither pdfium's parsing nor its drawing", *(f"{_not_pdfium(reads):.0%}" for reads in readings.values())),
    ]
    return [table(("step", *(f"{work}: {name}" for work, name in readings)), rows)]


def _of(reads: Sequence[Read], figure: Callable[[Read], float]) -> Spread:
    return Spread(tuple(figure(read) for read in reads))


def _per_page(reads: Sequence[Read], step: str) -> float:
    return _of(reads, lambda read: 1000 * read.steps.get(step, 0.0) / read.pages).median


def _rest(reads: Sequence[Read]) -> float:
    return _of(reads, lambda read: 1000 * (read.child - sum(read.steps.values())) / read.pages).median


def _parent(reads: Sequence[Read]) -> float:
    return _of(reads, lambda read: 1000 * read.parent / read.pages).median


def _all(reads: Sequence[Read]) -> Spread:
    return _of(reads, lambda read: 1000 * read.cpu / read.pages)


def _not_pdfium(reads: Sequence[Read]) -> float:
    return _of(reads, lambda read: 1 - sum(read.steps.get(step, 0.0) for step in PDFIUM) / read.cpu).median
