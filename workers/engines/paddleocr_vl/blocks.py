"""A plan and the model's answers -> the page's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import count
from typing import cast

from jobs.options import VlOptions
from jobs.results import Block, EngineInfo, Label, PaddlexStyle, PageImage, PageResult, TextLine, Warning_
from workers.engines.paddleocr_vl.answers import Answer, Content, content_of
from workers.engines.paddleocr_vl.plan import PagePlan, PlannedBlock
from workers.engines.paddleocr_vl.tokens import without_tokens

# Labels of what PaddleX calls by the task when one task reads the whole image.
TASK_LABELS: Mapping[str, Label] = {"ocr": "text", "formula": "display_formula", "spotting": "text"}

UNORDERED: frozenset[str] = frozenset({
    "figure_title", "vision_footnote", "image", "chart", "table", "header", "header_image", "footer", "footer_image",
    "footnote", "aside_text",
})  # fmt: skip
"""Labels that are no part of the running text (PaddleX `SKIP_ORDER_LABELS`)."""


def assemble_page(
    plan: PagePlan,
    answers: Sequence[Answer],
    *,
    image: PageImage,
    engine: EngineInfo,
    options: VlOptions,
    warnings: Sequence[Warning_] = (),
    timings: Mapping[str, float] | None = None,
) -> PageResult:
    """The page's result. `answers` are in the order of `plan.requests`; raises ValueError where one is missing.

    `warnings` are those that rendering gave; `timings` seconds by step.
    """
    if len(answers) != len(plan.requests):
        raise ValueError(f"page {plan.number}: {len(answers)} answers to {len(plan.requests)} crops")
    contents = _contents(plan, answers)
    own = [i for i, block in enumerate(plan.blocks) if not block.inside_table]
    order = {plan.blocks[i].source: position for position, i in enumerate(own)}
    positions = running_positions([plan.blocks[i].region.label for i in own], options.ignored_labels)
    blocks = [_block(plan.blocks[i], contents[i], order, position) for i, position in zip(own, positions, strict=True)]
    return PageResult(
        number=plan.number,
        image=image,
        blocks=tuple(blocks),
        engine=engine,
        warnings=(*warnings, *_complaints(plan, answers, order)),
        timings={name: round(seconds, 4) for name, seconds in (timings or {}).items()},
        paddlex=style_of(options) if options.markdown == "paddlex" else None,
    )


def style_of(options: VlOptions) -> PaddlexStyle:
    """The settings that decide how PaddleX writes a page's Markdown. A task for the whole page implies its switch."""
    task = options.whole_page_task
    return PaddlexStyle(
        charts=options.charts or task == "chart",
        seals=options.seals or task == "seal",
        image_text=options.image_text,
        whole_page=task is not None,
        formula_numbers=options.formula_numbers,
        ignored_labels=options.ignored_labels,
    )


def _contents(plan: PagePlan, answers: Sequence[Answer]) -> list[Content]:
    """Of every planned block; figures inside tables are shown there."""
    size = (plan.width, plan.height)
    contents = [
        Content() if block.request is None else content_of(answers[block.request].text, block.region.label, size)
        for block in plan.blocks
    ]
    for i, block in enumerate(plan.blocks):
        if block.shown:
            shown = {token: _in_cell(plan.blocks[k].figure, contents[k].text) for token, k in block.shown.items()}
            contents[i] = Content(without_tokens(contents[i].text, shown))
    return contents


def _in_cell(name: str | None, text: str) -> str:
    """What stands in a table's cell for a figure: its picture, and the text that was read in it."""
    picture = f'<img src="{name}" alt="Image" />' if name else ""
    return f"{picture}\n\n{escape(text)}\n\n" if text else picture


def running_positions(labels: Sequence[str], ignored: Sequence[str]) -> list[int | None]:
    """1-based places in the running text, of blocks in reading order (PaddleX `block_order`)."""
    skipped = UNORDERED.union(ignored)
    places = count(1)
    return [None if label in skipped else next(places) for label in labels]


def _block(planned: PlannedBlock, content: Content, order: Mapping[int, int], position: int | None) -> Block:
    region = planned.region
    label = TASK_LABELS.get(region.label) or cast("Label", region.label)
    group = planned.group if planned.group is not None and planned.group != planned.source else None
    return Block(
        label=label,
        bbox=tuple(region.box),
        content=content.text,
        score=round(min(1.0, max(0.0, region.score)), 4),
        order=order[planned.source],
        position=position,
        level=1 if label == "doc_title" else None,
        figure=planned.figure,
        group=None if group is None else order[group],
        polygon=region.polygon,
        lines=tuple(TextLine(text=line.text, polygon=line.polygon) for line in content.lines) or None,
    )


def _complaints(plan: PagePlan, answers: Sequence[Answer], order: Mapping[int, int]) -> list[Warning_]:
    found = []
    for block in plan.blocks:
        if block.request is None:
            continue
        answer = answers[block.request]
        where = f"block {order[block.source]}" if block.source in order else "a figure inside a table"
        named = f"{where} ({block.region.label})"
        if answer.error is not None:
            found.append(Warning_(code="block_unread", detail=f"{named}: {answer.error}"))
        elif answer.truncated:
            detail = f"{named}: the answer was cut at the limit of tokens"
            found.append(Warning_(code="output_truncated", detail=detail))
    return found
