"""Opening and rendering images by Pillow. Runs in render processes only.

What is wrong in the header is wrong with the document (corrupt_file); what is wrong in the pixels is wrong with the
page (page_render_failed), so that one damaged frame of a TIFF never fails the others.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps

from jobs.errors import CorruptFile, PageRenderFailed, PageTooLarge, UnsupportedType
from jobs.results import PageImage, Warning_
from workers.render import heic
from workers.render.rendering import Drawn, Rendering, fully

FORMATS = {
    "image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/bmp": "BMP", "image/gif": "GIF",
    "image/tiff": "TIFF", "image/heic": heic.FORMAT,
}  # fmt: skip

DECODE_BYTES = 16
"""Bytes that decoding may take per pixel of the pixel cap: 4 times the cap in colour, 16 times in grey or black and
white (an A0 drawing at 600 dpi). Larger images are refused by their header. JPEG decodes at a fraction."""

DEFAULT_DPI = 96.0
"""Where an image does not say: the CSS pixel, which is what screenshots have."""

_SANE_DPI = (36.0, 4800.0)
_STRIP_PIXELS = 4_000_000
_NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE = 254, 258
_REDUCED_RESOLUTION = 1

# Bytes a pixel takes in memory: Pillow stores three- and two-channel modes in four bytes. WebP keeps two canvases,
# the frame's bytes and the image; HEIC the decoder's picture and the image (measured: 7.3).
_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_WEBP_BYTES = 16
_FORMAT_BYTES = {"WEBP": _WEBP_BYTES, heic.FORMAT: 8}

# What Pillow's plugins raise on damaged data (UnidentifiedImageError is an OSError; RuntimeError is of pillow-heif).
# MemoryError is not among them.
_DAMAGED = (
    OSError, SyntaxError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error,
)  # fmt: skip


class ImageDocument:
    """An image file: every frame of a TIFF is a page, of anything else the first frame is the only one.

    Reduced-resolution copies inside a TIFF (NewSubfileType bit 0) are no pages. A frame that cannot be reached is
    counted, so that it fails as a page instead of being lost. Opened anew for every page: Pillow would keep the last
    decoded frame in memory.
    """

    encrypted = False

    def __init__(self, path: Path, media_type: str, max_pixels: int) -> None:
        if media_type not in FORMATS:
            raise UnsupportedType(f"{media_type} cannot be rendered", limit=", ".join(FORMATS), actual=media_type)
        self._path, self._format = path, FORMATS[media_type]
        if self._format == heic.FORMAT:
            heic.register()
        self._frames = [0]
        try:
            with _quiet(self._format, max_pixels), Image.open(path, formats=[self._format]) as image:
                if self._format == "TIFF":
                    self._frames = _tiff_pages(image)
        except Image.DecompressionBombError:
            pass  # said by the header alone, before anything was allocated: the page will be refused with its code
        except _DAMAGED as error:
            raise CorruptFile(f"the file is no readable {self._format} image") from error
        self.page_count = len(self._frames)

    def render(self, number: int, dpi: int, max_pixels: int, drawn: Drawn = fully) -> Rendering:
        """Images have their own size: `dpi` and `drawn` do not apply, and they are never scaled up."""
        if not 1 <= number <= self.page_count:
            raise PageRenderFailed("there is no such page", limit=self.page_count, actual=number)
        try:
            with _quiet(self._format, max_pixels), Image.open(self._path, formats=[self._format]) as image:
                if number > 1:
                    image.seek(self._frames[number - 1])
                native_dpi, native_size = _dpi(image), image.size
                pixels = _decode(image, max_pixels)
        except Image.DecompressionBombError:
            limit = DECODE_BYTES * max_pixels // _WEBP_BYTES
            raise PageTooLarge("the image has too many pixels to be decoded", limit=limit) from None
        except _DAMAGED as error:
            raise PageRenderFailed(f"the image data is damaged or ends early: {error}") from error
        # By area, because turning by the EXIF orientation may have swapped the sides.
        scale = math.sqrt(pixels.width * pixels.height / (native_size[0] * native_size[1]))
        info = PageImage(width=pixels.width, height=pixels.height, dpi=round(native_dpi * scale, 2))
        return Rendering(pixels, info, _warnings(native_size, pixels.size, max_pixels))

    def text_layer(self, number: int, width: int, height: int) -> None:
        """An image has none."""

    def close(self) -> None:
        pass


@contextmanager
def _quiet(kind: str, max_pixels: int) -> Iterator[None]:
    """Pillow without its warnings, and without its limit: `_decode` knows the mode and gives the numbers.

    But opening a WebP already allocates its canvases, so there Pillow must check (it raises at twice its number).
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = DECODE_BYTES * max_pixels // _WEBP_BYTES // 2 if kind == "WEBP" else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _tiff_pages(image: Image.Image) -> list[int]:
    pages: list[int] = []
    reduced: list[int] = []
    for frame in range(2**31):
        try:
            image.seek(frame)
        except EOFError:
            break
        except _DAMAGED:
            pages.append(frame)
            break
        tags = getattr(image, "tag_v2", {})
        (reduced if _number(tags.get(_NEW_SUBFILE_TYPE)) & _REDUCED_RESOLUTION else pages).append(frame)
    return pages or reduced


def _number(tag: object) -> int:
    value = tag[0] if isinstance(tag, tuple) and tag else tag
    return value if isinstance(value, int) else 0


def _dpi(image: Image.Image) -> float:
    """The image's own horizontal resolution where it states a plausible one."""
    stated = image.info.get("dpi")
    try:
        dpi = float(stated[0]) if stated else DEFAULT_DPI
    except (TypeError, ValueError, ArithmeticError, LookupError):  # tags hold anything
        return DEFAULT_DPI
    low, high = _SANE_DPI
    return dpi if low <= dpi <= high else DEFAULT_DPI


def _decode(image: Image.Image, max_pixels: int) -> Image.Image:
    """RGB, upright, at most `max_pixels`. The size is checked by the header, before `load` allocates anything."""
    target = _target(image.size, max_pixels)
    if image.format in ("JPEG", "MPO"):
        image.draft(None, target)
    pixels = image.width * image.height
    cost = _FORMAT_BYTES.get(image.format or "", _MODE_BYTES.get(image.mode, 4))
    if pixels * cost > DECODE_BYTES * max_pixels:
        raise PageTooLarge(
            f"an image of {image.width} x {image.height} pixels takes too much memory to decode",
            limit=DECODE_BYTES * max_pixels // cost,
            actual=pixels,
        )
    image.load()
    grey_range = _grey_range(image)
    if pixels <= max_pixels:
        flat = _flatten(image, grey_range)
    else:
        flat = _shrink(image, _target(image.size, max_pixels), grey_range)
    return _upright(image, flat)


def _target(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, math.sqrt(max_pixels / width / height))
    columns, rows = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
    return min(columns, max_pixels // rows or 1), min(rows, max_pixels)


def _shrink(image: Image.Image, target: tuple[int, int], grey_range: tuple[float, float]) -> Image.Image:
    """`image` as RGB of size `target`, strip by strip: a copy of the whole in RGB would take four times its memory.

    Every strip is cut with the margin its filter reads, so the result equals resizing at once.
    """
    result = Image.new("RGB", target)
    ratio = image.height / target[1]
    margin = math.ceil(3 * ratio) + 1  # Lanczos reads three target pixels to either side
    step = max(1, int(_STRIP_PIXELS / image.width / ratio))
    for top in range(0, target[1], step):
        bottom = min(target[1], top + step)
        first = max(0, math.floor(top * ratio) - margin)
        last = min(image.height, math.ceil(bottom * ratio) + margin)
        strip = _flatten(image.crop((0, first, image.width, last)), grey_range)
        box = (0.0, top * ratio - first, float(image.width), bottom * ratio - first)
        result.paste(strip.resize((target[0], bottom - top), Image.Resampling.LANCZOS, box=box), (0, top))
    return result


def _grey_range(image: Image.Image) -> tuple[float, float]:
    """Black and white of samples deeper than 8 bits, by the file's own depth; by content where it has none."""
    if image.mode.startswith("I;16"):
        bits = _number(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE))
        return 0.0, float(2 ** (bits if 8 < bits <= 16 else 16) - 1)
    if image.mode in ("I", "F"):
        low, high = image.getextrema()
        low, high = float(low), float(high)  # type: ignore[arg-type]  # one band: numbers, no tuples
        if image.mode == "I" and low >= 0 and 255 < high <= 65535:
            return 0.0, 65535.0
        if math.isfinite(low) and math.isfinite(high) and high > low:
            return low, high
    return 0.0, 255.0


def _flatten(image: Image.Image, grey_range: tuple[float, float]) -> Image.Image:
    """Any mode as RGB; transparency on white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        low, high = grey_range
        scale = 255.0 / (high - low)
        wide = image if image.mode == "F" else image.convert("I")  # "I;16" clips at 255 instead of scaling
        return wide.point(lambda value: value * scale - low * scale).convert("L").convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(layer, mask=layer.getchannel("A"))
        return page
    return image.convert("RGB")


def _upright(image: Image.Image, flat: Image.Image) -> Image.Image:
    """Turned as the EXIF orientation says (Pillow has already turned a TIFF). A damaged EXIF block turns nothing."""
    try:
        orientation = image.getexif().get(0x0112)
    except _DAMAGED:
        return flat
    if orientation not in range(2, 9):
        return flat
    flat.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(flat)


def _warnings(native: tuple[int, int], actual: tuple[int, int], max_pixels: int) -> tuple[Warning_, ...]:
    if native[0] * native[1] <= max_pixels:
        return ()
    detail = f"scaled from {native[0]} x {native[1]} to {actual[0]} x {actual[1]} to stay within {max_pixels} pixels"
    return (Warning_(code="page_scaled_down", detail=detail),)
