"""A table's cells as the structure model tells them, and the page's lines put into them. Pure.

The model's words are those of HTML (`<tr>`, `<td`, ` colspan="2"`, `<td></td>`); every cell comes with a box.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

from workers.engines.rapidocr.geometry import Box, Line
from workers.engines.rapidocr.paragraphs import join_pieces, join_rows, rows

# A table is taken as the model tells it where it is that sure of every word, and where at least this part of the text
# lies in its cells: large tables end before their last row.
SURE = 0.9
HELD = 0.9
# A piece of a line is in a cell that holds this part of it; cells are tight around their text.
INSIDE = 0.3
# In heights of a line: how far from its cell a line may lie.
NEAR = 1.0
_SPAN = re.compile(r'(colspan|rowspan)="(\d{1,3})"')


@dataclass(frozen=True, slots=True)
class Cell:
    box: Box
    row: int
    column: int
    rowspan: int = 1
    colspan: int = 1
    head: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table without its text."""

    cells: tuple[Cell, ...]
    sureness: float
    """0 to 1: the mean probability of the model's words."""

    @property
    def is_whole(self) -> bool:
        """Every place is in exactly one cell, and there are two rows and two columns at least."""
        places = [
            (row, column)
            for cell in self.cells
            for row in range(cell.row, cell.row + cell.rowspan)
            for column in range(cell.column, cell.column + cell.colspan)
        ]
        high, wide = max((r for r, _ in places), default=0) + 1, max((c for _, c in places), default=0) + 1
        return min(high, wide) > 1 and len(places) == len(set(places)) == high * wide


def grid_of(words: Iterable[str], boxes: Sequence[Box], sureness: float) -> Grid:
    """The model's words as a grid; `boxes`: one for each word that begins a cell."""
    cells: list[Cell] = []
    taken: set[tuple[int, int]] = set()
    row, column, head = -1, 0, False
    spans: dict[str, int] = {}
    for word in words:
        if word in ("<thead>", "</thead>"):
            head = word == "<thead>"
        elif word == "<tr>":
            row, column = row + 1, 0
        elif word == "<td":
            spans = {}
        elif word in (">", "<td></td>", "<td>"):
            while (row, column) in taken:
                column += 1
            own = {} if word == "<td></td>" else spans
            cell = Cell(
                boxes[min(len(cells), len(boxes) - 1)],
                max(row, 0),
                column,
                own.get("rowspan", 1),
                own.get("colspan", 1),
                head,
            )
            cells.append(cell)
            taken.update((r, c) for r in range(row, row + cell.rowspan) for c in range(column, column + cell.colspan))
        elif found := _SPAN.search(word):
            spans[found[1]] = max(1, int(found[2]))
    return Grid(tuple(cells), sureness)


def filled(grid: Grid, lines: Sequence[Line]) -> str | None:
    """The grid's HTML with the lines in its cells; None where it does not fit them."""
    if grid.sureness < SURE or not grid.is_whole or not lines:
        return None
    held: list[list[Line]] = [[] for _ in grid.cells]
    lost = letters = 0
    for line in lines:
        for piece in _pieces(line, grid.cells):
            place = _place(piece.box, grid.cells)
            letters += len(piece.text)
            if place is None:
                lost += len(piece.text)
            else:
                held[place].append(piece)
    if lost:
        return None if lost > (1 - HELD) * letters else _with_lost(grid, lines)
    return _html(grid, held)


def _with_lost(grid: Grid, lines: Sequence[Line]) -> str:
    """Text that lies in no cell goes to the nearest."""
    held: list[list[Line]] = [[] for _ in grid.cells]
    for line in lines:
        for piece in _pieces(line, grid.cells):
            place = _place(piece.box, grid.cells)
            held[_nearest(piece.box, grid.cells) if place is None else place].append(piece)
    return _html(grid, held)


def _pieces(line: Line, cells: Sequence[Cell]) -> list[Line]:
    """The line, or its words where it runs across several cells of a row, each as wide as its letters are many."""
    words = line.text.split()
    crossed = [cell.box for cell in cells if _crosses(line.box, cell.box)]
    if len(words) < 2 or len({round(box.x0) for box in crossed}) < 2:
        return [line]
    step = line.box.width / max(1, len(line.text))
    pieces: list[Line] = []
    at = 0
    for word in words:
        at = line.text.index(word, at)
        box = line.box._replace(x0=line.box.x0 + at * step, x1=line.box.x0 + (at + len(word)) * step)
        pieces.append(Line(box, word, line.score))
        at += len(word)
    return pieces


def _crosses(line: Box, cell: Box) -> bool:
    return line.shared_y(cell) >= 0.5 * min(line.height, cell.height) and line.shared_x(cell) > 0.5 * line.height


def _place(box: Box, cells: Sequence[Cell]) -> int | None:
    """The cell that holds most of it, else the nearest if it is near; None for neither."""
    best = max(range(len(cells)), key=lambda i: (box.inside(cells[i].box), -i))
    if box.inside(cells[best].box) >= INSIDE:
        return best
    best = _nearest(box, cells)
    return best if _distance(box, cells[best].box) <= NEAR * box.height else None


def _nearest(box: Box, cells: Sequence[Cell]) -> int:
    return min(range(len(cells)), key=lambda i: (_distance(box, cells[i].box), _middles(box, cells[i].box), i))


def _distance(one: Box, other: Box) -> float:
    """Pixels between the boxes, 0 where they touch; aside counts as much as above."""
    return max(0.0, other.x0 - one.x1, one.x0 - other.x1) + max(0.0, other.y0 - one.y1, one.y0 - other.y1)


def _middles(one: Box, other: Box) -> float:
    return abs(one.x0 + one.x1 - other.x0 - other.x1) + abs(one.y0 + one.y1 - other.y0 - other.y1)


def _html(grid: Grid, held: Sequence[Sequence[Line]]) -> str:
    parts: list[str] = ["<table>"]
    row = -1
    for cell, lines in zip(grid.cells, held, strict=True):
        if cell.row != row:
            parts.append("<tr>" if row < 0 else "</tr><tr>")
            row = cell.row
        spans = "".join(
            f' {name}="{count}"' for name, count in (("colspan", cell.colspan), ("rowspan", cell.rowspan)) if count > 1
        )
        tag = "th" if cell.head else "td"
        parts.append(f"<{tag}{spans}>{escape(_text(lines), quote=False)}</{tag}>")
    return "".join(parts) + "</tr></table>"


def _text(lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    text = join_rows(rows(lines))
    return join_pieces(text.split("\n"))


def moved(grid: Grid, place: Callable[[Box], Box]) -> Grid:
    """The grid with its cells in other places."""
    return replace(grid, cells=tuple(replace(cell, box=place(cell.box)) for cell in grid.cells))
