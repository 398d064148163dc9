"""Where the structure model is asked for a table: the layout model's tables, and what else is set in columns of cells.

The layout model takes many a table for a figure or for text, and sees nothing on an image of a table alone. Such a
place becomes a table only where the structure model is sure and its cells hold the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from workers.engines.rapidocr.geometry import Box, Line, Region, union
from workers.engines.rapidocr.grids import Grid, filled
from workers.engines.rapidocr.paragraphs import Row, rows

# Rows that have several pieces, at least, and the part of all rows that they must be.
ROWS = 3
MOST = 0.5
MOST_OF_TEXT = 0.3
# Pieces of a row that are cells, three inside of text, which may stand in two columns; letters of a typical one.
PIECES = 2
PIECES_OF_TEXT = 3
LONGEST = 25
# Words of the model must be that sure where nothing else says that there is a table.
SURE = 0.95
# Dots that lead to a page number; three alone stand for a missing value.
_LEADER = re.compile(r"(?:\.\s*){4,}")
_RUNNING = frozenset({"text", "reference_content", "figure_title"})
_LOOKED_AT = _RUNNING | {"image"}


def places(lines: Sequence[Line], regions: Sequence[Region]) -> list[Region]:
    """Regions of the label `table` to be looked at; those that are not the layout model's own have the score 0."""
    own = [region for region in regions if region.label == "table"]
    guessed = [
        Region("table", region.box, 0.0)
        for region in regions
        if region.label in _LOOKED_AT
        and not any(region.box.inside(table.box) > 0.5 or table.box.inside(region.box) > 0.5 for table in own)
        and _in_cells([line for line in lines if line.box.inside(region.box) > 0.5], region.label)
    ]
    if (
        not own
        and lines
        and not any(r.label in ("text", "paragraph_title") for r in regions)
        and _in_cells(lines, "page")
    ):
        return [Region("table", _framed(lines), 0.0)]  # nothing else is on the page
    return own + guessed


def _in_cells(lines: Sequence[Line], label: str) -> bool:
    if len(lines) < ROWS * PIECES:
        return False
    if sum(_LEADER.search(line.text) is not None for line in lines) >= ROWS:
        return False  # a contents page
    pieces = PIECES if label == "image" else PIECES_OF_TEXT
    all_rows = rows(lines)
    several = [row for row in all_rows if _cells(row) >= pieces]
    if len(several) < ROWS or len(several) < (MOST_OF_TEXT if label in _RUNNING else MOST) * len(all_rows):
        return False
    return median(len(line.text) for row in several for line in row.lines) <= LONGEST


def _cells(row: Row) -> int:
    """Pieces of a row with a gap between them."""
    boxes = [line.box for line in row.lines]
    return 1 + sum(b.x0 - a.x1 > 0.5 * a.height for a, b in pairwise(boxes))


def _framed(lines: Sequence[Line]) -> Box:
    box = union(line.box for line in lines)
    return Box(box.x0 - 4, box.y0 - 4, box.x1 + 4, box.y1 + 4)


def with_tables(regions: Sequence[Region], lines: Sequence[Line], grids: Mapping[Region, Grid]) -> list[Region]:
    """The page's regions; a guessed table that fits its text takes the place of what the layout model saw there."""
    tables = [region for region, grid in grids.items() if region.score == 0 and _fits(region, lines, grid)]
    others = [r for r in regions if not any(r.box.inside(table.box) > 0.5 for table in tables)]
    return others + tables


def _fits(region: Region, lines: Sequence[Line], grid: Grid) -> bool:
    return (
        grid.sureness >= SURE
        and filled(grid, [line for line in lines if line.box.inside(region.box) > 0.5]) is not None
    )
