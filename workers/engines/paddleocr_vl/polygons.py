"""Masks of regions -> their outlines.

Source: PaddleX 3.7.2, `inference/models/layout_analysis/processors.py` (`extract_polygon_points_by_masks` with
`layout_shape_mode` auto). Contours come from cv2, as there: the only module of this half that imports it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np

from workers.engines.paddleocr_vl.regions import Polygon, polygon_iou, polygon_overlap
from workers.engines.paddleocr_vl.vertices import smoothed

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK_SIDE = 200
_TOLERANCE = 0.004
"""Of a contour's length: how far its corners may be simplified."""
_WIDE = 0.6
_AS_RECTANGLE, _AS_QUAD = 0.95, 0.8
_APART = 0.01


def outlines(boxes: NDArray[np.float32], masks: NDArray[np.uint8], width: int, height: int) -> Iterator[Polygon]:
    """The outline of each region, in pixels of the page (`width` x `height`).

    `boxes` (n, 4) in reading order, `masks` (n, 200, 200) over the whole page. A rectangle where it fits the mask or
    where there is none; a turned rectangle where that fits and the region before is elsewhere; otherwise the contour.
    """
    # PaddleX takes x2 - y1 here, surely meant as a width; it decides only how coarse contours may be.
    widest = float(max(boxes[:, 2] - boxes[:, 1], default=0))
    previous: Polygon | None = None
    for box, mask in zip(boxes, masks, strict=True):
        previous = _outline(box, mask, (MASK_SIDE / width, MASK_SIDE / height), widest, previous)
        yield previous


def _outline(
    box: NDArray[np.float32], mask: NDArray[np.uint8], scale: tuple[float, float], widest: float,
    previous: Polygon | None,
) -> Polygon:  # fmt: skip
    x1, y1, x2, y2 = (int(v) for v in box)
    rectangle: Polygon = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    if x2 <= x1 or y2 <= y1:
        return rectangle
    columns = [min(max(round(x * scale[0]), 0), MASK_SIDE) for x in (x1, x2)]
    rows = [min(max(round(y * scale[1]), 0), MASK_SIDE) for y in (y1, y2)]
    part = mask[rows[0] : rows[1], columns[0] : columns[1]]
    if not part.any():
        return rectangle
    whole = cv2.resize((part > 0).astype(np.uint8), (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
    contour = _contour(whole, x2 - x1 if x2 - x1 > widest * _WIDE else widest)
    polygon = tuple((float(np.float32(x + x1)), float(np.float32(y + y1))) for x, y in contour)
    return _simplest(rectangle, polygon, previous)


def _contour(mask: NDArray[np.uint8], longest_edge: float) -> list[tuple[float, float]]:
    """Corners around the largest piece of a mask."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    largest = max(contours, key=cv2.contourArea)
    corners = cv2.approxPolyDP(largest, _TOLERANCE * cv2.arcLength(largest, closed=True), closed=True)
    return smoothed([(float(x), float(y)) for x, y in np.asarray(corners).reshape(-1, 2)], longest_edge)


def _simplest(rectangle: Polygon, polygon: Polygon, previous: Polygon | None) -> Polygon:
    if len(polygon) < 4:
        return rectangle
    quad = _quad(polygon)
    if polygon_iou(rectangle, quad) >= _AS_RECTANGLE:
        return rectangle
    alone = previous is None or polygon_overlap(previous, rectangle) < _APART
    return quad if alone and polygon_iou(polygon, quad) >= _AS_QUAD else polygon


def _quad(polygon: Polygon) -> Polygon:
    """The smallest turned rectangle around it, clockwise from its top left corner."""
    corners = cv2.boxPoints(cv2.minAreaRect(np.array(polygon, np.float32)))
    points = [(float(x), float(y)) for x, y in corners]
    middle = (sum(x for x, _ in points) / 4, sum(y for _, y in points) / 4)
    points.sort(key=lambda point: math.atan2(point[1] - middle[1], point[0] - middle[0]))
    first = min(range(4), key=lambda i: points[i][0] + points[i][1])
    return tuple(points[first:] + points[:first])
