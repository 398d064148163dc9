"""Rows of a layout model -> regions -> those that are read. Golden cases of PaddleX."""

from __future__ import annotations

import base64
import math
import zlib
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.golden import Case, cases
from workers.engines.paddleocr_vl.layout_boxes import LayoutRules, regions_of, select_regions
from workers.engines.paddleocr_vl.overlaps import without_overlaps
from workers.engines.paddleocr_vl.polygons import MASK_SIDE, outlines
from workers.engines.paddleocr_vl.regions import Box, Region, polygon_iou, polygon_overlap
from workers.engines.paddleocr_vl.versions import CLASS_LABELS, VERSIONS, ModelVersion


def rules(params: dict[str, Any]) -> LayoutRules:
    threshold, unclip = params["threshold"], params["layout_unclip_ratio"] or 1.0
    return LayoutRules(
        by_class(threshold) if isinstance(threshold, dict) else dict.fromkeys(range(len(CLASS_LABELS)), threshold),
        suppress=params["layout_nms"],
        nesting=nesting(params["layout_merge_bboxes_mode"]),
        unclip=tuple(unclip) if isinstance(unclip, list) else (unclip, unclip),
    )


def nesting(mode: Any) -> Any:
    """PaddleX's "union" keeps all."""
    if isinstance(mode, dict):
        return {class_id: word for class_id, word in by_class(mode).items() if word != "union"}
    return None if mode == "union" else mode


def by_class(values: dict[str, Any]) -> dict[int, Any]:
    return {int(class_id): value for class_id, value in values.items()}


@pytest.mark.parametrize("case", cases("layout_postprocess"), ids=str)
def test_layouts_are_those_of_paddlex(case: Case) -> None:
    width, height = case.params["img_size"]
    rows = np.array(case.input, np.float32).reshape(-1, case.params["columns"])
    regions = select_regions(rows, rules(case.params), width=width, height=height)
    found = [
        {"cls_id": CLASS_LABELS.index(r.label), "label": r.label, "score": round(r.score, 6), "coordinate": list(r.box)}
        for r in regions
    ]
    assert found == [{k: box[k] for k in ("cls_id", "label", "score", "coordinate")} for box in case.output]


@pytest.mark.parametrize("case", cases("filter_overlap_boxes"), ids=str)
def test_overlaps_are_dropped_as_paddlex_does(case: Case) -> None:
    regions = {}
    for box in case.input:
        points = box.get("polygon_points")
        polygon = None if points is None else tuple((float(x), float(y)) for x, y in points)
        region = Region(box["label"], Box(*box["coordinate"]), box["score"], polygon)
        regions[id(region)] = (box["id"], region)
    kept = without_overlaps([region for _, region in regions.values()])
    assert [regions[id(region)][0] for region in kept] == case.output["kept_ids"]


@pytest.mark.parametrize("case", cases("outlines"), ids=str)
def test_outlines_are_those_of_paddlex(case: Case) -> None:
    boxes = np.array(case.input["boxes"], np.float32)
    bits = np.frombuffer(zlib.decompress(base64.b64decode(case.input["masks_zlib_b64"])), np.uint8)
    masks = np.unpackbits(bits).reshape(len(boxes), MASK_SIDE, MASK_SIDE)
    found = outlines(boxes, masks, case.params["width"], case.params["height"])
    for ours, theirs in zip(found, case.output, strict=True):
        assert np.array(ours) == pytest.approx(np.array(theirs), abs=2e-3)


def rows_of(draw_rows: list[tuple[int, float, int, int, int, int]]) -> Any:
    """Rows of V3: the last column is the place in reading order."""
    return np.array([[*row, place] for place, row in enumerate(draw_rows)], np.float32).reshape(-1, 7)


ROW = st.tuples(st.integers(-1, 24), st.floats(0, 1, width=32), *(st.integers(-200, 1200) for _ in range(4)))


@given(rows=st.lists(ROW, max_size=12), version=st.sampled_from(list(VERSIONS.values())))
def test_regions_lie_in_the_page_in_their_order(rows: list[Any], version: ModelVersion) -> None:
    regions = regions_of(rows_of(rows), width=1000, height=900, version=version)
    for region in regions:
        assert Box(0, 0, 1000, 900).contains(region.box)
        assert region.box.width > 0
        assert region.box.height > 0
        assert region.score > 0.29
    kept = without_overlaps(regions)
    assert [region for region in regions if region in kept] == list(kept)
    texts = [region for region in kept if region.label == "text"]
    for first, second in combinations(texts, 2):
        assert first.box.intersection(second.box) <= 0.7 * min(first.box.area, second.box.area)


@pytest.mark.parametrize("nowhere", [np.nan, np.inf, -np.inf])
def test_a_box_that_is_nowhere_costs_no_other(nowhere: float) -> None:
    """What a model says that overflowed on one query; the page was lost for an OverflowError."""
    rows = np.array([[22, 0.9, 10, 10, 90, 20, 0], [22, 0.9, 10, nowhere, 90, 40, 1]], np.float32)
    masks = np.ones((2, MASK_SIDE, MASK_SIDE), np.uint8)
    [region] = regions_of(rows, width=100, height=100, version=VERSIONS["1.6"], masks=masks)
    assert region.box == (10, 10, 90, 20)


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 6\)"):
        regions_of(np.zeros((3, 6), np.float32), width=10, height=10, version=VERSIONS["1.6"])


def star(x: int, y: int, radii: list[int]) -> tuple[tuple[float, float], ...]:
    """An outline around a point, which never crosses itself."""
    step = 2 * math.pi / len(radii)
    return tuple((x + r * math.cos(i * step), y + r * math.sin(i * step)) for i, r in enumerate(radii))


STARS = st.builds(star, st.integers(0, 60), st.integers(0, 60), st.lists(st.integers(1, 40), min_size=3, max_size=9))


@given(STARS, STARS)
def test_areas_of_outlines_are_those_of_geometry(first: Any, second: Any) -> None:
    a, b = shapely.Polygon(first), shapely.Polygon(second)
    shared = a.intersection(b).area
    assert polygon_overlap(first, second) == pytest.approx(shared / min(a.area, b.area), abs=1e-9)
    assert polygon_iou(first, second) == pytest.approx(shared / a.union(b).area, abs=1e-9)
