"""Regions -> plan -> crops and blocks. Golden cases of PaddleX."""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.options import VlOptions, VlPixels
from jobs.results import EngineInfo, PageImage, PageResult
from tests.golden import Case, cases
from workers.engines.paddleocr_vl.answers import Answer
from workers.engines.paddleocr_vl.blocks import assemble_page
from workers.engines.paddleocr_vl.crops import cut_crop, trim_margins
from workers.engines.paddleocr_vl.plan import CropRequest, PagePlan, plan_page
from workers.engines.paddleocr_vl.prompts import keeps_special_tokens, question
from workers.engines.paddleocr_vl.regions import Box, Region
from workers.engines.paddleocr_vl.resize import PixelBounds, smart_resize
from workers.engines.paddleocr_vl.stacking import stacked

ENGINE = EngineInfo(name="paddleocr_vl", version="1", model="m")


@pytest.mark.parametrize("case", cases("crop_margin"), ids=str)
def test_margins_are_cut_as_paddlex_does(case: Case) -> None:
    def pixels(recorded: dict[str, Any]) -> Any:
        found = np.frombuffer(base64.b64decode(recorded["data_b64"]), np.uint8).reshape(recorded["shape"])
        return found[..., ::-1] if found.ndim == 3 else found  # BGR

    assert np.array_equal(trim_margins(pixels(case.input)), pixels(case.output))


@pytest.mark.parametrize("case", cases("merge_blocks"), ids=str)
def test_text_is_stacked_as_paddlex_does(case: Case) -> None:
    regions = [Region(block["label"], Box(*block["box"])) for block in case.input]
    found = []
    for placed in stacked(regions, case.params["non_merge_labels"]):
        i, stack = placed.region, placed.stack
        first = stack is None or stack.members[0] == i
        members = (i,) if stack is None else stack.members
        box = regions[i].box
        corners = [(0, 0)] if stack is None else stack.corners(regions)
        found.append({
            "src": i,
            "label": regions[i].label,
            "box": list(box),
            "group_id": None if stack is None else stack.members[0],
            "merge_aligns": list(stack.aligns) if stack is not None and first else None,
            "img_wh": list(stack.size(regions) if stack else (box.width, box.height)) if first else None,
            "placements": [
                [m, *corner, regions[m].box.width, regions[m].box.height]
                for m, corner in zip(members, corners, strict=True)
            ] if first else None,
        })  # fmt: skip
    assert found == case.output


@pytest.mark.parametrize("case", cases("page_assembly"), ids=str)
def test_pages_are_assembled_as_by_paddlex(case: Case) -> None:
    width, height = case.params["page_size"]
    regions = [Region(box["label"], Box(*box["coordinate"]), box["score"]) for box in case.input["boxes"]]
    options = options_of(case.params)
    plan = plan_page(regions, number=1, width=width, height=height, options=options)
    turns = batched(plan)
    check_requests([plan.requests[k] for k in turns], case.output["requests"], striped(width, height))
    answers = dict(enumerate(case.input["answers"]))
    result = assemble_page(
        plan,
        [Answer(answers.get(turn, f"answer {turn}")) for turn in (turns.index(k) for k in range(len(turns)))],
        image=PageImage(width=width, height=height, dpi=144),
        engine=ENGINE,
        options=options,
    )
    assert as_paddlex(result, plan) == case.expected["blocks"]


def batched(plan: PagePlan) -> list[int]:
    """The requests in PaddleX's order: those with the same bounds together."""
    bounds = [request.bounds for request in plan.requests]
    return sorted(range(len(bounds)), key=lambda k: bounds.index(bounds[k]))


def check_requests(requests: list[CropRequest], recorded: list[dict[str, Any]], page: Image.Image) -> None:
    assert len(requests) == len(recorded)
    for request, theirs in zip(requests, recorded, strict=True):
        height, width = theirs["image_hw"]
        assert question(request.task) == theirs["query"]
        assert request.bounds == PixelBounds(theirs["min_pixels"], theirs["max_pixels"])
        assert keeps_special_tokens(request.task) is not theirs["skip_special_tokens"]
        if request.task != "formula":  # trimmed while it is cut
            assert request.size == (width, height)
        crop = cut_crop(page, request)
        assert (crop.height, crop.width) == smart_resize(height, width, request.bounds)


def striped(width: int, height: int) -> Image.Image:
    """Every seventh row is dark, as on the page that PaddleX saw."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[::7] = 40
    return Image.fromarray(pixels)


def as_paddlex(result: PageResult, plan: PagePlan) -> list[dict[str, Any]]:
    """The page's blocks, figures by PaddleX's paths instead of our names."""
    paths = {
        block.figure: "imgs/img_in_{}_box_{}_{}_{}_{}.jpg".format(block.region.label, *block.region.box)
        for block in plan.blocks
        if block.figure is not None
    }
    groups = [block.group for block in plan.blocks if not block.inside_table]
    return [
        {
            "label": block.label,
            "bbox": list(block.bbox),
            "content": re.sub(
                r'src="([^"]*)" alt="Image"', lambda m: f'src="{paths[m[1]]}" alt="Image""', block.content
            ),
            "group_id": group,
            "image_path": paths[block.figure] if block.figure else None,
        }
        for block, group in zip(result.blocks, groups, strict=True)
    ]


def options_of(params: dict[str, Any]) -> VlOptions:
    extra = params["vlm_extra_args"]
    bounds = {
        task: VlPixels(
            min=extra.get(f"{task}_min_pixels", extra.get("min_pixels", 112_896)),
            max=extra.get(f"{task}_max_pixels", extra.get("max_pixels", 1_003_520)),
        )
        for task in ("ocr", "table", "chart", "formula", "seal")
    }
    return VlOptions(
        charts=params["use_chart_recognition"],
        seals=params["use_seal_recognition"],
        image_text=params["use_ocr_for_image_block"],
        merge_blocks=params["merge_layout_blocks"],
        pixels=bounds if extra else {},
    )
