"""Tables that go on on the next page become one.

Source: PaddleX 3.7.2, `layout_parsing/merge_table.py`, which follows MinerU. We differ where that takes two contents
that are no tables for equal ones and empties the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workers.engines.paddleocr_vl.html_tables import Element, cells, column_count, read_html, rows

WIDTH_DIFFERENCE = 0.1
"""Of the narrower table: from here on two tables are not one."""
MOST_HEADER_ROWS = 5
_MAY_FOLLOW = frozenset({"footer", "vision_footnote", "number", "footnote", "footer_image", "seal"})
_MAY_PRECEDE = frozenset({"header", "header_image", "number", "seal"})
# Full-width forms of ASCII, which printed tables mix at will.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


@dataclass(frozen=True, slots=True)
class Table:
    """A table and where it stands."""

    page: int
    order: int
    width: int
    html: str


@dataclass(frozen=True, slots=True)
class PageTables:
    """What matters of a page: its last table if it may go on, its first if it may be a continuation."""

    first: Table | None
    last: Table | None


@dataclass(frozen=True, slots=True)
class Join:
    """What becomes of a table. `into`: page and order of the one that its rows moved to; `html` is then empty."""

    html: str
    into: tuple[int, int] | None = None


def page_tables(page: int, blocks: Sequence[tuple[str, Table | None]]) -> PageTables:
    """`blocks`: labels in reading order, with the table where the label is `table`."""
    places = [i for i, (_, table) in enumerate(blocks) if table is not None]
    if not places:
        return PageTables(None, None)
    before, after = blocks[: places[0]], blocks[places[-1] + 1 :]
    first = blocks[places[0]][1] if all(label in _MAY_PRECEDE for label, _ in before) else None
    last = blocks[places[-1]][1] if all(label in _MAY_FOLLOW for label, _ in after) else None
    return PageTables(first, last)


def join_tables(pages: Sequence[PageTables]) -> Mapping[tuple[int, int], Join]:
    """The tables that change, by page and order. Neighbours in `pages` are neighbouring pages."""
    joins: dict[tuple[int, int], Join] = {}
    for previous, current in reversed(list(zip(pages, pages[1:], strict=False))):
        upper, lower = previous.last, current.first
        if upper is None or lower is None:
            continue
        at = (lower.page, lower.order)
        rest = joins[at].html if at in joins else lower.html
        joined = _joined(upper, lower, rest)
        if joined is not None:
            joins[upper.page, upper.order] = Join(joined)
            joins[at] = Join("", (upper.page, upper.order))
    return {place: Join(join.html, _start(join.into, joins)) for place, join in joins.items()}


def _start(place: tuple[int, int] | None, joins: Mapping[tuple[int, int], Join]) -> tuple[int, int] | None:
    """Where the rows stand at last: a table may run over many pages."""
    while place is not None and (further := joins[place].into) is not None:
        place = further
    return place


def _joined(upper: Table, lower: Table, rest: str) -> str | None:
    """Both tables as one, without the header repeated; None where they are not one."""
    narrower = min(upper.width, lower.width)
    if narrower <= 0 or abs(upper.width - lower.width) / narrower >= WIDTH_DIFFERENCE:
        return None
    first, second = read_html(upper.html), read_html(rest)
    above, below = rows(first), rows(second)
    if not above or not below:
        return None
    header = _equal_rows(above, below)
    same_columns = column_count(first) == column_count(second)
    if not same_columns and not (len(below) > header and _fit(above[-1], below[header])):
        return None
    parent = above[-1].parent or first
    for row in below[header:]:
        parent.add(row)
    return first.html()


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
