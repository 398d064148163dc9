"""Whether everything written on a page is in its text layer.

Text that is part of a picture, drawn as outlines or written by hand is not. Ink outside of the layer's lines gives
reason to look for it; whether that is text the detector says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from workers.engines.rapidocr.arrange import FIGURE_PAGE
from workers.engines.rapidocr.geometry import Box, Region
from workers.engines.rapidocr.orientation import INK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# The part of a page's ink that may lie outside of its lines without a look: rules, frames, bullets.
INK_OUTSIDE = 0.1
# Pictures that cover this part of the page may be a scan of it.
SCAN = 0.5
# A region of text of which lines cover less than this part is empty.
EMPTY = 0.1
# A detected line of whose middle the layer covers less is missing from it. What the detector finds is drawn larger than
# the letters, by the same on each side (DBNet's unclip): of a short word's quad they are less than a quarter.
COVERED = 0.25
RIM = 0.25
"""On each side, as a part of the height."""
# In pixels: letters are drawn a little beyond their boxes.
_AIR = 3


class Missing(NamedTuple):
    """Text on the page that its layer lacks."""

    quads: NDArray[np.float32]
    """(n, 4, 2)"""
    part: float
    """The area of those outside of figures as a part, 0 to 1, of theirs and the lines' together."""


def suspicious(image: Pixels, lines: Sequence[Box], regions: Sequence[Region], pictures: Iterable[Box]) -> bool:
    """Whether there is reason to look for text that the lines do not cover. `image`: BGR."""
    height, width = image.shape[:2]
    if sum(picture.area for picture in pictures) >= SCAN * width * height:
        return True
    inked = _ink(image)
    covered = _mask(lines, height, width, air=_AIR)
    if any(_is_empty(region.box, covered, inked) for region in regions if region.label != "image"):
        return True
    ink = int(inked.sum())
    return ink > 0 and int((inked & ~covered).sum()) > INK_OUTSIDE * ink


def missing(
    quads: NDArray[np.float32], lines: Sequence[Box], regions: Sequence[Region], size: tuple[int, int]
) -> Missing:
    """What the detector found and no line covers. A figure's text is missing, but does not count against the layer."""
    width, height = size
    covered = _mask(lines, height, width, air=0)
    figures = [r.box for r in regions if r.label == "image" and r.box.area < FIGURE_PAGE * width * height]
    lacking: list[NDArray[np.float32]] = []
    outside = 0.0
    for quad in quads:
        box = _box(quad)
        if _part(covered, _middle(box)) < COVERED:
            lacking.append(quad)
            outside += 0.0 if any(box.inside(figure) > 0.5 for figure in figures) else box.area
    whole = outside + sum(line.area for line in lines)
    empty = np.empty((0, 4, 2), np.float32)
    return Missing(np.stack(lacking) if lacking else empty, outside / whole if whole else 0.0)


def _ink(image: Pixels) -> NDArray[np.bool_]:
    grey = image.min(axis=2).astype(np.int16)
    inked: NDArray[np.bool_] = np.abs(grey - int(np.median(grey[::4, ::4]))) > INK
    return inked


def _mask(boxes: Iterable[Box], height: int, width: int, *, air: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), np.bool_)
    for box in boxes:
        mask[_rows(box, air), _columns(box, air)] = True
    return mask


def _rows(box: Box, air: int = 0) -> slice:
    return slice(max(0, int(box.y0) - air), max(0, int(box.y1) + 1 + air))


def _columns(box: Box, air: int = 0) -> slice:
    return slice(max(0, int(box.x0) - air), max(0, int(box.x1) + 1 + air))


def _part(mask: NDArray[np.bool_], box: Box) -> float:
    part = mask[_rows(box), _columns(box)]
    return float(part.mean()) if part.size else 0.0


def _is_empty(box: Box, covered: NDArray[np.bool_], inked: NDArray[np.bool_]) -> bool:
    return _part(covered, box) < EMPTY and _part(inked, box) > 0


def _middle(box: Box) -> Box:
    rim = RIM * min(box.width, box.height)
    return Box(box.x0 + rim, box.y0 + rim, box.x1 - rim, box.y1 - rim)


def _box(quad: NDArray[np.float32]) -> Box:
    (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))
