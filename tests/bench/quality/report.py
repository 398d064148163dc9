"""The tables of docs/quality.md and docs/quality-pages.md."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from jobs.scoring.score import total
from tests.bench.quality.readers import readers, tesseract_version
from tests.bench.quality.reading import Measured

DOCS = Path(__file__).resolve().parents[3] / "docs"
BEGIN, END = "<!-- figures of `make quality` -->\n", "<!-- end of figures -->\n"
PAGES_HEAD = """# Every page that was measured

Written by `make quality`; [quality.md](quality.md) says how and what for.

"""
LAYER_GOAL = 0.005
Row = Sequence[str]
TEXT_HEADS = ("pages", "number", "read by", "CER", "of the median page", "CER, sorted", "recall", "words", "order")


def figures(measured: Sequence[Measured], available: int) -> str:
    """Markdown of the sums. `available`: how many pages with ground truth there are."""
    parts = [_of_what(measured, available), "### Text\n", _text(measured)]
    if any(m.layer_alone for m in measured):
        parts += ["### Pages read by their text layer alone\n", _layers(measured)]
    if any(m.score.tables for m in measured):
        parts += ["### Tables\n", _tables(measured)]
    errors = sorted({f"- {m.sample.name}, {titles()[m.reader]}: {m.error}" for m in measured if m.error})
    if errors:
        parts += ["### Pages that a reader refused (counted as nothing read)\n", "\n".join(errors) + "\n"]
    return "\n".join(parts)


def pages(measured: Sequence[Measured]) -> str:
    """Markdown with a row for every page, the worst of each group first."""
    parts = []
    for group, some in _by_group(measured).items():
        names = [name for name in titles() if any(m.reader == name for m in some)]
        parts += [f"## {group}\n", _markdown(["page", "characters", *_page_heads(names)], _page_rows(some, names))]
    return "\n".join(parts)


def write(measured: Sequence[Measured], available: int) -> None:
    """Put the sums between the marks of docs/quality.md, and all pages into docs/quality-pages.md."""
    path = DOCS / "quality.md"
    before, _, rest = path.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(before + BEGIN + "\n" + figures(measured, available) + "\n" + END + after, "utf-8")
    head = (
        "# Every page that was measured\n\nWritten by `make quality`; [quality.md](quality.md) says what was done.\n\n"
    )
    (DOCS / "quality-pages.md").write_text(head + pages(measured), "utf-8")


def titles() -> dict[str, str]:
    """Of the readers, by name."""
    return {reader.name: reader.title for reader in readers()}


def _of_what(measured: Sequence[Measured], available: int) -> str:
    read = len({m.sample.name for m in measured})
    code = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=DOCS)
    read_by = [f"pagemill {code.stdout.strip() or 'of no checkout'}", f"RapidOCR {version('rapidocr')}"]
    if any(m.reader == "tesseract" for m in measured):
        read_by.append(f"Tesseract {tesseract_version()}")
    return f"{read} of {available} pages with ground truth; {', '.join(read_by)}.\n"


def _text(measured: Sequence[Measured]) -> str:
    rows = []
    for group, some in _by_group(measured).items():
        for name, title in titles().items():
            own = [m for m in some if m.reader == name]
            if own:
                rows.append([group, str(len(own)), title, *_text_cells(own)])
    return _markdown(TEXT_HEADS, rows)


def _text_cells(measured: Sequence[Measured]) -> Row:
    whole = total(m.score for m in measured)
    sorted_ = total(m.regrouped for m in measured)
    rates = [m.score.cer for m in measured if m.score.cer is not None]
    middle = median(rates) if rates else None
    return [_percent(rate) for rate in (whole.cer, middle, sorted_.cer, whole.recall, whole.word_recall, whole.order)]


def _layers(measured: Sequence[Measured]) -> str:
    """All, and those whose truth has the same order: there nothing but lost or wrong letters counts."""
    alone = [m for m in measured if m.layer_alone]
    same = [m for m in alone if m.score.order == 1 and m.regrouped.cer is not None and m.score.cer is not None]
    rows = []
    for title, some in (("all", alone), ("those in the truth's order", same)):
        rates = [m.score.cer for m in some if m.score.cer is not None]
        good = sum(rate < LAYER_GOAL for rate in rates)
        rows.append([title, str(len(some)), *_text_cells(some)[:2], _text_cells(some)[3], f"{good} of {len(rates)}"])
    return _markdown(
        ["pages", "number", "CER", "of the median page", "recall", f"pages under {_percent(LAYER_GOAL)}"], rows
    )


def _tables(measured: Sequence[Measured]) -> str:
    rows = []
    for group, some in _by_group(m for m in measured if m.score.tables).items():
        for name, title in titles().items():
            whole = total(m.score for m in some if m.reader == name)
            if whole.tables_read:
                cells = (
                    str(whole.tables),
                    title,
                    str(whole.tables_read),
                    _rate(whole.teds),
                    _rate(whole.teds_structure),
                )
                rows.append([group, *cells])
    return _markdown(["pages", "tables", "read by", "read as tables", "TEDS", "TEDS, structure alone"], rows)


def _page_heads(names: Iterable[str]) -> list[str]:
    return [f"{what}, {titles()[name]}" for name in names for what in ("CER", "sorted", "order")]


def _page_rows(measured: Sequence[Measured], names: Sequence[str]) -> list[Row]:
    by_page: defaultdict[str, dict[str, Measured]] = defaultdict(dict)
    for m in measured:
        by_page[m.sample.name][m.reader] = m
    rows = []
    for page, readings in sorted(by_page.items(), key=_worst_first):
        own = [readings[name] for name in names]
        rates = [rate for m in own for rate in (m.score.cer, m.regrouped.cer, m.score.order)]
        rows.append([page, str(own[0].score.characters), *map(_percent, rates)])
    return rows


def _worst_first(page: tuple[str, dict[str, Measured]]) -> float:
    return -max(m.score.cer or 0.0 for name, m in page[1].items() if name.startswith("pagemill"))


def _by_group(measured: Iterable[Measured]) -> dict[str, list[Measured]]:
    found: defaultdict[str, list[Measured]] = defaultdict(list)
    for m in measured:
        found[m.sample.group].append(m)
    return dict(sorted(found.items()))


def _markdown(heads: Sequence[str], rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines) + "\n"


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.2f} %"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
