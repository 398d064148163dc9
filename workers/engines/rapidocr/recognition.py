"""What stands in lines of text, by rapidocr's recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Wider lines are squeezed: the recogniser's cost grows with the square of the width.
LINE_RATIO = 60


class ReadLine(NamedTuple):
    """One detected line and what the recogniser made of it."""

    quad: NDArray[np.float32]
    """(4, 2) in pixels of the page."""
    text: str
    score: float
    """0 to 1, the mean probability of its characters."""


def read_lines(image: Pixels, quads: NDArray[np.float32], reader: Any) -> list[ReadLine]:
    """Every quadrangle with its text, whatever its score. `reader`: a rapidocr.RapidOCR."""
    crops: Sequence[Pixels] = reader.crop_text_regions(image, quads)
    read = reader.recognize_txt([_squeezed(crop) for crop in crops])
    return [ReadLine(quad, text, float(score)) for quad, text, score in zip(quads, read.txts, read.scores, strict=True)]


def _squeezed(crop: Pixels) -> Pixels:
    import cv2

    height, width = crop.shape[:2]
    if width <= LINE_RATIO * max(1, height):
        return crop
    return np.asarray(cv2.resize(crop, (LINE_RATIO * max(1, height), max(1, height))), np.uint8)
