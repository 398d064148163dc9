"""What concerns several pages: tables that go on, levels of titles. Golden cases of PaddleX."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.paddlex import MarkdownForm, Shown, blocks_markdown, parsing_res_lists
from jobs.results import FURNITURE, Block, EngineInfo, PaddlexStyle, PageResult
from tests.golden import Case, cases
from workers.engines.paddleocr_vl.blocks import running_positions
from workers.engines.paddleocr_vl.restructure import Restructuring
from workers.engines.paddleocr_vl.title_levels import Title, title_levels

ENGINE = EngineInfo(name="paddleocr_vl", version="1", model="m")


def pages_of(recorded: list[list[dict[str, Any]]]) -> list[PageResult]:
    return [PageResult(number=n, blocks=tuple(blocks_of(page)), engine=ENGINE) for n, page in enumerate(recorded, 1)]


def blocks_of(page: list[dict[str, Any]]) -> Iterator[Block]:
    positions = running_positions([block["label"] for block in page], sorted(FURNITURE))
    for order, (block, position) in enumerate(zip(page, positions, strict=True)):
        figure = "imgs/img_in_{}_box_{}_{}_{}_{}.jpg".format(block["label"], *block["bbox"])
        yield Block(
            label=block["label"],
            bbox=tuple(block["bbox"]),
            content=block["content"],
            order=order,
            position=position,
            figure=figure if block.get("has_image") else None,
        )


def restructured(pages: list[PageResult], *, tables: bool = True, titles: bool = True) -> list[PageResult]:
    whole = Restructuring(tables=tables, titles=titles)
    for page in pages:
        whole.observe(page.number, page)
    return [whole.applied(page) for page in pages]


@pytest.mark.parametrize("case", cases("merge_tables"), ids=str)
def test_tables_are_joined_as_by_paddlex(case: Case) -> None:
    found = parsing_res_lists(restructured(pages_of(case.input), titles=False))
    shown = [
        [
            {
                "label": block["block_label"],
                "content": block["block_content"],
                "global_block_id": block["global_block_id"],
                "global_group_id": block["global_group_id"],
            }
            for block in page
        ]
        for page in found
    ]
    assert shown == case.expected


@pytest.mark.parametrize("case", cases("title_levels"), ids=str)
def test_levels_are_those_of_paddlex(case: Case) -> None:
    titles: dict[tuple[int, int], Title] = {}
    for i, page in enumerate(case.input):
        for k, block in enumerate(page):
            if block["label"] == "paragraph_title":
                x1, y1, x2, y2 = block["bbox"]
                titles[i, k] = Title(block["content"], x2 - x1, y2 - y1)
    levels = dict(zip(titles, title_levels(list(titles.values())), strict=True))
    found = [[levels.get((i, k)) for k in range(len(page))] for i, page in enumerate(case.input)]
    assert found == case.expected["title_levels"]
    assert [title.line_height for title in titles.values()] == case.expected["heights"]


@pytest.mark.parametrize("case", cases("restructure_pages"), ids=str)
def test_documents_are_restructured_as_by_paddlex(case: Case) -> None:
    found = restructured(
        pages_of(as_paddlex_reads(case)), tables=case.params["merge_tables"], titles=case.params["relevel_titles"]
    )
    lists = parsing_res_lists(found)
    recorded = [result["parsing_res_list"] for result in case.output["results"]]
    form = MarkdownForm(1000, PaddlexStyle(ignored_labels=tuple(sorted(FURNITURE))))
    markdown = [blocks_markdown([shown(block) for block in page.blocks], form) for page in found]
    if case.params["concatenate_pages"]:
        assert [without_own_ids(block) for page in lists for block in page] == list(map(without_own_ids, recorded[0]))
        everything = [shown(block) for page in found for block in page.blocks]
        assert blocks_markdown(everything, form) == case.output["results"][0]["markdown"]
    else:
        assert lists == recorded
        assert markdown == [result["markdown"] for result in case.output["results"]]


def as_paddlex_reads(case: Case) -> list[list[dict[str, Any]]]:
    """JSON that is read back loses a # at the start of contents, and every figure has a path."""
    if not case.params["from_json"]:
        return case.input
    return [
        [
            block
            | {
                "content": re.sub(r"^#+\s", "", block["content"]),
                "has_image": block["label"] in ("image", "seal", "chart"),
            }
            for block in page
        ]
        for page in case.input
    ]


def shown(block: Block) -> Shown:
    return Shown(block.label, block.content, block.bbox[2] - block.bbox[0], block.figure, block.level)


def without_own_ids(block: dict[str, Any]) -> dict[str, Any]:
    """Ids and places on the page are counted on over all pages where they are concatenated."""
    return {key: value for key, value in block.items() if key not in ("block_id", "block_order", "group_id")}
