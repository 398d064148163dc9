"""Corners of a contour that matter: notches go, sharp tips are drawn out.

Source: PaddleX 3.7.2, `inference/models/layout_analysis/processors.py` (`extract_custom_vertices`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

_DISTANCE = 0.3
"""Of the longest edge allowed: how far apart kept corners may be."""
_SHARP = 45.0
_BLUNT = 120.0


@dataclass(frozen=True, slots=True)
class _Corner:
    at: Point
    back: Point
    """Vector to the corner before."""
    onward: Point
    """Vector to the corner after."""

    @property
    def convex(self) -> bool:
        """Contours run counterclockwise with y downwards; a corner that turns the other way is a notch."""
        return -self.back[0] * self.onward[1] + self.back[1] * self.onward[0] < 0

    @property
    def degrees(self) -> float:
        lengths = math.hypot(*self.back) * math.hypot(*self.onward)
        dot = self.back[0] * self.onward[0] + self.back[1] * self.onward[1]
        return math.degrees(math.acos(min(1.0, max(-1.0, dot / lengths)))) if lengths else 0.0


def smoothed(polygon: Sequence[Point], longest_edge: float) -> list[Point]:
    """The corners of the polygon that are kept, of those that stick out and those needed to follow long edges."""
    n = len(polygon)
    corners = [
        _Corner(polygon[i], _minus(polygon[i - 1], polygon[i]), _minus(polygon[(i + 1) % n], polygon[i]))
        for i in range(n)
    ]
    bays = _bays([i for i in range(n) if not corners[i].convex], n)
    kept = [i for i, corner in enumerate(corners) if corner.convex or (i in bays and corner.degrees >= _BLUNT)]
    chosen = set(kept)
    for here, there in zip(kept, kept[1:] + kept[:1], strict=True):
        chosen |= set(_between(polygon, here, there, longest_edge * _DISTANCE))
    return [_drawn_out(corners[i]) for i in sorted(chosen)]


def _bays(notches: Sequence[int], n: int) -> set[int]:
    """Notches that follow each other are an inlet, and stay; one alone is a slip of the mask."""
    runs: list[list[int]] = []
    for i in notches:
        if runs and i - runs[-1][-1] == 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    bays = {i for run in runs if len(run) >= 2 for i in run}
    around = len(notches) >= 2 and notches[0] == 0 and notches[-1] == n - 1
    return set() if around and not {0, n - 1} <= bays else bays


def _between(polygon: Sequence[Point], here: int, there: int, longest: float) -> list[int]:
    """Corners between two kept ones that are too far apart: as many as are needed, evenly taken."""
    distance = math.dist(polygon[here], polygon[there])
    if distance <= longest or longest <= 0:
        return []
    n = len(polygon)
    skipped = [i % n for i in range(here + 1, there if there > here else there + n)]
    needed = math.ceil(distance / longest) - 1
    if len(skipped) <= needed:
        return skipped
    return [skipped[int(i * len(skipped) / needed)] for i in range(needed)]


def _drawn_out(corner: _Corner) -> Point:
    """A tip of about 45 degrees was cut by the mask's coarse grid."""
    if not corner.convex or abs(corner.degrees - _SHARP) >= 1:
        return corner.at
    back, onward = math.hypot(*corner.back), math.hypot(*corner.onward)
    x = corner.back[0] / back + corner.onward[0] / onward
    y = corner.back[1] / back + corner.onward[1] / onward
    reach = (back + onward) / 2 / math.hypot(x, y)
    return corner.at[0] + x * reach, corner.at[1] + y * reach


def _minus(a: Point, b: Point) -> Point:
    return a[0] - b[0], a[1] - b[1]
