"""Regions that lie over each other: which of them are read.

Source: PaddleX 3.7.2, `paddleocr_vl/uilts.py` (`filter_overlap_boxes`).
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.engines.paddleocr_vl.regions import Region, polygon_overlap

SMALLEST_SIDE = 6
"""Pixels; what is thinner is not read."""
INLINE_OVERLAP = 0.5
OVERLAP = 0.7
"""Shares of the smaller box from which two regions are one."""
_VISUAL = frozenset({"image", "table", "seal", "chart"})


def without_overlaps(regions: Sequence[Region]) -> tuple[Region, ...]:
    """The regions to be read, in their order. `reference` goes: its parts are regions of their own."""
    regions = [region for region in regions if region.label != "reference"]
    dropped: set[int] = set()
    for i, region in enumerate(regions):
        if min(region.box.width, region.box.height) < SMALLEST_SIDE:
            dropped.add(i)
        for j in range(i + 1, len(regions)):
            if i in dropped:
                break
            if j not in dropped:
                dropped |= _losers(regions, i, j)
    return tuple(region for i, region in enumerate(regions) if i not in dropped)


def _losers(regions: Sequence[Region], i: int, j: int) -> set[int]:
    """Which of the two goes: none, one, or both where both are formulas inside text."""
    first, second = regions[i], regions[j]
    overlap = _overlap(first, second)
    inline = {k for k in (i, j) if regions[k].label == "inline_formula"}
    if inline and overlap > INLINE_OVERLAP:
        return inline
    if overlap <= OVERLAP or _apart(first, second) or _both_stay({first.label, second.label}):
        return set()
    return {j} if first.box.area >= second.box.area else {i}


def _overlap(first: Region, second: Region) -> float:
    smaller = min(first.box.area, second.box.area)
    return first.box.intersection(second.box) / smaller if smaller > 0 else 0.0


def _apart(first: Region, second: Region) -> bool:
    """Whether their outlines overlap less than their boxes make believe."""
    if first.polygon is None or second.polygon is None:
        return False
    return polygon_overlap(first.polygon, second.polygon) < OVERLAP


def _both_stay(labels: set[str]) -> bool:
    """A figure and the text in it are both read; a table swallows the text in it."""
    return len(labels) > 1 and bool(labels & _VISUAL) and ("table" not in labels or labels <= _VISUAL)
