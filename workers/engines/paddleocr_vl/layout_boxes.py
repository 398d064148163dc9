"""Rows of a layout model -> regions in reading order.

Source: PaddleX 3.7.2, `inference/models/layout_analysis/processors.py` (`LayoutAnalysisProcess`), and `nms` in
`object_detection/processors.py`, in that order and with its arithmetic (float32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workers.engines.paddleocr_vl.regions import Region
from workers.engines.paddleocr_vl.versions import ModelVersion

if TYPE_CHECKING:
    from numpy.typing import NDArray


def regions_of(
    rows: NDArray[np.float32],
    *,
    width: int,
    height: int,
    version: ModelVersion,
    masks: NDArray[np.uint8] | None = None,
) -> tuple[Region, ...]:
    """The regions of one page, sorted for reading.

    `rows` (n, 7) of V3: class id, score, x1, y1, x2, y2 in pixels of the page (`width` x `height`), place in reading
    order (ascending); (n, 8) of V2: then a second key (descending). Rows below the thresholds may be left in.
    `masks` (n, 200, 200), not zero where the region is, over the whole page: polygons are made of them where given.
    """
    raise NotImplementedError
