"""Where to cut a detected line that runs on into the next column.

The detector glues the lines of two columns together where the gutter is narrow; the layout model sees the columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.engines.rapidocr.geometry import Box, Region

# In heights of the line: how far it must reach into both columns, and the widest gutter it can be expected to jump.
REACH = 2.0
WIDEST = 3.0
_TEXT = frozenset({"text", "reference_content", "paragraph_title"})


def cuts(line: Box, regions: Sequence[Region]) -> list[float]:
    """The x positions, from left to right, of the gutters between two text regions that the line runs across."""
    middle = (line.y0 + line.y1) / 2
    columns = sorted(
        (r.box for r in regions if r.label in _TEXT and r.box.y0 < middle < r.box.y1 and _reaches(line, r.box)),
        key=lambda box: (box.x0, box),
    )
    found: list[float] = []
    for left in columns:
        right = next((box for box in columns if box.x0 > left.x0 and box.x0 >= left.x1 - 0.3 * line.height), None)
        if right is not None and right.x0 - left.x1 <= WIDEST * line.height:
            found.append((left.x1 + right.x0) / 2)
    return sorted(set(found))


def _reaches(line: Box, column: Box) -> bool:
    return line.shared_x(column) >= REACH * line.height
