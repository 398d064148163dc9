"""Text that the layout cut in pieces is read as one image: its pieces, one below the other.

Source: PaddleX 3.7.2, `paddleocr_vl/uilts.py` (`merge_blocks`, `merge_images`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from workers.engines.paddleocr_vl.regions import Box, Region

Align = Literal["left", "right", "center"]

EDGE = 5
"""Pixels by which edges in line may differ."""
COLUMN_GAP = 0.3
"""Of the wider piece: how far apart pieces beside each other may be."""
LINE_GAP = 0.5
"""Of the taller piece: how far apart pieces below each other may be."""
TALLEST = 3
"""Height by width from which a stack is not made."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Regions that are read as one image."""

    members: tuple[int, ...]
    """Indices of the regions, in reading order."""
    aligns: tuple[Align, ...] = ()
    """How each but the first lies to what is above it."""

    def size(self, regions: Sequence[Region]) -> tuple[int, int]:
        """Width and height of the image."""
        boxes = [regions[i].box for i in self.members]
        return max(box.width for box in boxes), sum(box.height for box in boxes)

    def is_tall(self, regions: Sequence[Region]) -> bool:
        width, height = self.size(regions)
        return width == 0 or height / width >= TALLEST

    def corners(self, regions: Sequence[Region]) -> list[tuple[int, int]]:
        """Where the top left corner of each member lies in the image."""
        boxes = [regions[i].box for i in self.members]
        offsets, width = [0], boxes[0].width
        for align, box in zip(self.aligns, boxes[1:], strict=True):
            both = max(width, box.width)
            shift = _shift(align, both, width)
            offsets = [*(x + shift for x in offsets), _shift(align, both, box.width)]
            width = both
        tops = [sum(box.height for box in boxes[:i]) for i in range(len(boxes))]
        return list(zip(offsets, tops, strict=True))


@dataclass(frozen=True, slots=True)
class Placed:
    """A region's turn. `stack` is None for regions that are never read with others."""

    region: int
    stack: Stack | None


def stacked(regions: Sequence[Region], alone: Collection[str]) -> list[Placed]:
    """The regions in the order in which they are given out. Labels in `alone` are never stacked.

    What lies between the members of a stack follows them. A stack that would be too tall is taken apart, and its
    members have no stack.
    """
    free = [i for i, region in enumerate(regions) if region.label not in alone]
    members_of = {stack.members[0]: stack for stack in _stacks(regions, free, alone)}
    order: list[Placed] = []
    i = 0
    while i < len(regions):
        if (stack := members_of.get(i)) is None:
            order.append(Placed(i, None))
            i += 1
            continue
        kept = None if stack.is_tall(regions) else stack
        order += [Placed(member, kept) for member in stack.members]
        last = stack.members[-1]
        order += [Placed(k, None) for k in range(i + 1, last) if regions[k].label in alone]
        i = last + 1
    return order


def _stacks(regions: Sequence[Region], free: Sequence[int], alone: Collection[str]) -> list[Stack]:
    """All that may be stacked, each with those that follow and belong to it."""
    stacks = [Stack((i,)) for i in free[:1]]
    others = [region.box for region in regions if region.label in alone]
    for previous, current in pairwise(free):
        align = _align(regions[previous], regions[current], others)
        if align is None:
            stacks.append(Stack((current,)))
        else:
            last = stacks[-1]
            stacks[-1] = Stack((*last.members, current), (*last.aligns, align))
    return stacks


def _align(previous: Region, current: Region, others: Sequence[Box]) -> Align | None:
    """How the second goes on below the first; None where it does not."""
    if previous.label != "text" or current.label != "text":
        return None
    a, b = previous.box, current.box
    if min(a.x2, b.x2) <= max(a.x1, b.x1):
        return "center" if _in_next_column(a, b) else None
    left, right = abs(a.x1 - b.x1) <= EDGE, abs(a.x2 - b.x2) <= EDGE
    near = b.y2 >= a.y1 and abs(b.y1 - a.y2) < max(a.height, b.height) * LINE_GAP
    if not near or left == right:
        return None
    around = a.union(b)
    if not any(around.intersection(other) for other in others):
        return None
    return "left" if left else "right"


def _in_next_column(a: Box, b: Box) -> bool:
    return b.x1 > a.x2 and b.y1 < a.y2 and b.x1 - a.x2 < max(a.width, b.width) * COLUMN_GAP


def _shift(align: Align, outer: int, inner: int) -> int:
    return {"center": (outer - inner) // 2, "right": outer - inner, "left": 0}[align]
