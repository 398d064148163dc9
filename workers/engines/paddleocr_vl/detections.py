"""What the layout model found on one page, small enough to cross a process border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK_SIDE = 200
"""The model's masks are 200 x 200 over the whole page."""


@dataclass(frozen=True, slots=True)
class Detections:
    """n boxes, surest first. Thresholds by class are not applied yet."""

    classes: NDArray[np.int64]
    """(n,)"""
    scores: NDArray[np.float32]
    """(n,)"""
    boxes: NDArray[np.float32]
    """(n, 4): x1, y1, x2, y2 as shares of the page's width and height."""
    order: NDArray[np.int64]
    """(n,): place in reading order, ascending."""
    columns: int
    """7 as PP-DocLayoutV3 has, 8 as V2 has (`layout_boxes.regions_of`)."""
    packed_masks: NDArray[np.uint8] | None = None
    """(n, 200, 25): a bit for each place; None where the model gives no masks."""

    def rows(self, width: int, height: int) -> NDArray[np.float32]:
        """(n, columns): class, score, box in pixels of a page of this size, order."""
        rows = np.zeros((len(self.scores), self.columns), np.float32)
        rows[:, 0] = self.classes
        rows[:, 1] = self.scores
        rows[:, 2:6] = self.boxes * np.array([width, height, width, height], np.float32)
        rows[:, 6] = self.order
        return rows

    @property
    def masks(self) -> NDArray[np.uint8] | None:
        """(n, 200, 200), 1 where the region is."""
        if self.packed_masks is None:
            return None
        return np.unpackbits(self.packed_masks, axis=-1, count=MASK_SIDE)
