"""PDFs with one printed line a page, as the tiny checkpoint of the tests reads them (its README)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

DPI = 200
WIDTH, HEIGHT = 224, 28
"""Pixels of a page at 200 dpi: 8 x 1 tokens, which smart_resize leaves as they are."""
_POINT = 72 / DPI
_FONT_PIXELS = 18


@cache
def _font() -> str:
    """Vera, which reportlab brings: DejaVu Sans, which the checkpoint was trained on, has its digits."""
    pdfmetrics.registerFont(TTFont("Vera", str(Path(reportlab.__file__).parent / "fonts" / "Vera.ttf")))
    return "Vera"


def lines_pdf(lines: Sequence[str], size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """One page for each line; pages of `size` pixels at 200 dpi."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(size[0] * _POINT, size[1] * _POINT), invariant=1)
    for line in lines:
        canvas.setFont(_font(), _FONT_PIXELS * _POINT)
        canvas.drawString(3 * _POINT, (size[1] - 21) * _POINT, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()
