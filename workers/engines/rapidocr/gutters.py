"""Where to cut a detected line that runs on into the next column, or strays across the gutter.

The detector glues the lines of two columns together where the gutter is narrow; the layout model sees the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from workers.engines.rapidocr.geometry import Box, Region

# In heights of the line: how far it must reach into both columns, and the widest gutter it can be expected to jump.
REACH = 2.0
WIDEST = 3.0
# How far a line that does not run on may stray across the middle of a gutter: looser than the ink, but by no letter of
# its own. Columns it strays into are that wide at least: a column of bullets or numbers is none.
STRAY = 1.0
NARROWEST = 6.0
_TEXT = frozenset({"text", "reference_content", "paragraph_title"})


def pieces(line: Box, regions: Sequence[Region]) -> list[tuple[float, float]]:
    """The line from end to end as one interval of x for each column, without the ends that stray into the next."""
    start, end = line.x0, line.x1
    air = STRAY * line.height
    for gutter in _gutters(line, _columns(line, regions, NARROWEST * line.height)):
        if end - REACH * line.height > gutter > start > gutter - air:
            start = gutter
        elif start + REACH * line.height < gutter < end < gutter + air:
            end = gutter
    return list(pairwise([start, *cuts(line, regions), end]))


def cuts(line: Box, regions: Sequence[Region]) -> list[float]:
    """The x positions, from left to right, of the gutters between two text regions that the line runs across."""
    return _gutters(line, [box for box in _columns(line, regions, 0.0) if _reaches(line, box)])


def _columns(line: Box, regions: Sequence[Region], width: float) -> list[Box]:
    """Text regions at the line's height, from left to right, at least that wide."""
    middle = (line.y0 + line.y1) / 2
    boxes = (r.box for r in regions if r.label in _TEXT and r.box.y0 < middle < r.box.y1 and r.box.width >= width)
    return sorted(boxes, key=lambda box: (box.x0, box))


def _gutters(line: Box, columns: Sequence[Box]) -> list[float]:
    """The middles of the gaps between neighbouring columns that lines of that height can be expected to jump."""
    found: list[float] = []
    for left in columns:
        right = next((box for box in columns if box.x0 > left.x0 and box.x0 >= left.x1 - 0.3 * line.height), None)
        if right is not None and right.x0 - left.x1 <= WIDEST * line.height:
            found.append((left.x1 + right.x0) / 2)
    return sorted(set(found))


def _reaches(line: Box, column: Box) -> bool:
    return line.shared_x(column) >= REACH * line.height
