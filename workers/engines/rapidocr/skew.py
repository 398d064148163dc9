"""Pages scanned a little askew: order is decided on straightened boxes, results refer to the page as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from workers.engines.rapidocr.geometry import Box, union

Point = tuple[float, float]

# Radians. Below the one a page counts as straight, beyond the other its lines are not askew but turned on purpose.
LEAST = math.radians(0.3)
MOST = math.radians(15)
FEWEST_LINES = 3


def skew(lines: Iterable[tuple[Point, Point]]) -> float:
    """Radians clockwise by which a page's lines lean, from the left and right ends of their upper edges; 0 if straight.

    The longer half of the lines speaks, and the middle of what they say counts.
    """
    edges = sorted(((b[0] - a[0], b[1] - a[1]) for a, b in lines if b[0] > a[0]), reverse=True)
    angles = [math.atan2(dy, dx) for dx, dy in edges[: max(FEWEST_LINES, len(edges) // 2)]]
    if len(angles) < FEWEST_LINES:
        return 0.0
    angle = median(angles)
    return angle if LEAST <= abs(angle) <= MOST else 0.0


def straightened(corners: Sequence[Point], angle: float, centre: Point) -> Box:
    """The box around corners after the page was turned back by the angle around its centre."""
    return union(Box(*p, *p) for p in (_turned(corner, -angle, centre) for corner in corners))


def band(corners: Sequence[Point], angle: float, centre: Point) -> Box:
    """What a line covers on the straightened page: as long as `straightened`, no higher than the line is thick.

    Lines of a curved page lean each by its own angle, and the boxes around their corners overlap their neighbours'.
    A line on its side has the box around its corners.
    """
    box = straightened(corners, angle, centre)
    top_left, top_right, _, bottom_left = corners
    across, down = math.dist(top_left, top_right), math.dist(top_left, bottom_left)
    lean = math.atan2(top_right[1] - top_left[1], top_right[0] - top_left[0]) - angle
    if across < down or abs(math.remainder(lean, math.pi)) > MOST:
        return box
    middle, half = (box.y0 + box.y1) / 2, min(down, box.height) / 2
    return Box(box.x0, middle - half, box.x1, middle + half)


def leaning(box: Box, angle: float, centre: Point) -> Box:
    """The box around a straightened box's corners on the page as it is."""
    corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    return union(Box(*p, *p) for p in (_turned(corner, angle, centre) for corner in corners))


def moved(box: Box, angle: float, centre: Point) -> Box:
    """A box of the same size whose middle is turned by the angle: for regions, which are upright by definition."""
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    x, y = _turned(middle, angle, centre)
    return Box(x - box.width / 2, y - box.height / 2, x + box.width / 2, y + box.height / 2)


def _turned(point: Point, angle: float, centre: Point) -> Point:
    x, y = point[0] - centre[0], point[1] - centre[1]
    cos, sin = math.cos(angle), math.sin(angle)
    return centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos
