"""What stands in lines of text, by PP-OCR's recogniser or another of its kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workers.textlayer.direction import has_rtl, reading_order, reads_rtl
from workers.textlayer.fixed import Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Height in pixels that the model takes; its cost is proportional to the width (78 microseconds of CPU a pixel).
LINE_HEIGHT = 48
# Wider lines are squeezed: the model's output takes 9 kB of memory a pixel.
LINE_RATIO = 60
# Short lines get paper behind them. The package fills them up to 320 pixels, which doubles the cost of a table's cells;
# with none at all the last character suffers (407 cells and words of the test documents, 2,062 characters: 23 errors
# in 9.9 s filled up to 320, 34 in 4.0 s with none, 25 in 5.4 s with these two numbers).
AIR = 32
LEAST_WIDTH = 128
_ENOUGH_WIDTH = 320
_UPRIGHT = 1.5
# The quadrangle of a line that is curved is as high as the whole curve, and holds parts of its neighbours: long lines
# that score less are read again without the outer parts of their height. (15 images of the test documents, 671 lines,
# none of them curved: no text changes; recognition takes 1.11 times the CPU time in all, 1.8 times on a handwritten
# page. At 0.95 one line loses a space. What it gains: the first lines of test_a_curved_page_loses_no_line.)
SURE = 0.9
_LONG = 5.0
_MIDDLE = 0.7


class ReadLine(NamedTuple):
    """One detected line and what the recogniser made of it."""

    quad: NDArray[np.float32]
    """(4, 2) in pixels of the page."""
    text: str
    score: float
    """0 to 1, the mean probability of its characters."""
    font: int | None = None
    """Which of the page's fonts it is set in, where that is known: in a text layer."""
    columns: Columns | None = None
    """With all its blanks, where a text layer says that its characters are of one width."""


class Recognizer:
    """A CTC recogniser in onnxruntime: (n, 3, 48, width) to the probabilities (n, steps, classes)."""

    def __init__(self, session: Any, classes: Sequence[str]) -> None:
        """`classes`: the character of each, the first of them none."""
        self._session, self._classes = session, classes
        self._input = session.get_inputs()[0].name
        self.alphabet = frozenset(classes)
        """Every character it can tell."""

    def read(self, image: Pixels, quads: NDArray[np.float32]) -> list[ReadLine]:
        """Every quadrangle of the image (BGR) with its text, whatever its score.

        Line by line: batches are no faster on one thread (12.8 ms a line of 160 pixels in fours, 13.6 alone; at 1,280
        pixels slower) and have to be filled up to their longest line.
        """
        return [ReadLine(quad, *self._read(_line(image, quad))) for quad in quads]

    def _read(self, line: Pixels) -> tuple[str, float]:
        """A second reading counts where it leaves half of the doubt at most: on handwriting none does."""
        text, score = self._recognized(line)
        height, width = line.shape[:2]
        if score >= SURE or width < _LONG * height or not text:
            return text, score
        outer = round(height * (1 - _MIDDLE) / 2)
        again, better = self._recognized(np.ascontiguousarray(line[outer : height - outer]))
        return (again, better) if 1 - better <= (1 - score) / 2 else (text, score)

    def _recognized(self, line: Pixels) -> tuple[str, float]:
        (probabilities,) = self._session.run(None, {self._input: _tensor(line)})[0]
        best = probabilities.argmax(axis=1)
        # CTC: class 0 is none, and a character that stays is one character.
        told = best != 0
        told[1:] &= best[1:] != best[:-1]
        steps = np.flatnonzero(told)
        if not len(steps):
            return "", 0.0
        text = "".join(self._classes[index] for index in best[steps])
        return _in_reading_order(text), float(probabilities[steps, best[steps]].mean())


def _in_reading_order(text: str) -> str:
    """The model tells characters from left to right as they stand, also where they are read from the right."""
    if not has_rtl(text):
        return text
    return "".join(text[i] for i in reading_order(text, rtl=reads_rtl(text)))


def _line(image: Pixels, quad: NDArray[np.float32]) -> Pixels:
    """The quadrangle as an upright image, at least one pixel each way; a line on its side is laid down."""
    import cv2

    top_left, top_right, bottom_right, bottom_left = quad
    width = max(1, int(max(_distance(top_left, top_right), _distance(bottom_right, bottom_left))))
    height = max(1, int(max(_distance(top_left, bottom_left), _distance(top_right, bottom_right))))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad, target)
    line = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(np.rot90(line)) if height >= _UPRIGHT * width else np.asarray(line, np.uint8)


def _tensor(line: Pixels) -> NDArray[np.float32]:
    import cv2

    height, width = line.shape[:2]
    scaled = min(math.ceil(LINE_HEIGHT * width / height), LINE_RATIO * LINE_HEIGHT)
    room = max(scaled, min(_ENOUGH_WIDTH, max(LEAST_WIDTH, scaled + AIR)))
    tensor = np.zeros((1, 3, LINE_HEIGHT, room), np.float32)
    pixels = cv2.resize(line, (scaled, LINE_HEIGHT)).astype(np.float32)
    tensor[0, :, :, :scaled] = (pixels * (2 / 255) - 1).transpose(2, 0, 1)
    return tensor


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return math.dist(one.tolist(), other.tolist())
