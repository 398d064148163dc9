"""Images whose headers lie, to be sent as they are or inside PDFs."""

from __future__ import annotations

import struct
from io import BytesIO

from PIL import Image


def encoded(kind: str, size: tuple[int, int] = (16, 16), **options: object) -> bytes:
    """A small white image."""
    out = BytesIO()
    Image.new("RGB", size, "white").save(out, kind, **options)
    return out.getvalue()


def jpeg_lying(width: int, height: int) -> bytes:
    """A JPEG of 16 x 16 whose frame header claims more."""
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0") + 5  # marker, length, precision; then height and width
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_scans(count: int = 20_000, size: tuple[int, int] = (2000, 2000)) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each one is a walk over the whole image."""
    data = encoded("JPEG", size, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def jpx_lying(width: int, height: int) -> bytes:
    """A JPEG 2000 of 16 x 16 whose size marker claims more, as one single tile."""
    data = bytearray(encoded("JPEG2000"))
    at = data.index(b"\xff\x51") + 6  # marker, length, capabilities; then size, offset, tile size, tile offset
    data[at : at + 32] = struct.pack(">8I", width, height, 0, 0, width, height, 0, 0)
    return bytes(data)


def jbig2_lying(width: int, height: int) -> bytes:
    """A JBIG2 page of this size (ISO/IEC 14492, 7.4.8) with a generic region as large (7.4.6), and no data for it."""
    page = struct.pack(">IIIIBH", width, height, 0, 0, 0, 0)
    pixels = b"\x00" + b"\x03\xff\xfd\xff\x02\xfe\xfe\xfe" + b"\x00" * 16  # flags, template pixels, data
    region = struct.pack(">IIIIB", width, height, 0, 0, 0) + pixels
    return _segment(0, 48, page) + _segment(1, 38, region)


def _segment(number: int, kind: int, data: bytes) -> bytes:
    return struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data
