"""Rows of a layout model -> regions in reading order.

Source: PaddleX 3.7.2, `inference/models/layout_analysis/processors.py` (`LayoutAnalysisProcess`), and `nms` and
`check_containment` in `object_detection/processors.py`: their order of steps, and their arithmetic in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from workers.engines.paddleocr_vl.regions import Box, Region
from workers.engines.paddleocr_vl.versions import CLASS_LABELS, ModelVersion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Masks = NDArray[np.uint8]

Nesting = Literal["large", "small"]

IOU_SAME, IOU_OTHER = 0.6, 0.98
"""Overlap (intersection over union) from which the less sure box goes: of the same class, of different ones."""
CONTAINED = 0.9
"""Share of a box inside another from which it counts as lying in it."""
_IMAGE = CLASS_LABELS.index("image")
_LARGEST_IMAGE = {"landscape": 0.82, "portrait": 0.93}
"""Share of the page above which an `image` is no figure but the page itself."""
_LARGE = frozenset({"chart", "display_formula", "doc_title", "inline_formula", "paragraph_title"})
PIPELINE_NESTING: Mapping[int, Nesting] = MappingProxyType(
    {class_id: "large" for class_id, label in enumerate(CLASS_LABELS) if label in _LARGE}
)


@dataclass(frozen=True, slots=True)
class LayoutRules:
    """What is kept. The defaults are the pipeline's."""

    thresholds: Mapping[int, float]
    suppress: bool = True
    """Drop the less sure of two boxes in nearly the same place."""
    nesting: Mapping[int, Nesting] | Nesting | None = field(default_factory=lambda: PIPELINE_NESTING)
    """`large`: what lies in a box of this class goes; `small`: a box of this class goes where others lie in it. One
    word is for all classes."""
    unclip: tuple[float, float] = (1.0, 1.0)
    """Factors by which widths and heights grow around their middle."""


def regions_of(
    rows: Rows, *, width: int, height: int, version: ModelVersion, masks: Masks | None = None
) -> tuple[Region, ...]:
    """The regions of one page, sorted for reading.

    `rows` (n, 7) of V3: class id, score, x1, y1, x2, y2 in pixels of the page (`width` x `height`), place in reading
    order (ascending); (n, 8) of V2: then a second key (descending). Rows below the thresholds may be left in.
    `masks` (n, 200, 200), not zero where the region is, over the whole page: polygons are made of them where given.
    Raises ValueError for rows of another shape.
    """
    return select_regions(rows, LayoutRules(version.layout_thresholds), width=width, height=height, masks=masks)


def select_regions(
    rows: Rows, rules: LayoutRules, *, width: int, height: int, masks: Masks | None = None
) -> tuple[Region, ...]:
    """`regions_of` by other rules."""
    if rows.ndim != 2 or rows.shape[1] not in (7, 8):
        raise ValueError(f"layout rows have the shape {rows.shape}, not (n, 7) or (n, 8)")
    rows = np.array(rows, np.float32)
    rows[:, 2:6] = np.round(rows[:, 2:6])
    kept = np.flatnonzero(_sure(rows, rules.thresholds))
    if rules.suppress:
        kept = kept[_suppressed(rows[kept])]
    kept = kept[_no_whole_page(rows[kept], width, height)]
    kept = kept[_nested(rows[kept], rules.nesting)]
    kept = kept[_reading_order(rows[kept])]
    if not len(kept):
        return ()
    boxes = _unclipped(rows[kept, 2:6], rules.unclip)
    polygons = [None] * len(kept) if masks is None else _outlines(rows[kept, 2:6], masks[kept], width, height)
    regions = []
    for row, box, polygon in zip(rows[kept], boxes, polygons, strict=True):
        clipped = Box(int(max(0, box[0])), int(max(0, box[1])), int(min(width, box[2])), int(min(height, box[3])))
        if clipped.width > 0 and clipped.height > 0:
            regions.append(Region(CLASS_LABELS[int(row[0])], clipped, float(row[1]), polygon))
    return tuple(regions)


def _outlines(boxes: Rows, masks: Masks, width: int, height: int) -> list[tuple[tuple[float, float], ...] | None]:
    # cv2 is imported there: rows alone need none.
    from workers.engines.paddleocr_vl.polygons import outlines

    return list(outlines(boxes, masks, width, height))


def _sure(rows: Rows, thresholds: Mapping[int, float]) -> NDArray[np.bool_]:
    """Strictly above the threshold of its class, both as float32: a score of 0.3 is dropped at 0.3. And somewhere: a
    model that overflows gives boxes that are nowhere."""
    limits = np.array([thresholds.get(int(c), 0.5) for c in rows[:, 0]], np.float32)
    sure: NDArray[np.bool_] = (rows[:, 1] > limits) & (rows[:, 0] > -1) & (rows[:, 0] < len(CLASS_LABELS))
    return sure & np.isfinite(rows[:, 2:6]).all(axis=1)


def _suppressed(rows: Rows) -> NDArray[np.intp]:
    """Indices of what stays, the surest first. Widths count one pixel more, as in the models' own code."""
    if not len(rows):
        return np.empty(0, np.intp)
    areas = (rows[:, 4] - rows[:, 2] + 1) * (rows[:, 5] - rows[:, 3] + 1)
    waiting = np.argsort(rows[:, 1])[::-1]
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        shared = _shared(rows[best], rows[waiting], one_more=1)
        overlap = shared / (areas[best] + areas[waiting] - shared)
        limits = np.where(rows[waiting, 0] == rows[best, 0], np.float32(IOU_SAME), np.float32(IOU_OTHER))
        waiting = waiting[overlap < limits]
    return np.array(kept, np.intp)


def _shared(box: Rows, others: Rows, one_more: int = 0) -> Rows:
    """Pixels that a row's box shares with each of the others."""
    wide = np.minimum(box[4], others[:, 4]) - np.maximum(box[2], others[:, 2]) + one_more
    tall = np.minimum(box[5], others[:, 5]) - np.maximum(box[3], others[:, 3]) + one_more
    shared: Rows = np.maximum(0, wide) * np.maximum(0, tall)
    return shared


def _no_whole_page(rows: Rows, width: int, height: int) -> NDArray[np.bool_]:
    """False for images that are the page itself, unless nothing else would be left."""
    share = _LARGEST_IMAGE["landscape" if width > height else "portrait"]
    wide = np.minimum(width, rows[:, 4]) - np.maximum(0, rows[:, 2])
    tall = np.minimum(height, rows[:, 5]) - np.maximum(0, rows[:, 3])
    kept: NDArray[np.bool_] = (rows[:, 0] != _IMAGE) | (wide * tall <= share * width * height)
    return kept if kept.any() else np.ones(len(rows), np.bool_)


def _nested(rows: Rows, nesting: Mapping[int, Nesting] | Nesting | None) -> NDArray[np.bool_]:
    """False for boxes that go because they lie in others, or others in them."""
    kept: NDArray[np.bool_] = np.ones(len(rows), np.bool_)
    if not nesting or not len(rows):
        return kept
    inside = _inside(rows)
    if isinstance(nesting, str):
        return _by_nesting(inside, nesting)
    for class_id, mode in nesting.items():
        of_class = rows[:, 0] == class_id
        concerned: NDArray[np.bool_] = np.expand_dims(of_class, 0 if mode == "large" else 1)
        kept &= _by_nesting(inside & concerned, mode)
    return kept


def _inside(rows: Rows) -> NDArray[np.bool_]:
    """(n, n): whether box i lies in another box j."""
    areas = (rows[:, 4] - rows[:, 2]) * (rows[:, 5] - rows[:, 3])
    shared = np.stack([_shared(row, rows) for row in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(areas[:, None] > 0, shared / areas[:, None], 0)
    inside: NDArray[np.bool_] = np.greater_equal(shares, np.float32(CONTAINED))
    np.fill_diagonal(inside, val=False)
    return inside


def _by_nesting(inside: NDArray[np.bool_], mode: Nesting) -> NDArray[np.bool_]:
    contained: NDArray[np.bool_] = np.logical_or.reduce(inside, axis=1)
    containing: NDArray[np.bool_] = np.logical_or.reduce(inside, axis=0)
    return ~contained if mode == "large" else ~containing | contained


def _reading_order(rows: Rows) -> NDArray[np.intp]:
    if rows.shape[1] == 8:
        return np.lexsort((-rows[:, 7], rows[:, 6]))
    return np.argsort(rows[:, 6], kind="stable")


def _unclipped(boxes: Rows, factors: tuple[float, float]) -> Rows:
    sizes = boxes[:, 2:] - boxes[:, :2]
    half = sizes * np.array(factors, np.float32) / 2
    centres = boxes[:, :2] + sizes / 2
    grown: Rows = np.concatenate([centres - half, centres + half], axis=1)
    return grown
