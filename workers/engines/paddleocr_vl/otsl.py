"""OTSL, the model's language for tables -> HTML.

Six tags: `<fcel>` a cell with text, `<ecel>` an empty one, `<lcel>` belongs to the cell at its left, `<ucel>` to the
one above, `<xcel>` to both, `<nl>` ends a row. Source of what happens to ragged tables: PaddleX 3.7.2,
`paddleocr_vl/uilts.py` (`convert_otsl_to_html`). We differ where that shows tags as text (`<fcel>` without text),
raises (IndexError) or makes cells overlap; docs/paddleocr-vl.md lists the cases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

FULL, EMPTY, LEFT, UP, CROSS, NEW_LINE = "<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"
_TAG = "(?:<fcel>|<ecel>|<lcel>|<ucel>|<xcel>)"
_CELL = re.compile(rf"({_TAG})(.*?)(?={_TAG}|\Z)", re.S)
_RIGHTWARD = frozenset({LEFT, CROSS})
_DOWNWARD = frozenset({UP, CROSS})
_SPANS = frozenset({LEFT, UP, CROSS})
MAX_CELLS = 100_000
"""Rows times columns beyond which a table is not filled up: it stays the raw text."""


@dataclass(frozen=True, slots=True)
class _Cell:
    tag: str
    text: str = ""


def otsl_to_html(otsl: str) -> str:
    """The table as HTML, rectangular, or "" where there is no cell in it (the caller keeps the raw text)."""
    rows = [row for line in otsl.strip().split(NEW_LINE) if (row := _cells(line))]
    if not rows:
        return ""
    width = _width(rows)
    if width * len(rows) > MAX_CELLS:
        return ""
    grid = [row[:width] + [_Cell(EMPTY)] * (width - len(row)) for row in rows]
    if all(cell.tag in _SPANS for row in grid for cell in row):
        return ""
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in _html_rows(grid)) + "</table>"


def _cells(line: str) -> list[_Cell]:
    """Text before the first tag and after tags of empty or spanned cells is no cell's text."""
    return [_Cell(tag, text.strip() if tag == FULL else "") for tag, text in _CELL.findall(line)]


def _width(rows: list[list[_Cell]]) -> int:
    """Columns: no cell with text is cut, and as few tags as possible are added and removed; the first such width.

    The sum of distances to all lengths is least at their median, and grows from there.
    """
    least = max(i + 1 for row in rows for i, cell in enumerate(row) if cell.tag == FULL or i == 0)
    lengths = sorted(len(row) for row in rows)
    return max(least, lengths[(len(lengths) - 1) // 2])


def _html_rows(grid: list[list[_Cell]]) -> list[str]:
    taken = [[False] * len(grid[0]) for _ in grid]
    html = []
    for top, row in enumerate(grid):
        cells = []
        for left, cell in enumerate(row):
            if taken[top][left]:
                continue
            down, across = _spans(grid, taken, top, left)
            for r in range(top, top + down):
                taken[r][left : left + across] = [True] * across
            cells.append(_html_cell(cell.text, down, across))
        html.append("".join(cells))
    return html


def _spans(grid: list[list[_Cell]], taken: list[list[bool]], top: int, left: int) -> tuple[int, int]:
    """Rows and columns of the cell at this place. A span tag that no cell claims is an empty cell of its own."""
    if grid[top][left].tag in _SPANS:
        return 1, 1
    across = 1
    while left + across < len(grid[0]) and grid[top][left + across].tag in _RIGHTWARD and not taken[top][left + across]:
        across += 1
    down = 1
    while top + down < len(grid) and grid[top + down][left].tag in _DOWNWARD:
        if not _free(grid, taken, top + down, left, across):
            break
        down += 1
    return down, across


def _free(grid: list[list[_Cell]], taken: list[list[bool]], row: int, left: int, across: int) -> bool:
    """Whether a span may reach into this row: only over span tags that belong to nobody."""
    columns = range(left, left + across)
    return all(grid[row][column].tag in _SPANS and not taken[row][column] for column in columns)


def _html_cell(text: str, down: int, across: int) -> str:
    rows = f' rowspan="{down}"' if down > 1 else ""
    columns = f' colspan="{across}"' if across > 1 else ""
    return f"<td{rows}{columns}>{escape(text)}</td>"
