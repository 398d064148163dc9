"""What the model answered -> the content of a block.

Source of the order of steps: PaddleX 3.7.2, `paddleocr_vl/pipeline.py` (`_paddleocr_vl_assemble_parsing_results`).
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.engines.paddleocr_vl.formula import with_dollars
from workers.engines.paddleocr_vl.otsl import otsl_to_html
from workers.engines.paddleocr_vl.repetition import SHORTEST, SHORTEST_TABLE, without_repetition
from workers.engines.paddleocr_vl.spotting import SpottedLine, spotted_lines, spotted_text


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to one crop."""

    text: str = ""
    truncated: bool = False
    """It was cut at the limit of tokens: the content is kept, the page gets the warning `output_truncated`."""
    error: str | None = None
    """Why the crop could not be read, where it could not; the block stays, empty, with the warning `block_unread`."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a block says. `lines` only for spotting."""

    text: str = ""
    lines: tuple[SpottedLine, ...] = ()


def content_of(answer: str, label: str, size: tuple[int, int]) -> Content:
    """The content of a block with this label. `size`: width and height of what spotting's places refer to."""
    text = without_repetition(answer, SHORTEST_TABLE if label == "table" else SHORTEST)
    text = with_dollars(text, formula_number=label == "formula_number")
    if label == "table":
        return Content(otsl_to_html(text) or text)
    if label == "spotting":
        lines = spotted_lines(text, *size)
        return Content(spotted_text(lines), lines)
    return Content(text)
