"""Blocks as PaddleX writes them: Markdown and parsing_res_list."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobs.markdown import page_markdown
from jobs.paddlex import MarkdownForm, Shown, blocks_markdown, parsing_res_list
from jobs.results import FURNITURE, LABELS, Block, BlockPlace, EngineInfo, Label, PaddlexStyle, PageImage, PageResult
from tests.golden import Case, cases
from workers.engines.paddleocr_vl.blocks import running_positions


def shown(block: dict[str, Any]) -> Shown:
    x1, y1, x2, y2 = block["bbox"]
    path = f"imgs/img_in_{block['label']}_box_{x1}_{y1}_{x2}_{y2}.jpg" if block.get("has_image") else None
    level = block.get("title_level")
    return Shown(block["label"], block["content"], x2 - x1, path, None if level is None else level + 1)


def style(settings: dict[str, Any], *, formula_numbers: bool = False) -> PaddlexStyle:
    return PaddlexStyle(
        charts=settings.get("use_chart_recognition", False),
        seals=settings.get("use_seal_recognition", False),
        image_text=settings.get("use_ocr_for_image_block", False),
        whole_page=not settings.get("use_layout_detection", True),
        formula_numbers=formula_numbers,
        ignored_labels=[label for label in ignored(settings) if label in LABELS],
    )


def ignored(settings: dict[str, Any]) -> list[str]:
    """Some cases name a label that does not exist."""
    return settings.get("markdown_ignore_labels", sorted(FURNITURE))


def block(given: dict[str, Any], order: int, position: int | None) -> Block:
    """Not checked: some cases have labels of tasks, which our blocks never have."""
    return Block.model_construct(
        label=given["label"], bbox=given["bbox"], content=given["content"], order=order, position=position
    )


@pytest.mark.parametrize("case", cases("markdown"), ids=str)
def test_markdown_is_that_of_paddlex(case: Case) -> None:
    width = case.params["page_width"]
    blocks = [shown(block) for block in case.input]
    for variant, markdown in case.expected["markdown"].items():
        pretty, numbers = variant.startswith("pretty"), variant.endswith("number")
        form = MarkdownForm(
            width[0] if isinstance(width, list) else width,
            style(case.params["model_settings"], formula_numbers=numbers),
            pretty,
        )
        assert blocks_markdown(blocks, form) == markdown, variant


@pytest.mark.parametrize("case", cases("markdown"), ids=str)
def test_blocks_are_those_of_paddlex(case: Case) -> None:
    labels = [given["label"] for given in case.input]
    positions = running_positions(labels, ignored(case.params["model_settings"]))
    blocks = [block(*given) for given in zip(case.input, range(len(labels)), positions, strict=True)]
    page = PageResult.model_construct(number=1, blocks=tuple(blocks))
    expected = case.expected["parsing_res_list"]
    if case.params["model_settings"].get("format_block_content"):
        # PaddleX's option to put each block's Markdown into its content: ours is the model's.
        expected = [theirs | {"block_content": b["content"]} for theirs, b in zip(expected, case.input, strict=True)]
    assert parsing_res_list(page) == expected


ENGINE = EngineInfo(name="paddleocr_vl", version="1", model="m")


def page(*blocks: Block) -> PageResult:
    return PageResult(
        number=1, image=PageImage(width=400, height=400, dpi=144), blocks=blocks, engine=ENGINE,
        paddlex=PaddlexStyle(ignored_labels=tuple(sorted(FURNITURE))),
    )  # fmt: skip


def one(label: Label, content: str, **values: Any) -> PageResult:
    return page(Block(label=label, bbox=(0, 0, 100, 20), content=content, order=0, **values))


def test_a_blank_page_has_no_markdown() -> None:
    assert page_markdown(page()) == ""


def test_a_page_of_one_table_whose_rows_moved_has_no_markdown() -> None:
    assert page_markdown(one("table", "", continues=BlockPlace(page=1, order=0))) == ""


@pytest.mark.parametrize(
    "label", ["text", "doc_title", "paragraph_title", "figure_title", "table", "content", "abstract", "display_formula"]
)
def test_what_was_read_is_no_html(label: Label) -> None:
    read = "a <script>alert(1)</script> <!-- b --> <img src=x onerror=y> $c<d$ </div> <td onclick=x>"
    assert not re.search(r"<(?:script|!|img|td|d\$)|</(?:script|div>\s*<)", page_markdown(one(label, read)))


def test_the_answers_of_tasks_are_no_html() -> None:
    chart = one("chart", "a<b | <script>\n1 | 2")
    chart = chart.model_copy(update={"paddlex": PaddlexStyle(charts=True)})
    assert "<th style='text-align: center;'>&lt;script></th>" in page_markdown(chart)


def test_tables_keep_their_tags_and_link_to_their_figures() -> None:
    figure = '<img src="page-0002-figure-1.jpg" alt="Image" />'
    table = f'<table><tr><td rowspan="2">a &lt;b&gt;</td><td>{figure}</td></tr></table>'
    markdown = page_markdown(one("table", table), figures="f/")
    assert '<td rowspan="2">a &lt;b&gt;</td>' in markdown
    assert '<img src="f/page-0002-figure-1.jpg" alt="Image" /></td></tr></table>' in markdown


def test_a_joined_table_links_to_its_figures_too() -> None:
    """Its HTML was written anew, with attributes by name."""
    table = '<table><tr><td><img alt="Image" src="page-0002-figure-1.jpg"/></td></tr></table>'
    assert '<img src="f/page-0002-figure-1.jpg" alt="Image" />' in page_markdown(one("table", table), figures="f/")


def test_a_formula_is_no_tag_and_stays_a_formula() -> None:
    assert page_markdown(one("display_formula", "$$a<b$$")) == "$$a< b$$"
    assert page_markdown(one("text", "if $a<b$ then <b>")) == "if $a< b$ then &lt;b>"
