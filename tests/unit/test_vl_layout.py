"""Rows of a layout model -> regions -> those that are read. Golden cases of PaddleX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.golden import Case, cases
from workers.engines.paddleocr_vl.layout_boxes import LayoutRules, select_regions
from workers.engines.paddleocr_vl.overlaps import without_overlaps
from workers.engines.paddleocr_vl.regions import Box, Region
from workers.engines.paddleocr_vl.versions import CLASS_LABELS


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
