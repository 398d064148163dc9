"""Hostile images, made here. Each maker gives the file's bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

from tests.hostile.codecs import encoded, jpeg_lying, jpeg_scans
from tests.hostile.pdfs import MIB, deflated
from tests.hostile_files import _chunk as chunk
from tests.hostile_files import bomb_png

PNG_START = b"\x89PNG\r\n\x1a\n"


# --- PNG


def png_rows(width: int = 12_000, height: int = 13_000) -> bytes:
    """156 Mpx of RGB zeros in half a megabyte: just within what may be decoded."""
    size = -(-(height * (3 * width + 1)) // MIB) * MIB
    return _png(width, height, 2, deflated(b"\0", size))


def png_long(size: int = 1024 * MIB) -> bytes:
    """A small picture followed by a gigabyte of zeros in its stream."""
    return _png(16, 16, 2, deflated(b"\0", size))


def png_profile_bomb(size: int = 512 * MIB) -> bytes:
    """A colour profile and a comment that unpack to half a gigabyte each."""
    packed = deflated(b"\0", size)
    more = chunk(b"iCCP", b"p\0\0" + packed) + chunk(b"zTXt", b"Comment\0\0" + packed)
    return _png(16, 16, 2, zlib.compress(bytes(16 * 49)), more)


def png_thin() -> bytes:
    """Two billion pixels wide, one high."""
    return _png(2**31 - 1, 1, 0, zlib.compress(bytes(1000)))


def _png(width: int, height: int, colour: int, data: bytes, more: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return PNG_START + chunk(b"IHDR", header) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# --- GIF, BMP, WebP, JPEG


def gif_screen() -> bytes:
    """A frame of one pixel on a screen of 65,535 x 65,535."""
    data = bytearray(encoded("GIF"))
    data[6:10] = struct.pack("<HH", 65_535, 65_535)
    return bytes(data)


def gif_frame() -> bytes:
    """The frame itself claims 65,535 x 65,535."""
    data = bytearray(encoded("GIF"))
    at = data.index(b",", 13)
    data[6:10] = data[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    return bytes(data)


def bmp_large() -> bytes:
    data = bytearray(encoded("BMP"))
    data[18:26] = struct.pack("<ii", 2_147_483_647, -2_147_483_647)
    return bytes(data)


def bmp_run_lengths(side: int = 12_000) -> bytes:
    """Run lengths of one colour: 144 Mpx in a megabyte."""
    rows = (b"\xff\x00" * (side // 255) + bytes([side % 255, 0]) + b"\0\0") * side
    palette = bytes(1024)
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def webp_canvas() -> bytes:
    """A canvas of 16,384 x 16,384 (the most there is) over a frame of 16 x 16."""
    image = encoded("WEBP")[12:]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_383).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", 4 + len(extended) + len(image)) + b"WEBP" + extended + image


def jpeg_frame() -> bytes:
    return jpeg_lying(65_500, 65_500)


# --- TIFF


def tiff_of(directories: Sequence[Sequence[tuple[int, int, int, int]]], following: Sequence[int], tail: bytes) -> bytes:
    """Image file directories of (tag, type, count, value), each with the offset that it says follows; then bytes."""
    out = bytearray(b"II*\0\x08\0\0\0")
    for entries, after in zip(directories, following, strict=True):
        out += struct.pack("<H", len(entries))
        out += b"".join(struct.pack("<HHII", *entry) for entry in entries)
        out += struct.pack("<I", after)
    return bytes(out + tail)


def _grey(width: int, height: int, offset: int, size: int, compression: int = 1) -> list[tuple[int, int, int, int]]:
    return [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, size),
    ]  # fmt: skip


_DIRECTORY = 2 + 9 * 12 + 4
_TIFF_START = 8


def tiff_loop() -> bytes:
    """A directory that follows itself."""
    return tiff_of([_grey(16, 16, _TIFF_START + _DIRECTORY, 256)], [_TIFF_START], bytes(256))


def tiff_pair_loop() -> bytes:
    """Two directories that follow each other."""
    data = _TIFF_START + 2 * _DIRECTORY
    page = _grey(16, 16, data, 256)
    return tiff_of([page, page], [_TIFF_START + _DIRECTORY, _TIFF_START], bytes(256))


def tiff_many(frames: int = 20_001) -> bytes:
    """One page more than a document may have."""
    data = _TIFF_START + frames * _DIRECTORY
    page = _grey(16, 16, data, 256)
    following = [_TIFF_START + (index + 1) * _DIRECTORY for index in range(frames - 1)] + [0]
    return tiff_of([page] * frames, following, bytes(256))


def tiff_large() -> bytes:
    """Two billion square, without data."""
    return tiff_of([_grey(2**31 - 1, 2**31 - 1, _TIFF_START + _DIRECTORY, 256)], [0], bytes(256))


def tiff_deflated(side: int = 25_000) -> bytes:
    """625 Mpx of grey zeros, just within what may be decoded, in a megabyte."""
    data = deflated(b"\0", -(-side * side // MIB) * MIB)
    return tiff_of([_grey(side, side, _TIFF_START + _DIRECTORY, len(data), 8)], [0], data)


def tiff_counts() -> bytes:
    """Arrays of four billion strips, and a string of as many bytes."""
    entries = [
        (tag, kind, 2**32 - 1 if tag in (273, 279) else count, value)
        for tag, kind, count, value in _grey(16, 16, _TIFF_START + _DIRECTORY + 12, 256)
    ]
    return tiff_of([[*entries, (305, 2, 2**32 - 1, 8)]], [0], bytes(256))


def tiff_beyond() -> bytes:
    """A good first page; the second lies behind the end of the file."""
    return tiff_of([_grey(16, 16, _TIFF_START + _DIRECTORY, 256)], [10_000_000], bytes(256))


PICTURES: tuple[tuple[str, Callable[[], bytes]], ...] = (
    ("png", bomb_png), ("png", png_rows), ("png", png_long), ("png", png_profile_bomb), ("png", png_thin),
    ("gif", gif_screen), ("gif", gif_frame), ("bmp", bmp_large), ("bmp", bmp_run_lengths), ("webp", webp_canvas),
    ("jpg", jpeg_frame), ("jpg", jpeg_scans), ("tif", tiff_loop), ("tif", tiff_pair_loop), ("tif", tiff_many),
    ("tif", tiff_large), ("tif", tiff_deflated), ("tif", tiff_counts), ("tif", tiff_beyond),
)  # fmt: skip
