"""The lines of a text layer on the page set upright."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from workers.engines.rapidocr.geometry import Box, union
from workers.engines.rapidocr.orientation import Turn, turned
from workers.engines.rapidocr.recognition import ReadLine
from workers.engines.rapidocr.skew import MOST
from workers.textlayer.lines import Point, TextLine

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Pixels = NDArray[np.uint8]

# The part of a page's characters that must run in another direction for the page to be turned.
TURNED = 0.6
_EXACT = 1.0
_TURNS: tuple[Turn, ...] = (0, 90, 180, 270)


@dataclass(frozen=True, slots=True)
class UprightLayer:
    """A page turned so that most of its layer runs to the right."""

    turn: Turn
    pixels: Image.Image
    image: Pixels
    """The same in BGR."""
    lines: list[TextLine]
    """Those along the sides of the page."""
    aside: list[TextLine]
    """Those that run askew over it: water marks, labels of axes."""


def set_upright(lines: Sequence[TextLine], pixels: Image.Image) -> UprightLayer:
    """Turn the page by what its layer says, which needs no model."""
    turn = _turn(lines)
    upright = [_turned_line(line, turn, pixels.size) for line in lines]
    straight = [line for line in upright if _leaning(line.angle) <= MOST]
    aside = [line for line in upright if _leaning(line.angle) > MOST]
    image = turned(pixels, turn)
    bgr = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    return UprightLayer(turn, image, bgr, straight, aside)


def box_of(line: TextLine) -> Box:
    return union(Box(x, y, x, y) for x, y in line.corners)


def as_read(line: TextLine) -> ReadLine:
    """The line in the place of one that was recognised. One on its side is an upright box, high and narrow."""
    corners: Sequence[Point] = line.corners
    if abs(math.remainder(line.angle, math.tau)) > MOST:
        box = box_of(line)
        corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    return ReadLine(np.array(corners, np.float32), line.text, _EXACT, line.font, line.columns)


def _turn(lines: Sequence[TextLine]) -> Turn:
    """Degrees clockwise that set most of the text upright."""
    weight = dict.fromkeys(_TURNS, 0)
    for line in lines:
        degrees = -math.degrees(line.angle) % 360
        weight[_TURNS[round(degrees / 90) % 4]] += len(line.text)
    best = max(_TURNS, key=lambda turn: weight[turn])
    return best if weight[best] > TURNED * sum(weight.values()) else 0


def _leaning(angle: float) -> float:
    """Radians between a line and the nearest side of the page."""
    return abs(math.remainder(angle, math.pi / 2))


def _turned_line(line: TextLine, turn: Turn, size: tuple[int, int]) -> TextLine:
    if turn == 0:
        return line
    upper_left, upper_right, lower_right, lower_left = (_turned_point(point, turn, size) for point in line.corners)
    corners = (upper_left, upper_right, lower_right, lower_left)
    return replace(line, corners=corners, angle=math.remainder(line.angle + math.radians(turn), math.tau))


def _turned_point(point: Point, turn: Turn, size: tuple[int, int]) -> Point:
    x, y = point
    width, height = size
    return {90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}.get(turn, point)
