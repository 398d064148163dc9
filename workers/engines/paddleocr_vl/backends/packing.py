"""A crop of our own: to warm a model up, and to ask whether it still reads."""

from __future__ import annotations

import io

from PIL import Image

from jobs.settings import EngineSettings
from workers.engines.paddleocr_vl.backends.base import Ask, PackedCrop, Packing

_SMALL = (112, 28)
_USUAL = (336, 336)
"""112,896 pixels: the smallest crop of the usual bounds (reference, section 2)."""
_TOKENS = 8


def probe(settings: EngineSettings, packing: Packing) -> tuple[PackedCrop, Ask]:
    """A white crop within the configured bounds, and a question whose answer is short."""
    least = settings.vl_min_pixels
    width, height = _SMALL if least is not None and least <= _SMALL[0] * _SMALL[1] else _USUAL
    pixels = width * height
    ask = Ask("ocr", min(least or pixels, pixels), max(settings.vl_max_pixels or pixels, pixels), max_tokens=_TOKENS)
    return pack(Image.new("RGB", (width, height), "white"), packing), ask


JPEG_QUALITY = 90


def pack(image: Image.Image, packing: Packing) -> PackedCrop:
    """An image (mode RGB or L) as the backend wants it. The files of grey ones have one channel."""
    if packing == "rgb":
        in_three = image if image.mode == "RGB" else image.convert("RGB")
        return PackedCrop("rgb", image.width, image.height, in_three.tobytes())
    buffer = io.BytesIO()
    if packing == "jpeg":
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    else:
        image.save(buffer, "PNG", compress_level=1)
    return PackedCrop(packing, image.width, image.height, buffer.getvalue())
