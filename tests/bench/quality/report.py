"""The tables of docs/quality.md and docs/quality-pages.md."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from jobs.scoring.score import Score, total
from tests.bench.quality.readers import readers, tesseract_version
from tests.bench.quality.reading import Measured

DOCS = Path(__file__).resolve().parents[3] / "docs"
BEGIN, END = "<!-- figures of `make quality` -->\n", "<!-- end of figures -->\n"
PAGES_HEAD = """# Every page that was measured

Written by `make quality`; [quality.md](quality.md) says how and what for.

"""
Row = Sequence[str]


def figures(measured: Sequence[Measured], available: int) -> str:
    """Markdown of the sums. `available`: how many pages with ground truth there are."""
    parts = [_of_what(measured, available), "### Text\n", _text(measured)]
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
            scores = [m.score for m in some if m.reader == name]
            if scores:
                rows.append([group, str(len(scores)), title, *_text_cells(scores)])
    return _markdown(["pages", "number", "read by", "CER", "median CER", "recall", "words", "order"], rows)


def _text_cells(scores: Sequence[Score]) -> Row:
    whole = total(scores)
    rates = [score.cer for score in scores if score.cer is not None]
    middle = median(rates) if rates else None
    return [_percent(rate) for rate in (whole.cer, middle, whole.recall, whole.word_recall, whole.order)]


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
    return [f"{what}, {titles()[name]}" for name in names for what in ("CER", "order")]


def _page_rows(measured: Sequence[Measured], names: Sequence[str]) -> list[Row]:
    by_page: defaultdict[str, dict[str, Score]] = defaultdict(dict)
    for m in measured:
        by_page[m.sample.name][m.reader] = m.score
    rows = []
    for page, scores in sorted(by_page.items(), key=_worst_first):
        cells = [_percent(rate) for name in names if name in scores for rate in (scores[name].cer, scores[name].order)]
        rows.append([page, str(next(iter(scores.values())).characters), *cells])
    return rows


def _worst_first(page: tuple[str, dict[str, Score]]) -> float:
    return -max(score.cer or 0.0 for name, score in page[1].items() if name.startswith("pagemill"))


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
