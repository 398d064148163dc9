"""What a region or a line is: by the model's class, by position, by its text."""

from __future__ import annotations

import re
from typing import Final

from jobs.results import Label
from workers.engines.rapidocr.geometry import Box

# The ten classes of layout_cdla.onnx (CDLA data set) in the words of jobs.results.
CDLA: Final[dict[str, Label]] = {
    "text": "text",
    "title": "paragraph_title",
    "figure": "image",
    "figure_caption": "figure_title",
    "table": "table",
    "table_caption": "figure_title",
    "header": "header",
    "footer": "footer",
    "reference": "reference_content",
    "equation": "display_formula",
}

# The part of the page's height at its top and bottom where running heads, feet and page numbers stand.
MARGIN = 0.06
_NUMBER = re.compile(
    r"^[\W_]*(?:(?:page|seite|p\.|s\.)\s*)?(?:\d{1,5}|[ivxlcdm]{1,7})(?:\s*(?:/|of|von)\s*\d{1,5})?[\W_]*$", re.I
)
_SECTION = re.compile(r"^(\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+\S")


def margin_label(text: str, box: Box, height: float, gap: float, unit: float) -> Label | None:
    """`number`, `header` or `footer` for one row that stands alone in the page's margin; None for anything else.

    `height`: of the page, `gap`: to the nearest other text, `unit`: the typical line height, all in pixels.
    """
    top, bottom = box.y1 < MARGIN * height * 1.5, box.y0 > (1 - MARGIN * 1.5) * height
    if not (top or bottom) or gap < unit:
        return None
    if _NUMBER.match(text):
        return "number"
    if gap < 1.5 * unit or not (box.y1 < MARGIN * height or box.y0 > (1 - MARGIN) * height):
        return None
    return "header" if top else "footer"


def title_level(text: str) -> int:
    """The heading level of a section title: `3 Results` 2, `3.1 Speed` 3; 2 where it has no number."""
    numbered = _SECTION.match(text)
    return min(6, 2 + numbered[1].count(".")) if numbered else 2
