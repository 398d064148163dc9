"""A crop at the size that the model takes: what Pillow's bicubic filter makes of it, for less than half the work.

The filter costs more than rendering does (24 ms of 40 for a page at 144 dpi), and most pages are black on white. White
stays white whatever the weights are, and of grey pixels one channel tells all. So rows without ink are not filtered
along, columns without ink not down, and green and blue only where they differ from red. The pixels are those of
`crop.resize`, to the bit: it too filters along the rows first, rounds, and then down the columns, each channel alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]
    Flags = NDArray[np.bool_]

FILTER = Image.Resampling.BICUBIC
_REACH = 2.0
"""Pixels of the smaller of both images that the filter reads to either side."""
_WHITE = 255
_SAMPLED = 32
"""Rows that tell whether a crop is worth the look."""
_COLOURFUL = 0.5
"""Share of rows with colour from which three channels at once are as fast."""


def resized(crop: Image.Image, width: int, height: int) -> Image.Image:
    """The crop (mode RGB) at that size; mode L where all of it is grey."""
    if crop.size == (width, height):
        return crop
    if _colourful(crop):
        return crop.resize((width, height), FILTER)
    import cv2

    red, green, blue = cv2.split(np.asarray(crop))
    ink = (red & green & blue) != _WHITE
    rows, columns = ink.any(axis=1), ink.any(axis=0)
    if not rows.any():
        return Image.new("L", (width, height), _WHITE)
    along = np.full((crop.height, width), _WHITE, np.uint8)
    along[rows] = _along(red[rows], width)
    canvas = np.full((height, width), _WHITE, np.uint8)
    _down(along, canvas, _written(columns, width))
    colour = (red ^ green) | (red ^ blue)
    rows, columns = colour.any(axis=1), colour.any(axis=0)
    if not rows.any():
        return Image.fromarray(canvas)
    bands = [canvas]
    for plane in (green, blue):
        along[rows] = _along(plane[rows], width)
        bands.append(canvas.copy())
        _down(along, bands[-1], _written(columns, width))
    return Image.merge("RGB", [Image.fromarray(band) for band in bands])


def _colourful(crop: Image.Image) -> bool:
    sample = np.asarray(crop.resize((crop.width, min(crop.height, _SAMPLED)), Image.Resampling.NEAREST))
    coloured = (sample != sample[..., :1]).any(axis=(1, 2))
    return bool(coloured.mean() > _COLOURFUL)


def _along(rows: Plane, width: int) -> Plane:
    """Each row at that width."""
    return np.asarray(Image.fromarray(rows).resize((width, len(rows)), FILTER))


def _down(along: Plane, canvas: Plane, columns: slice) -> None:
    """Fill these columns of the canvas with those of `along`, at its height."""
    part = Image.fromarray(np.ascontiguousarray(along[:, columns]))
    canvas[:, columns] = np.asarray(part.resize((part.width, len(canvas)), FILTER))


def _written(columns: Flags, width: int) -> slice:
    """Which of `width` columns those that are set have a part in, from the first to the last."""
    scale = width / len(columns)
    reach = _REACH * max(1.0, scale) + 1
    found = np.flatnonzero(columns)
    return slice(max(0, math.floor(found[0] * scale - reach)), min(width, math.ceil((found[-1] + 1) * scale + reach)))
