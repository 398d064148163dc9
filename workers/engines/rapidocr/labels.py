"""What a region or a line is: by the model's class, by position, by its text."""

from __future__ import annotations

import re
from typing import Final

from jobs.results import Label
from workers.engines.rapidocr.geometry import Box
from workers.engines.rapidocr.headings import CAPTION, depth

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

# The part of the page's height at its top and bottom where heads and feet stand; page numbers may be further in.
MARGIN = 0.06
NUMBER_MARGIN = 0.2
SIDE = 0.08
# A title of more letters is a paragraph, unless it is set larger than the text.
LONGEST_TITLE = 150

_NUMBER = re.compile(
    r"^[\W_]*(?:(?:page|seite|p\.|s\.)\s*)?(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of|von)\s*\d{1,4})?[\W_]*$", re.I
)
_REFERENCE = re.compile(r"^\s*(?:\[\w+\]|\(?\d{1,3}[.)]\s)|\b(?:1[89]|20)\d\d\b")
# A formula of which this part is words of three letters and more is a sentence.
MOSTLY_WORDS = 0.6
_PLAIN_WORD = re.compile(r"[^\W\d_]{3,}")
_MATHS = re.compile(r"[\d=+<>×÷±≤≥≠∑∏∫√∞∂∇^|/(){}\[\]α-ωΑ-Ω]|\s[-−]\s")


def corrected(label: Label, text: str) -> Label:
    """The model's label, where the text does not speak against it."""
    if label in ("header", "footer") and _NUMBER.match(text):
        return "number"
    if label == "reference_content" and not _REFERENCE.search(text):
        return "text"
    if label == "display_formula" and (not _MATHS.search(text) or _is_prose(text)):
        return "figure_title" if CAPTION.match(text) else "text"
    return label


def _is_prose(text: str) -> bool:
    """Words, not the names of functions between signs."""
    letters = [char for char in text if not char.isspace()]
    return sum(map(len, _PLAIN_WORD.findall(text))) > MOSTLY_WORDS * len(letters)


def is_page_number(text: str) -> bool:
    return _NUMBER.match(text) is not None


def margin_label(text: str, box: Box, height: float, gap: float, unit: float, *, outermost: bool) -> Label | None:
    """`number`, `header` or `footer` for one row that stands alone in the page's margin; None for anything else.

    `height`: of the page, `gap`: to the nearest other text, `unit`: the typical line height, all in pixels.
    `outermost`: nothing stands between the row and the page's edge.
    """
    above, below = box.y1 / height, 1 - box.y0 / height
    if not outermost or gap < unit:
        return None
    if _NUMBER.match(text) and min(above, below) < NUMBER_MARGIN:
        return "number"
    if gap < 1.5 * unit or min(above, below) >= MARGIN:
        return None
    return "header" if above < below else "footer"


def is_vertical(box: Box, text: str) -> bool:
    """Whether a line runs from top to bottom or was turned on its side."""
    return len(text) > 1 and box.height >= 1.5 * box.width


def vertical_label(box: Box, width: float) -> Label:
    """A vertical line at the page's very side is a stamp or a running title."""
    return "aside_text" if box.x1 < SIDE * width or box.x0 > (1 - SIDE) * width else "vertical_text"


def title_level(text: str) -> int:
    """The heading level of a section title: `3 Results` 2, `3.1 Speed` 3; 2 where it has no number."""
    return min(6, 1 + (depth(text) or 1))
