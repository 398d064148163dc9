"""Documents that the tiny trained checkpoint reads: a number on each page, in its type, at its size."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

DPI = 200
WIDTH, HEIGHT = 80.64, 10.08
"""Points: 224 x 28 pixels at that resolution (tiny-ocr-vl/README.md)."""
LEAST_PIXELS, MOST_PIXELS = 784, 50_176
"""The bounds it was trained with."""
TINY = {
    "vl_layout_model": "none",
    "vl_min_pixels": LEAST_PIXELS,
    "vl_max_pixels": MOST_PIXELS,
    "vl_max_tokens": 512,  # a server refuses more than its model length
}
"""Settings of an engine that reads such pages, whatever holds the model."""
RESIDENT = {
    "vllm_max_model_len": 1024,
    "vllm_max_num_seqs": 64,
    "vllm_max_num_batched_tokens": 4096,
    "vllm_enforce_eager": True,  # compiling takes minutes here
}
"""Settings of a resident engine on two cores."""
ON_A_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
"""Environment of whatever runs vLLM: GiB of key-value cache, and no hub."""


def tiny_model() -> str:
    """The trained checkpoint."""
    return str(Path(__file__).parent / "tiny-ocr-vl")


def variables(settings: dict[str, object]) -> dict[str, str]:
    """Settings as the environment names them."""
    return {f"PAGEMILL_{name.upper()}": str(value) for name, value in settings.items()}


def numbers(count: int, seed: int = 0) -> list[str]:
    """Ten digits each, so that none is in another."""
    found = random.Random(seed).sample(range(10**9, 10**10), count)
    return [str(number) for number in found]


def numbers_pdf(lines: Sequence[str], sizes: Sequence[tuple[float, float]] = ()) -> bytes:
    """A page for each line; `sizes`: pages before them with nothing on them, in points."""
    # Bitstream Vera comes with reportlab; DejaVu, of which the model learnt its digits, has them from Vera.
    pdfmetrics.registerFont(TTFont("Vera", str(Path(reportlab.__file__).parent / "fonts" / "Vera.ttf")))
    out = io.BytesIO()
    canvas = Canvas(out)
    for size in sizes:
        canvas.setPageSize(size)
        canvas.setFillGray(0.5)
        canvas.rect(0, 0, size[0] / 2, size[1], stroke=0, fill=1)
        canvas.showPage()
    for line in lines:
        canvas.setPageSize((WIDTH, HEIGHT))
        canvas.setFont("Vera", 6.48)
        canvas.drawString(1, 2.6, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


SIDE = 80.64
"""Points: 224 pixels, the largest square that the model takes as it is."""


def black_pdf(pages: int) -> bytes:
    """Pages of which the model does not stop talking: it says the same for ever."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(SIDE, SIDE))
    for _ in range(pages):
        canvas.rect(0, 0, SIDE, SIDE, stroke=0, fill=1)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def crowded_pdf(pages: int, seed: int = 0) -> bytes:
    """Pages full of digits, of which the model says nonsense at length, each its own."""
    draw, out = random.Random(seed), io.BytesIO()
    canvas = Canvas(out, pagesize=(SIDE, SIDE))
    for _ in range(pages):
        canvas.setFont("Helvetica", 5.76)
        for line in range(1, 14):
            canvas.drawString(1, SIDE - 6 * line, str(draw.randrange(10**24, 10**25)))
        canvas.showPage()
    canvas.save()
    return out.getvalue()


vllm_tier = [pytest.mark.vllm, pytest.mark.timeout(420), pytest.mark.filterwarnings("default")]
"""Marks of every module here. vLLM and torch warn of things that are theirs to mend."""
