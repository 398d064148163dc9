"""A table's rows and columns by position alone, as HTML. No model: spanning cells are seen, headers are not."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from workers.engines.rapidocr.geometry import Line
from workers.engines.rapidocr.paragraphs import Row, join_pieces, rows


def table_html(lines: Sequence[Line]) -> str:
    """`<table>` with a row per height and a column per run of x that no gap crosses; empty for no lines."""
    grid = rows(lines)
    if not grid:
        return ""
    columns = _columns(grid)
    body = "".join(f"<tr>{_cells(row, columns)}</tr>" for row in grid)
    return f"<table>{body}</table>"


def _columns(grid: Sequence[Row]) -> list[tuple[float, float]]:
    """Intervals of x from left to right.

    Cells that span columns would glue them together, so the rows with the most pieces speak first and a later piece
    may widen one column but never join two.
    """
    columns: list[tuple[float, float]] = []
    for row in sorted(grid, key=lambda row: -len(row.lines)):
        for line in row.lines:
            touched = [c for c in columns if line.box.x0 < c[1] and c[0] < line.box.x1]
            if not touched:
                columns.append((line.box.x0, line.box.x1))
            elif len(touched) == 1:
                columns.remove(touched[0])
                columns.append((min(touched[0][0], line.box.x0), max(touched[0][1], line.box.x1)))
    return sorted(columns)


def _cells(row: Row, columns: Sequence[tuple[float, float]]) -> str:
    html: list[str] = []
    column = 0
    pieces = [(line, *_extent(line, columns)) for line in row.lines]
    while pieces:
        line, first, last = pieces.pop(0)
        texts = [line.text]
        while pieces and pieces[0][1] <= last:
            line, _, end = pieces.pop(0)
            texts.append(line.text)
            last = max(last, end)
        first = max(first, column)
        html.append("<td></td>" * (first - column))
        span = f' colspan="{last - first + 1}"' if last > first else ""
        html.append(f"<td{span}>{escape(join_pieces(texts), quote=False)}</td>")
        column = max(column, last + 1)
    html.append("<td></td>" * (len(columns) - column))
    return "".join(html)


def _extent(line: Line, columns: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """First and last column a piece covers by more than a tenth of the column's width."""
    covered = [
        index for index, (x0, x1) in enumerate(columns) if min(line.box.x1, x1) - max(line.box.x0, x0) > 0.1 * (x1 - x0)
    ]
    if covered:
        return covered[0], covered[-1]
    nearest = min(range(len(columns)), key=lambda i: abs(sum(columns[i]) - line.box.x0 - line.box.x1))
    return nearest, nearest
