"""What the layout model found on a page. Pixels of the page's image, origin top left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Polygon = tuple[tuple[float, float], ...]


class Box(NamedTuple):
    """A rectangle; the right and bottom edges lie outside."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def width(self) -> int:
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        return self.y2 - self.y1

    @property
    def area(self) -> int:
        return abs(self.width * self.height)

    def intersection(self, other: Box) -> int:
        """Pixels that both cover."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return max(0, width) * max(0, height)

    def union(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.x1, other.x1), min(self.y1, other.y1), max(self.x2, other.x2), max(self.y2, other.y2)
        )

    def contains(self, other: Box) -> bool:
        """Whether the other lies inside, edges included."""
        return self.x1 <= other.x1 and self.y1 <= other.y1 and self.x2 >= other.x2 and self.y2 >= other.y2


@dataclass(frozen=True, slots=True)
class Region:
    """One region of the layout, in reading order by its place in the list.

    `label` is one of the 25 labels (`versions.CLASS_LABELS`), or the name of a task where one task reads the whole
    image.
    """

    label: str
    box: Box
    score: float = 1.0
    polygon: Polygon | None = None
    """Outline, where the layout model gives one."""
