"""What the layout model found on a page. Pixels of the page's image, origin top left."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
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
        return Box(min(self.x1, other.x1), min(self.y1, other.y1), max(self.x2, other.x2), max(self.y2, other.y2))

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


def polygon_area(polygon: Polygon) -> float:
    """Area by the even-odd rule."""
    return _overlap_area(polygon, polygon)


def polygon_overlap(first: Polygon, second: Polygon) -> float:
    """Shared area as a share of the smaller one; 0 where one has none."""
    smaller = min(polygon_area(first), polygon_area(second))
    return _overlap_area(first, second) / smaller if smaller > 0 else 0.0


def polygon_iou(first: Polygon, second: Polygon) -> float:
    """Shared area by the area of both together; 0 where they have none."""
    shared = _overlap_area(first, second)
    whole = polygon_area(first) + polygon_area(second) - shared
    return shared / whole if whole > 0 else 0.0


_Edge = tuple[float, float, float, float]


def _overlap_area(first: Polygon, second: Polygon) -> float:
    """Exact for any polygons: between two heights where nothing turns or crosses, what is shared is trapezoids."""
    a, b = _edges(first), _edges(second)
    edges = a if first == second else a + b
    heights = {y for edge in edges for y in (edge[1], edge[3])}
    heights |= {y for i, edge in enumerate(edges) for other in edges[:i] if (y := _crossing(edge, other)) is not None}
    ordered = sorted(heights)
    area = 0.0
    for low, high in pairwise(ordered):
        middle = (low + high) / 2
        area += (high - low) * _shared_length(_spans(a, middle), _spans(b, middle))
    return area


def _edges(polygon: Polygon) -> list[_Edge]:
    """Edges from low to high y; level ones bound nothing."""
    edges = []
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y1 != y2:
            edges.append((x1, y1, x2, y2) if y1 < y2 else (x2, y2, x1, y1))
    return edges


def _crossing(a: _Edge, b: _Edge) -> float | None:
    """The height at which two edges cross, None where they do not."""
    low, high = max(a[1], b[1]), min(a[3], b[3])
    if low >= high:
        return None
    at_low, at_high = _x(a, low) - _x(b, low), _x(a, high) - _x(b, high)
    if at_low * at_high >= 0:
        return None
    return low + (high - low) * at_low / (at_low - at_high)


def _x(edge: _Edge, y: float) -> float:
    return edge[0] + (edge[2] - edge[0]) * (y - edge[1]) / (edge[3] - edge[1])


def _spans(edges: list[_Edge], y: float) -> list[tuple[float, float]]:
    """What is inside at this height, from left to right."""
    xs = sorted(_x(edge, y) for edge in edges if edge[1] <= y < edge[3])
    return list(zip(xs[::2], xs[1::2], strict=False))


def _shared_length(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> float:
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)
