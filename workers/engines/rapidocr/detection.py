"""Where lines of text stand on a page, by rapidocr's detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workers.engines.rapidocr.geometry import Box, Region
from workers.engines.rapidocr.gutters import pieces
from workers.engines.rapidocr.orientation import SMALLEST_SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Long sides up to this are taken as they are, larger ones scaled to no less than the factor (200 dpi to 144) and to no
# more pixels than that; small images are enlarged until the short side has the model's 736 pixels.
DETECT_SIDE = 1600
DETECT_SCALE = 0.72
DETECT_PIXELS = 3_500_000
DETECT_SHORT = 736
# Pages longer than this many widths are detected in windows.
WINDOW = 3.0


def text_quads(image: Pixels, detector: Any) -> NDArray[np.float32]:
    """Quadrangles (n, 4, 2) of text lines in pixels of the image, corners clockwise from the top left of the text."""
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return np.empty((0, 4, 2), np.float32)
    found = [_detect_window(image, window, detector) for window in _windows(height, width)]
    return np.concatenate(found).astype(np.float32)


def cut(quads: NDArray[np.float32], regions: Sequence[Region]) -> NDArray[np.float32]:
    """Quadrangles that run across a gutter as one for each column, without what strays into the next."""
    parts: list[NDArray[np.float32]] = []
    for quad in quads:
        box = _box(quad)
        top_left, top_right, bottom_right, bottom_left = quad
        for x0, x1 in pieces(box, regions):
            start, end = (x0 - box.x0) / box.width, (x1 - box.x0) / box.width
            top, bottom = top_right - top_left, bottom_right - bottom_left
            corners = (
                top_left + top * start,
                top_left + top * end,
                bottom_left + bottom * end,
                bottom_left + bottom * start,
            )
            parts.append(np.stack(corners).astype(np.float32))
    return np.stack(parts) if parts else quads


def _detect_window(image: Pixels, part: _Window, detector: Any) -> NDArray[np.float32]:
    import cv2

    window = image[part.top : part.bottom]
    height, width = window.shape[:2]
    scale = _detection_scale(width, height)
    size = (max(32, round(width * scale)), max(32, round(height * scale)))
    small = window if size == (width, height) else cv2.resize(window, size, interpolation=cv2.INTER_AREA)
    boxes = detector(small).boxes
    if boxes is None:
        return np.empty((0, 4, 2), np.float32)
    quads = np.asarray(boxes, np.float32) * (width / size[0], height / size[1]) + (0, part.top)
    centres = quads[:, :, 1].mean(axis=1)
    own: NDArray[np.float32] = quads[(centres >= part.own_top) & (centres < part.own_bottom)]
    return own


def _detection_scale(width: int, height: int) -> float:
    short, long = sorted((width, height))
    scale = max(DETECT_SIDE / long, DETECT_SCALE) if long > DETECT_SIDE else 1.0
    if short * scale < DETECT_SHORT:
        scale = max(scale, min(DETECT_SHORT / short, 2.0, DETECT_SIDE / long))
    return min(scale, math.sqrt(DETECT_PIXELS / (width * height)))


class _Window(NamedTuple):
    """A part of a very long page; it answers for the lines whose middle lies in its own part."""

    top: int
    bottom: int
    own_top: float
    own_bottom: float


def _windows(height: int, width: int) -> list[_Window]:
    """Windows that overlap by an eighth; their own parts meet within the overlaps, so that no line is read twice."""
    window = int(WINDOW * width)
    if height <= window * 1.25:
        return [_Window(0, height, 0, math.inf)]
    overlap = window // 8
    tops = range(0, height - overlap, window - overlap)
    inner = [top + overlap / 2 for top in tops[1:]]
    return [
        _Window(top, min(height, top + window), own_top, own_bottom)
        for top, own_top, own_bottom in zip(tops, [0.0, *inner], [*inner, math.inf], strict=True)
    ]


def _box(quad: NDArray[np.float32]) -> Box:
    (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))
