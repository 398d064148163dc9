"""Pieces of a page to blocks of its result, with images of its figures."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image

from jobs.results import Block
from workers.engines.rapidocr.geometry import Box
from workers.engines.rapidocr.pieces import Piece

JPEG_QUALITY = 85


def blocks_of(
    pieces: Sequence[Piece], pixels: Image.Image, number: int, *, figures: bool
) -> tuple[tuple[Block, ...], dict[str, bytes]]:
    """The blocks in the order of the pieces, and a JPEG by name for each figure (none where `figures` is false)."""
    blocks: list[Block] = []
    images: dict[str, bytes] = {}
    for order, piece in enumerate(pieces):
        bbox = _pixel_box(piece.box, pixels)
        name = None
        if figures and piece.label == "image" and bbox[0] < bbox[2] and bbox[1] < bbox[3]:
            name = f"page-{number:04d}-figure-{len(images) + 1}.jpg"
            images[name] = _jpeg(pixels.crop(bbox))
        score = None if piece.score is None else round(piece.score, 4)
        blocks.append(
            Block(
                label=piece.label,
                bbox=bbox,
                content=piece.content,
                score=score,
                order=order,
                level=piece.level,
                figure=name,
                goes_on_from=piece.goes_on_from,
            )
        )
    return tuple(blocks), images


def _pixel_box(box: Box, pixels: Image.Image) -> tuple[int, int, int, int]:
    return (
        max(0, math.floor(box.x0)),
        max(0, math.floor(box.y0)),
        min(pixels.width, math.ceil(box.x1)),
        min(pixels.height, math.ceil(box.y1)),
    )


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
