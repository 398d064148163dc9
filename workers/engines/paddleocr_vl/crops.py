"""Pixels of a page -> the images that the model reads. Runs in the render process, beside the page's image."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workers.engines.paddleocr_vl.plan import CropRequest, PagePlan, Piece, Token
from workers.engines.paddleocr_vl.regions import Box
from workers.engines.paddleocr_vl.resize import FACTOR, MAX_ASPECT, PixelBounds, lasting_size
from workers.engines.paddleocr_vl.scaling import resized
from workers.engines.paddleocr_vl.spotting import ENLARGE_BELOW

if TYPE_CHECKING:
    from numpy.typing import NDArray

JPEG_QUALITY = 85
WHITE = (255, 255, 255)
_INK = 200
"""Of 255, after the darkest was made black and the lightest white: up to here a pixel belongs to a formula."""
_LEAST_TRIMMED = 3
"""Pixels of each side below which trimming has gone too far and the whole crop is read."""
# OpenCV's weights of red, green and blue in gray, in 1/32768.
_GRAY = np.array([9798, 19235, 3735], np.int32)
_TOKEN_SHARE = 0.9


def cut_crop(pixels: Image.Image, request: CropRequest) -> Image.Image:
    """The image of one request, its size already what `lasting_size` gives within the request's bounds.

    Mode RGB, or L where all of it is grey: one channel then says what three would.

    `pixels`: the page, mode RGB. Crops more than 200 times as long as wide are widened with white first, and those that
    would not fit into the bounds though they were 28 pixels wide. Raises ValueError where a piece lies outside the
    page.
    """
    crop = _stacked(pixels, request)
    if request.tokens:
        crop = _painted(crop, request.tokens)
    if request.task == "formula":
        crop = _trimmed(crop)
    elif request.task == "spotting" and max(crop.size) < ENLARGE_BELOW:
        crop = crop.resize((crop.width * 2, crop.height * 2), Image.Resampling.LANCZOS)
    crop = _widened(crop, request.bounds)
    height, width = lasting_size(crop.height, crop.width, request.bounds)
    return resized(crop, width, height)


def drawn_size(request: CropRequest) -> tuple[int, int]:
    """Width and height at which pdfium may draw a page that is one crop, so that nothing is left to be resized.

    What it draws is then what `cut_crop` would have shrunk, by another filter and as legible: half of the page's pixels
    at 144 dpi, and resizing them cost more than drawing. The page's own size where the crop would not just be smaller.
    """
    width, height = request.size
    enlarged = request.task == "spotting" and max(width, height) < ENLARGE_BELOW
    if request.task == "formula" or enlarged or min(width, height) < _least_side(request.size, request.bounds):
        return request.size
    tall, wide = lasting_size(height, width, request.bounds)
    return (wide, tall) if wide <= width and tall <= height else request.size


def cut_figures(pixels: Image.Image, plan: PagePlan) -> dict[str, bytes]:
    """The page's figures as JPEG, by the names that the plan gives them."""
    figures = {}
    for block in plan.blocks:
        if block.figure is not None:
            buffer = io.BytesIO()
            _cut(pixels, block.region.box).save(buffer, "JPEG", quality=JPEG_QUALITY)
            figures[block.figure] = buffer.getvalue()
    return figures


def trim_margins(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`pixels` (height, width[, RGB]) cut to what is darker than the paper; as they are where all are alike.

    Source: PaddleX 3.7.2, `paddleocr_vl/uilts.py` (`crop_margin`).
    """
    gray = (pixels @ _GRAY + (1 << 14)) >> 15 if pixels.ndim == 3 else pixels.astype(np.int32)
    low, high = int(gray.min()), int(gray.max())
    if low == high:
        return pixels
    stretched = np.array([int((v - low) / (high - low) * 255) for v in range(low, high + 1)])
    ink = stretched[gray - low] <= _INK
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _stacked(pixels: Image.Image, request: CropRequest) -> Image.Image:
    cut = [_masked(_cut(pixels, piece.box), piece) for piece in request.pieces]
    if len(cut) == 1:
        return cut[0]
    canvas = Image.new("RGB", request.size, WHITE)
    for piece, part in zip(request.pieces, cut, strict=True):
        canvas.paste(part, (piece.x, piece.y))
    return canvas


def _cut(pixels: Image.Image, box: Box) -> Image.Image:
    page = Box(0, 0, *pixels.size)
    if box.width < 1 or box.height < 1 or not page.contains(box):
        raise ValueError(f"the region {tuple(box)} does not lie in a page of {pixels.width} x {pixels.height} pixels")
    return pixels if box == page else pixels.crop(box)


def _masked(crop: Image.Image, piece: Piece) -> Image.Image:
    """White outside the outline."""
    if piece.polygon is None or len(piece.polygon) < 3:
        return crop
    inside = Image.new("1", crop.size, 0)
    outline = [(int(x) - piece.box.x1, int(y) - piece.box.y1) for x, y in piece.polygon]
    ImageDraw.Draw(inside).polygon(outline, fill=1, outline=1)
    return Image.composite(crop, Image.new("RGB", crop.size, WHITE), inside)


def _trimmed(crop: Image.Image) -> Image.Image:
    trimmed = trim_margins(np.asarray(crop))
    return Image.fromarray(trimmed) if min(trimmed.shape[:2]) >= _LEAST_TRIMMED else crop


def _widened(crop: Image.Image, bounds: PixelBounds) -> Image.Image:
    """No side more than 200 times the other, nor so long that the model's own processor would have to shrink it again:
    vLLM's then gives a side of 0."""
    least = _least_side(crop.size, bounds)
    if min(crop.size) >= least:
        return crop
    canvas = Image.new("RGB", (max(crop.width, least), max(crop.height, least)), WHITE)
    canvas.paste(crop, ((canvas.width - crop.width) // 2, (canvas.height - crop.height) // 2))
    return canvas


def _least_side(size: tuple[int, int], bounds: PixelBounds) -> int:
    return math.ceil(max(size) / min(MAX_ASPECT, bounds.maximum / FACTOR**2))


def _painted(crop: Image.Image, tokens: Sequence[Token]) -> Image.Image:
    """Each figure white, with its token in the middle, as large as it fits."""
    painted = crop.copy()  # it may be the page itself
    draw = ImageDraw.Draw(painted)
    for token in tokens:
        draw.rectangle(token.box, fill=WHITE)
        middle = ((token.box.x1 + token.box.x2) / 2, (token.box.y1 + token.box.y2) / 2)
        side = min(token.box.width, token.box.height)
        font = ImageFont.load_default(_font_size(token.text, side * _TOKEN_SHARE))
        draw.text(middle, token.text, fill=(0, 0, 0), font=font, anchor="mm", stroke_width=side // 60)
    return painted


def _font_size(text: str, side: float) -> float:
    """Points at which the text is as wide as `side`; widths grow in proportion."""
    return max(6.0, 100.0 * side / ImageFont.load_default(100).getlength(text))
