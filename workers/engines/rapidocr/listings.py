"""Program listings: lines of a fixed-pitch font that stand below each other keep their line breaks and blanks.

Only a text layer says which lines those are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from workers.engines.rapidocr.geometry import Box, Line, Region, union
from workers.engines.rapidocr.order import split_columns
from workers.engines.rapidocr.paragraphs import Row, rows

# One such line between others is a command or a name in its own paragraph.
LEAST_ROWS = 2
# In line heights: the largest gap in a listing, two empty lines.
GAP = 3.5
# In line heights: as near as this, what stands beside a line belongs to it, and the line is one of prose.
BESIDE = 2.0
# Where more of a page's letters than this are of one width, it was written on a typewriter, and only lines with so many
# of a programmer's signs are a listing.
TYPEWRITTEN = 0.6
SIGNS = frozenset("{}()[]<>=;_#$%&|\\/*+\"'`")
MANY_SIGNS = 0.06
# Empty lines in a row that are kept.
MOST_EMPTY = 2
# A line belongs to a table that holds at least this part of it.
HELD = 0.5


def listings(lines: Sequence[Line], regions: Sequence[Region]) -> list[list[Line]]:
    """The page's listings, each as its lines. Tables keep theirs, and so do rows with something else beside it."""
    tables = [region.box for region in regions if region.label == "table"]
    fixed = [line for line in lines if line.columns and not any(line.box.inside(table) >= HELD for table in tables)]
    if not fixed:
        return []
    others = [line for line in lines if not line.columns]
    alone = [line for line in fixed if not any(_beside(line.box, other.box) for other in others)]
    typewritten = _letters(fixed) > TYPEWRITTEN * _letters(lines)
    unit = max(line.box.height for line in fixed)
    columns = split_columns([line.box for line in alone], unit) if alone else []
    found = [group for column in columns for group in _groups(rows([alone[i] for i in column]), others)]
    return [
        [line for row in group for line in row.lines]
        for group in found
        if len(group) >= LEAST_ROWS and (not typewritten or _sign_part(group) >= MANY_SIGNS)
    ]


def listing_text(lines: Sequence[Line]) -> str:
    """The lines below each other with their indents, the gaps inside them, and empty lines where there is room."""
    all_rows = rows(lines)
    pitch = min(line.columns.pitch for line in lines if line.columns)
    left = min(line.box.x0 for line in lines)
    steps = sorted(b.box.y0 - a.box.y0 for a, b in pairwise(all_rows))
    step = steps[len(steps) // 4] if steps else 1.0
    text = _on_columns(all_rows[0], left, pitch)
    for above, row in pairwise(all_rows):
        empty = round((row.box.y0 - above.box.y0) / max(step, 1.0)) - 1
        text += "\n" * (1 + min(max(empty, 0), MOST_EMPTY)) + _on_columns(row, left, pitch)
    return text


def _on_columns(row: Row, left: float, pitch: float) -> str:
    text = ""
    for line in row.lines:
        content = line.columns.text if line.columns else line.text
        column = round((line.box.x0 - left) / pitch)
        # What overlaps by rounding still is a word of its own.
        text = text.ljust(max(column, len(text) + 1) if text else column) + content
    return text


def _groups(all_rows: Sequence[Row], others: Sequence[Line]) -> list[list[Row]]:
    groups: list[list[Row]] = []
    for row in all_rows:
        if groups and _goes_on(groups[-1][-1], row, others):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _goes_on(above: Row, row: Row, others: Sequence[Line]) -> bool:
    """Near, as large, and with nothing else between."""
    low, high = sorted(max(line.columns.pitch for line in r.lines if line.columns) for r in (above, row))
    if row.box.y0 - above.box.y1 > GAP * row.box.height or high > 1.1 * low:
        return False
    both = union((above.box, row.box))
    between = Box(both.x0, above.box.y1, both.x1, row.box.y0)
    return not any(other.box.shared_x(between) and other.box.shared_y(between) > 0 for other in others)


def _beside(box: Box, other: Box) -> bool:
    if box.shared_y(other) < 0.5 * min(box.height, other.height):
        return False
    return max(box.x0, other.x0) - min(box.x1, other.x1) < BESIDE * box.height


def _letters(lines: Iterable[Line]) -> int:
    return sum(len(line.text) for line in lines)


def _sign_part(group: Iterable[Row]) -> float:
    letters = [char for row in group for char in row.text if not char.isspace()]
    return sum(char in SIGNS for char in letters) / max(1, len(letters))
