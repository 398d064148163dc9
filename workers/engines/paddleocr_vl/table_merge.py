"""Tables that go on on the next page become one.

Source: PaddleX 3.7.2, `layout_parsing/merge_table.py`, which follows MinerU. We differ where that takes two contents
that are no tables for equal ones and empties the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from workers.engines.paddleocr_vl.html_tables import Element, cells, column_count, read_html, rows

WIDTH_DIFFERENCE = 0.1
"""Of the narrower table: from here on two tables are not one."""
MOST_HEADER_ROWS = 5
MOST_ROWS = 5000
"""Of one table; what goes on beyond is a table of its own. Ours: joining costs more, the longer a table is."""
_MAY_FOLLOW = frozenset({"footer", "vision_footnote", "number", "footnote", "footer_image", "seal"})
_MAY_PRECEDE = frozenset({"header", "header_image", "number", "seal"})
# Full-width forms of ASCII, which printed tables mix at will.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


Place = tuple[int, int]
"""Page number and order of a block."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table and where it stands. `width` in pixels."""

    page: int
    order: int
    width: int
    html: str

    @property
    def place(self) -> Place:
        return self.page, self.order


@dataclass(frozen=True, slots=True)
class PageTables:
    """What matters of a page: its last table if it may go on, its first if it may be a continuation."""

    first: Table | None
    last: Table | None


@dataclass(frozen=True, slots=True)
class Join:
    """What becomes of a table. `into`: the one that its rows moved to; `html` is then empty."""

    html: str
    into: Place | None = None


def page_tables(blocks: Sequence[tuple[str, Table | None]]) -> PageTables:
    """`blocks`: labels in reading order, with the table where the label is `table`."""
    places = [i for i, (_, table) in enumerate(blocks) if table is not None]
    if not places:
        return PageTables(None, None)
    before, after = blocks[: places[0]], blocks[places[-1] + 1 :]
    first = blocks[places[0]][1] if all(label in _MAY_PRECEDE for label, _ in before) else None
    last = blocks[places[-1]][1] if all(label in _MAY_FOLLOW for label, _ in after) else None
    return PageTables(first, last)


class TableChain:
    """Joins the tables of pages that come one after the other; of those it keeps only what may still go on."""

    def __init__(self) -> None:
        self._run: list[PageTables] = []
        self._number = 0
        self._joins: dict[Place, Join] = {}

    def add(self, number: int, tables: PageTables) -> None:
        """The next page. Where page numbers leave a gap, no table goes on."""
        if self._run and (number != self._number + 1 or not _may_be_one(self._run[-1].last, tables.first)):
            self._end_run()
        self._run.append(tables)
        self._number = number

    def joins(self) -> dict[Place, Join]:
        """The tables that change, by page and order, once all pages were added."""
        self._end_run()
        return self._joins

    def _end_run(self) -> None:
        self._joins |= join_tables(self._run)
        self._run = []


def join_tables(pages: Sequence[PageTables]) -> dict[Place, Join]:
    """The tables that change, by page and order. Neighbours in `pages` are neighbouring pages."""
    grown: dict[Place, _Read] = {}
    into: dict[Place, Place] = {}
    # From the end, as in PaddleX: whether two tables are one is asked of the second with all that follows it.
    for previous, current in reversed(list(pairwise(pages))):
        upper, lower = previous.last, current.first
        if upper is None or lower is None or not _may_be_one(upper, lower):
            continue
        table = _read(upper.html)
        if _grows(table, grown.get(lower.place) or _read(lower.html)):
            grown[upper.place] = table
            into[lower.place] = upper.place
    joins = {place: Join("", _start(place, into)) for place in into}
    return joins | {place: Join(table.root.html()) for place, table in grown.items() if place not in into}


def _start(place: Place, into: Mapping[Place, Place]) -> Place:
    """Where the rows stand at last: a table may run over many pages."""
    while place in into:
        place = into[place]
    return place


def _may_be_one(upper: Table | None, lower: Table | None) -> bool:
    """Whether the second, the first on its page, may go on with the first, the last on its page: by their widths."""
    if upper is None or lower is None:
        return False
    narrower = min(upper.width, lower.width)
    return narrower > 0 and abs(upper.width - lower.width) / narrower < WIDTH_DIFFERENCE


@dataclass(slots=True)
class _Read:
    """A table's HTML, read; it grows."""

    root: Element
    rows: list[Element]
    columns: int
    simple: bool
    """No cell stands in several rows, so that columns can be told without counting all cells again."""


def _read(html: str) -> _Read:
    root = read_html(html)
    found = rows(root)
    simple = all(cell.span("rowspan") == 1 for row in found for cell in cells(row))
    return _Read(root, found, column_count(root), simple)


def _grows(first: _Read, second: _Read) -> bool:
    """The rows of the second move to the end of the first, without the header repeated, where both are one table."""
    if not first.rows or not second.rows or len(first.rows) + len(second.rows) > MOST_ROWS:
        return False
    header = _equal_rows(first.rows, second.rows)
    following = second.rows[header:]
    if first.columns != second.columns and not (following and _fit(first.rows[-1], following[0])):
        return False
    (first.rows[-1].parent or first.root).take(following)
    first.rows += following
    first.simple = first.simple and second.simple
    # The header that went is one that the first has too.
    first.columns = max(first.columns, second.columns) if first.simple else column_count(first.root)
    return True


def _equal_rows(above: Sequence[Element], below: Sequence[Element]) -> int:
    """How many rows at the top are the same in both, five at most."""
    count = 0
    for one, other in list(zip(above, below, strict=False))[:MOST_HEADER_ROWS]:
        if _signature(one) != _signature(other):
            break
        count += 1
    return count


def _signature(row: Element) -> list[tuple[str, int]]:
    return [("".join(cell.text().translate(_HALF_WIDTH).split()), cell.span("colspan")) for cell in cells(row)]


def _fit(last: Element, following: Element) -> bool:
    """As many columns, or as many cells."""
    upper, lower = cells(last), cells(following)
    columns = [sum(cell.span("colspan") for cell in row) for row in (upper, lower)]
    return columns[0] == columns[1] or len(upper) == len(lower)
