"""HTML tables as trees, and how alike two are: TEDS.

X. Zhong, E. ShafieiBavani, A. Jimeno Yepes, Image-based table recognition: data, model, and evaluation, ECCV 2020:

    TEDS(a, b) = 1 - distance(a, b) / max(|a|, |b|)

over trees table → row → cell. To insert or delete a node costs 1; cells of different spans cost 1, others the edit
distance of their texts divided by the longer one's length. As usual since (ICDAR 2021, OmniDocBench), what only looks
different is left out: thead, tbody and tfoot are no nodes, th is td, tags inside a cell are not compared, and the texts
are normalized as everywhere here. `structure=True` leaves the texts out (TEDS-Struct).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from rapidfuzz.distance import Levenshtein

from jobs.scoring.characters import shared
from jobs.scoring.normalization import normalized, words
from jobs.scoring.trees import Tree, tree_distance

MOST_PAIRS = 4_000_000
"""Cells of one table times cells of the other up to which TEDS is computed: about half a minute."""
_LARGEST_SPAN = 1000
"""As in the HTML standard."""


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    """Normalized."""
    colspan: int = 1
    rowspan: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def cells(self) -> int:
        return sum(map(len, self.rows))

    @property
    def nodes(self) -> int:
        """Of the tree: the table, its rows, their cells."""
        return 1 + len(self.rows) + self.cells

    @property
    def text(self) -> str:
        return "\n".join(" ".join(cell.text for cell in row) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Teds:
    """Similarity of one table of the truth to what was read: 0 where nothing was."""

    score: float
    structure: float


def teds(truth: Table, read: Table, *, structure: bool = False) -> float:
    """Between 0 and 1, 1 for equal tables. Raises ValueError above MOST_PAIRS."""
    pairs = truth.cells * read.cells
    if pairs > MOST_PAIRS:
        raise ValueError(f"{truth.cells} and {read.cells} cells are too many to compare, limit {MOST_PAIRS} pairs")
    replace = _replace_shape if structure else _replace
    distance = tree_distance(_tree(truth), _tree(read), replace)
    return 1.0 - distance / max(truth.nodes, read.nodes)


def compare(truth: Sequence[Table], read: Sequence[Table]) -> list[Teds | None]:
    """For each table of the truth its likeness to the table read for it; None where both are too large.

    Tables belong together by their words, the most alike first; one that finds no partner scores 0.
    """
    partners = _partners([words(t.text) for t in truth], [words(r.text) for r in read])
    return [_teds(table, read[partners[i]]) if i in partners else Teds(0.0, 0.0) for i, table in enumerate(truth)]


def _teds(truth: Table, read: Table) -> Teds | None:
    if truth.cells * read.cells > MOST_PAIRS:
        return None
    return Teds(teds(truth, read), teds(truth, read, structure=True))


def _partners(truth: Sequence[list[str]], read: Sequence[list[str]]) -> dict[int, int]:
    """Places in `read` by places in `truth`."""
    likeness = [
        (2 * shared(t, r) / (len(t) + len(r)) if t or r else 1.0, -abs(i - j), i, j)
        for i, t in enumerate(truth)
        for j, r in enumerate(read)
    ]
    taken: dict[int, int] = {}
    for _, _, i, j in sorted(likeness, reverse=True):
        if i not in taken and j not in taken.values():
            taken[i] = j
    return taken


def _tree(table: Table) -> Tree[Cell | str]:
    rows: list[Tree[Cell | str]] = [Tree("tr", tuple(Tree(cell) for cell in row)) for row in table.rows]
    return Tree("table", tuple(rows))


def _replace_shape(a: Cell | str, b: Cell | str) -> float:
    if isinstance(a, Cell) and isinstance(b, Cell):
        return float((a.colspan, a.rowspan) != (b.colspan, b.rowspan))
    return float(a != b)


def _replace(a: Cell | str, b: Cell | str) -> float:
    cost = _replace_shape(a, b) if isinstance(a, Cell) else float(a != b)
    if cost == 0.0 and isinstance(a, Cell) and isinstance(b, Cell):
        return Levenshtein.normalized_distance(a.text, b.text)
    return cost


def parse_tables(html: str) -> list[Table]:
    """Every outermost table of an HTML text; a table inside a cell counts as the cell's text."""
    parser = _TableParser()
    parser.feed(html)
    parser.close()
    return parser.finish()


class _TableParser(HTMLParser):
    """Rows and cells of tables; end tags may be missing as HTML allows."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._tables: list[Table] = []
        self._depth = 0
        self._rows: list[list[Cell]] = []
        self._spans: tuple[int, int] | None = None
        """Of the open cell; None outside of cells."""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
        elif self._depth == 1 and tag == "tr":
            self._end_cell()
            self._rows.append([])
        elif self._depth == 1 and tag in ("td", "th"):
            self._end_cell()
            given = dict(attrs)
            self._spans = _span(given.get("colspan")), _span(given.get("rowspan"))
        elif tag in ("br", "p", "div", "li", "td", "th", "tr"):
            self._text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self._depth:
            if self._depth == 1:
                self._end_table()
            self._depth -= 1
        elif self._depth == 1 and tag in ("td", "th", "tr", "thead", "tbody", "tfoot"):
            self._end_cell()

    def handle_data(self, data: str) -> None:
        if self._spans is not None:
            self._text.append(data)

    def finish(self) -> list[Table]:
        if self._depth:
            self._end_table()
        return self._tables

    def _end_cell(self) -> None:
        if self._spans is not None:
            if not self._rows:
                self._rows.append([])
            self._rows[-1].append(Cell(normalized("".join(self._text)), *self._spans))
        self._spans = None
        self._text.clear()

    def _end_table(self) -> None:
        self._end_cell()
        self._tables.append(Table(tuple(map(tuple, self._rows))))
        self._rows = []


def _span(value: str | None) -> int:
    digits = (value or "").strip()
    return min(max(int(digits[:6]), 1), _LARGEST_SPAN) if digits.isascii() and digits.isdigit() else 1
