"""The sizes of images that the model takes: multiples of 28 within bounds of pixels.

Source: PaddleX 3.7.2, `models/doc_vlm/processors/paddleocr_vl/_siglip.py` (`smart_resize`), and the same in
transformers and vLLM. Resizing beforehand is idempotent: the model's own processor then leaves the image as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jobs.options import VlTask

FACTOR = 28
"""A patch has 14 pixels a side, and 2 x 2 patches make one token."""
MAX_ASPECT = 200


@dataclass(frozen=True, slots=True)
class PixelBounds:
    """Pixels that an image may have when it reaches the model."""

    minimum: int
    maximum: int


DEFAULT_BOUNDS = PixelBounds(112_896, 1_003_520)
"""144 to 1,280 tokens: PaddleX overrides what the checkpoints say."""
TASK_BOUNDS: Mapping[VlTask, PixelBounds] = MappingProxyType(
    {
        "ocr": DEFAULT_BOUNDS,
        "table": DEFAULT_BOUNDS,
        "formula": DEFAULT_BOUNDS,
        "chart": DEFAULT_BOUNDS,
        "seal": DEFAULT_BOUNDS,
        "spotting": PixelBounds(112_896, 1_605_632),
    }
)


def smart_resize(
    height: int, width: int, bounds: PixelBounds = DEFAULT_BOUNDS, factor: int = FACTOR
) -> tuple[int, int]:
    """The (height, width) to which an image of this size is resized: multiples of `factor` within `bounds`.

    The aspect is kept as well as that allows. Raises ValueError for a side below 1 and where the long side, after the
    short one was brought to `factor`, is more than 200 times the short one (`crops.py` widens such crops beforehand).
    Differs from PaddleX where that gives a side of 0 or divides by it: no side is below `factor`.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image of {width} x {height} pixels cannot be resized")
    scaled_height, scaled_width = _at_least(factor, height, width)
    aspect = max(scaled_height, scaled_width) / min(scaled_height, scaled_width)
    if aspect > MAX_ASPECT:
        raise ValueError(f"an image of {width} x {height} pixels is more than {MAX_ASPECT} times as long as wide")
    tall, wide = round(scaled_height / factor) * factor, round(scaled_width / factor) * factor
    pixels = scaled_height * scaled_width
    if tall * wide > bounds.maximum:
        shrink = math.sqrt(pixels / bounds.maximum)
        tall = max(factor, math.floor(scaled_height / shrink / factor) * factor)
        wide = max(factor, math.floor(scaled_width / shrink / factor) * factor)
    elif tall * wide < bounds.minimum:
        grow = math.sqrt(bounds.minimum / pixels)
        tall = math.ceil(scaled_height * grow / factor) * factor
        wide = math.ceil(scaled_width * grow / factor) * factor
    return tall, wide


def image_tokens(height: int, width: int) -> int:
    """Tokens of an image whose sides are multiples of 28."""
    return height * width // (FACTOR * FACTOR)


def _at_least(factor: int, height: int, width: int) -> tuple[int, int]:
    """Both sides at least `factor`, the other side scaled along. Rounds half to even, as Python does."""
    if height < factor:
        height, width = factor, round(width * factor / height)
    if width < factor:
        height, width = round(height * factor / width), factor
    return height, width
