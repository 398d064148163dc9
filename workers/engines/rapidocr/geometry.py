"""Boxes in pixels, origin top left; lines of text and regions of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from jobs.results import Label
from workers.textlayer.fixed import Columns


class Box(NamedTuple):
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return self.width * self.height

    def shared_x(self, other: Box) -> float:
        """Pixels that both cover on the x axis; 0 where none."""
        return max(0.0, min(self.x1, other.x1) - max(self.x0, other.x0))

    def shared_y(self, other: Box) -> float:
        return max(0.0, min(self.y1, other.y1) - max(self.y0, other.y0))

    def inside(self, other: Box) -> float:
        """The part of this box's area, 0 to 1, that lies in the other."""
        return self.shared_x(other) * self.shared_y(other) / self.area if self.area > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of text the detector found, at most one line high."""

    box: Box
    """What order is decided by; a leaning line's is as high as the line is thick."""
    text: str
    score: float
    ink: Box | None = None
    """Around all of it, where that is more than `box`."""
    font: int | None = None
    """Which of the page's fonts it is set in, where that is known."""
    columns: Columns | None = None
    """With all its blanks, where its characters are known to be of one width."""

    @property
    def outline(self) -> Box:
        return self.ink or self.box


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of the page the layout model found."""

    label: Label
    box: Box
    score: float


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all. Raises ValueError for none."""
    all_boxes = list(boxes)
    return Box(
        min(b.x0 for b in all_boxes),
        min(b.y0 for b in all_boxes),
        max(b.x1 for b in all_boxes),
        max(b.y1 for b in all_boxes),
    )


def line_height(lines: Sequence[Line]) -> float:
    """The page's typical line height in pixels, at least 1; the width of lines that run from top to bottom."""
    return max(1.0, median(min(line.box.height, line.box.width) for line in lines)) if lines else 1.0


def mean_score(lines: Sequence[Line]) -> float | None:
    """Mean recognition score weighted by the length of the text; None for no text."""
    letters = sum(len(line.text) for line in lines)
    if not letters:
        return None
    return math.fsum(line.score * len(line.text) for line in lines) / letters
