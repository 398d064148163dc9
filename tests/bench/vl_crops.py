"""Crops as the layout half cuts them from pages at 200 dpi, made up: their sizes, and how long their text is.

Two kinds of A4 page (1654 x 2339 pixels), 15 crops each: a report in one column and a paper in two. Text of 10 points
at 200 dpi has lines 38 pixels apart and letters 14 pixels wide on the average; a token is about 4 letters. A cell of a
table is about 4 tokens with its tag.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from jobs.options import VlTask
from workers.engines.paddleocr_vl.backends.base import Ask, PackedCrop
from workers.engines.paddleocr_vl.backends.packing import pack
from workers.engines.paddleocr_vl.resize import DEFAULT_BOUNDS, image_tokens, smart_resize

CROPS_A_PAGE = 15
LINE = 38
LETTER = 14
LETTERS_A_TOKEN = 4
CELL_TOKENS = 4
LEAST_TOKENS = 4


@dataclass(frozen=True, slots=True)
class AskedCrop:
    """What the engine is asked, and the tokens of its image."""

    crop: PackedCrop
    ask: Ask
    image_tokens: int


def made_up_crops(pages: int, seed: int) -> list[AskedCrop]:
    """The crops of `pages` pages, one page after the other, reports and papers in turn."""
    draw = random.Random(seed)
    return [_crop(*shape) for page in range(pages) for shape in (_report(draw), _paper(draw))[page % 2]]


_Shape = tuple[VlTask, int, int, int]
"""Task, width and height in pixels of the page, tokens of the answer."""


def _report(draw: random.Random) -> list[_Shape]:
    """Header, two titles, eight paragraphs of 2 to 9 lines, caption, table, formula, page number."""
    width = 1370
    texts = [_text(width, draw.randint(2, 9), draw) for _ in range(8)]
    rows, columns = draw.randint(6, 16), draw.randint(4, 7)
    return [
        _text(600, 1, draw), _text(500, 1, draw), _text(700, 1, draw), *texts, _text(800, 1, draw),
        ("table", width, rows * 44, rows * (columns * CELL_TOKENS + 1)), ("formula", 640, 90, 40), _text(60, 1, draw),
    ]  # fmt: skip


def _paper(draw: random.Random) -> list[_Shape]:
    """Two titles, nine paragraphs of 4 to 14 lines in a column, caption, table, formula, footnote."""
    width = 660
    texts = [_text(width, draw.randint(4, 14), draw) for _ in range(9)]
    rows = draw.randint(5, 12)
    return [
        _text(1100, 2, draw), _text(400, 1, draw), *texts, _text(width, 2, draw),
        ("table", width, rows * 36, rows * (4 * CELL_TOKENS + 1)), ("formula", 560, 80, 36), _text(width, 2, draw),
    ]  # fmt: skip


def _text(width: int, lines: int, draw: random.Random) -> _Shape:
    """The last line is as long as it happens to be."""
    letters = (lines - draw.random() * 0.9 if lines > 1 else 1) * width / LETTER
    return "ocr", width, lines * LINE, max(LEAST_TOKENS, round(letters / LETTERS_A_TOKEN))


def _crop(task: VlTask, width: int, height: int, tokens: int) -> AskedCrop:
    image = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(24)
    for top in range(4, height - 20, LINE):
        pen.text((4, top), "The quick brown fox jumps over the lazy dog. " * (width // 500 + 1), "black", font)
    tall, wide = smart_resize(height, width, DEFAULT_BOUNDS)
    packed = pack(image.resize((wide, tall), Image.Resampling.BICUBIC), "rgb")
    ask = Ask(task, DEFAULT_BOUNDS.minimum, DEFAULT_BOUNDS.maximum, max_tokens=tokens)
    return AskedCrop(packed, ask, image_tokens(tall, wide))
