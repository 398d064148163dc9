"""Hostile PDFs, made here. Each maker gives the file's bytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from tests.hostile.codecs import jbig2_lying, jpeg_lying, jpx_lying

MIB = 1 << 20
TEXT = b"0 0 100 100 re f"
"""A content stream that draws a square."""


def file_of(objects: Sequence[bytes], *, trailer: bytes = b"", root: int = 1) -> bytes:
    """A PDF of the objects 1, 2, …, each given without `n 0 obj`."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root %d 0 R %s >>\n" % (len(objects) + 1, root, trailer)
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def one_page(
    contents: bytes = b"",
    *,
    page: bytes = b"",
    resources: bytes = b"",
    box: bytes = b"0 0 200 200",
    more: Sequence[bytes] = (),
) -> bytes:
    """One page: object 3; its contents: 4; `more`: 5 and on."""
    return file_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R /Resources << %s >> %s >>"
            % (box, resources, page),
            contents or stream(TEXT),
            *more,
        ]
    )


def deflated(byte: bytes, size: int) -> bytes:
    """A zlib stream of `size` times the byte (a multiple of 1 MiB), made in no time: one piece, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(byte * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    return b"\x78\xda" + piece * (size // MIB) + end + _adler(byte, size).to_bytes(4, "big")


def _adler(byte: bytes, size: int) -> int:
    value = 1
    for _ in range(size // MIB):
        value = zlib.adler32(byte * MIB, value)
    return value


# --- decompression


def content_bomb(size: int = 256 * MIB) -> bytes:
    """A page whose content is blanks, 1,000 times as long as its stream."""
    return one_page(stream(deflated(b" ", size), b"/Filter /FlateDecode"))


def nested_flate_bomb(size: int = 1024 * MIB) -> bytes:
    """Content of 1 GB in a few kilobytes: packed twice."""
    return one_page(stream(zlib.compress(deflated(b" ", size), 9), b"/Filter [/FlateDecode /FlateDecode]"))


def image_bomb(side: int = 32_768) -> bytes:
    """A grey image of 1 GB in 1 MB, drawn on a small page."""
    entries = b"/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8 /ColorSpace /DeviceGray" % (
        side,
        side,
    )
    image = stream(deflated(b"\0", side * side), entries + b" /Filter /FlateDecode")
    return _with_image(image)


def predictor_bomb() -> bytes:
    """A PNG predictor with two billion columns."""
    parameters = b"/Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 2147483647 /Colors 32 >>"
    return one_page(stream(zlib.compress(TEXT), parameters))


def run_length_bomb(size: int = 32 * MIB) -> bytes:
    """Run lengths inside Flate, 64 times and then 1,000 times."""
    return one_page(stream(zlib.compress(b"\x81 " * size, 9), b"/Filter [/FlateDecode /RunLengthDecode]"))


def object_stream_bomb(objects: int = 2_000_000, size: int = 512 * MIB) -> bytes:
    """An object stream that claims millions of objects and is half a gigabyte of blanks."""
    packed = deflated(b" ", size)
    body = bytearray(b"%PDF-1.7\n")
    at = {}
    for number, text in (
        (4, stream(packed, b"/Type /ObjStm /N %d /First %d /Filter /FlateDecode" % (objects, size // 2))),
    ):
        at[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start = len(body)
    rows = b"".join(
        kind.to_bytes(1, "big") + where.to_bytes(4, "big") + index.to_bytes(2, "big")
        for kind, where, index in [(0, 0, 65535), (2, 4, 0), (2, 4, 1), (2, 4, 2), (1, at[4], 0), (1, start, 0)]
    )
    body += b"5 0 obj\n%s\nendobj\n" % stream(rows, b"/Type /XRef /Size 6 /W [1 4 2] /Root 1 0 R")
    return bytes(body + b"startxref\n%d\n%%%%EOF\n" % start)


# --- trees and loops


def deep_page_tree(depth: int = 100_000) -> bytes:
    """Page nodes, each with one child."""
    nodes = [b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>" % (number + 3) for number in range(depth)]
    leaf = b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 200 200] >>" % (depth + 1)
    return file_of([b"<< /Type /Catalog /Pages 2 0 R >>", *nodes, leaf])


def page_tree_loop() -> bytes:
    """A page node that is its own grandchild, beside one good page."""
    return file_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 3 /Kids [3 0 R 4 0 R] >>",
            b"<< /Type /Pages /Parent 2 0 R /Count 2 /Kids [2 0 R 3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        ]
    )


def parent_loop() -> bytes:
    """A page that is its own parent and inherits its size from there."""
    return one_page(page=b"/Parent 3 0 R", box=b"3 0 R")


def self_references() -> bytes:
    """Length, contents, resources and the page's size that are themselves."""
    return file_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox 5 0 R /Contents [4 0 R 6 0 R 3 0 R] /Resources 7 0 R >>",
            b"<< /Length 4 0 R >>\nstream\n0 0 9 9 re f\nendstream",
            b"5 0 R",
            b"[6 0 R 6 0 R]",
            b"<< /Font 7 0 R /XObject 7 0 R /F1 7 0 R >>",
        ]
    )


def form_loop() -> bytes:
    """A form that draws itself."""
    form = stream(b"/F Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >>")
    return one_page(stream(b"/F Do"), resources=b"/XObject << /F 5 0 R >>", more=[form])


def form_laughs(levels: int = 24, times: int = 8) -> bytes:
    """Forms that each draw the next one eight times: 8^24 squares."""
    forms = [
        stream(
            b"/F Do " * times,
            b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /XObject << /F %d 0 R >> >>"
            % (6 + level),
        )
        for level in range(levels)
    ]
    last = stream(TEXT, b"/Type /XObject /Subtype /Form /BBox [0 0 200 200]")
    return one_page(stream(b"/F Do"), resources=b"/XObject << /F 5 0 R >>", more=[*forms, last])


def type3_loop() -> bytes:
    """A Type 3 font whose glyph shows itself."""
    font = (
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] /FirstChar 65 /LastChar 65"
        b" /Widths [9] /Encoding << /Differences [65 /a] >> /CharProcs << /a 6 0 R >>"
        b" /Resources << /Font << /F1 5 0 R >> >> >>"
    )
    glyph = stream(b"9 0 d0 BT /F1 9 Tf (AAAAAAAA) Tj ET")
    return one_page(stream(b"BT /F1 9 Tf (A) Tj ET"), resources=b"/Font << /F1 5 0 R >>", more=[font, glyph])


def tiling_loop() -> bytes:
    """A tiling pattern of hair-thin tiles that fills with itself."""
    pattern = stream(
        b"/Pattern cs /P scn 0 0 200 200 re f",
        b"/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 200 200] /XStep 0.001 /YStep 0.001"
        b" /Resources << /Pattern << /P 5 0 R >> >>",
    )
    fill = stream(b"/Pattern cs /P scn 0 0 200 200 re f")
    return one_page(fill, resources=b"/Pattern << /P 5 0 R >>", more=[pattern])


def soft_mask_loop() -> bytes:
    """A graphics state whose soft mask is drawn under itself."""
    state = b"<< /Type /ExtGState /SMask << /S /Luminosity /G 6 0 R >> >>"
    group = stream(
        b"/G gs 0 0 200 200 re f",
        b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Group << /S /Transparency /CS /DeviceGray >>"
        b" /Resources << /ExtGState << /G 5 0 R >> >>",
    )
    return one_page(stream(b"/G gs 0 0 200 200 re f"), resources=b"/ExtGState << /G 5 0 R >>", more=[state, group])


def xref_loop() -> bytes:
    """A cross-reference table whose predecessor is itself."""
    data = one_page()
    start = data.rindex(b"xref\n0 ")
    return data.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d /XRefStm %d" % (start, start))


def xref_chain(links: int = 20_000) -> bytes:
    """Cross-reference tables, each naming the one before; the first names the last."""
    out = bytearray(one_page())
    before = out.rindex(b"xref\n0 ")
    for _ in range(links):
        start = len(out)
        out += b"xref\n0 0\ntrailer << /Size 5 /Root 1 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (before, start)
        before = start
    return bytes(out)


def object_stream_loop() -> bytes:
    """An object stream that lies in itself and extends itself."""
    body = bytearray(b"%PDF-1.7\n")
    at = len(body)
    body += b"4 0 obj\n%s\nendobj\n" % stream(b"1 0 4 0 <<>>", b"/Type /ObjStm /N 2 /First 8 /Extends 4 0 R")
    start = len(body)
    rows = b"".join(
        kind.to_bytes(1, "big") + where.to_bytes(4, "big") + b"\0\0"
        for kind, where in [(0, 0), (2, 4), (2, 4), (2, 4), (2, 4), (1, start), (1, at)]
    )
    body += b"5 0 obj\n%s\nendobj\n" % stream(rows, b"/Type /XRef /Size 7 /W [1 4 2] /Root 1 0 R /Prev %d" % start)
    return bytes(body + b"startxref\n%d\n%%%%EOF\n" % start)


# --- numbers that lie


def huge_count(count: int = 2_147_483_647) -> bytes:
    """One page that says it is two billion."""
    return one_page().replace(b"/Count 1 ", b"/Count %d " % count)


def negative_count() -> bytes:
    return one_page().replace(b"/Count 1 ", b"/Count -1 ")


def huge_box(box: bytes = b"0 0 1000000000 1000000000") -> bytes:
    return one_page(box=box)


def user_unit(unit: bytes = b"1000000") -> bytes:
    return one_page(page=b"/UserUnit " + unit)


def huge_size() -> bytes:
    """A trailer that promises two billion objects, and an array of offsets beyond the end of the file."""
    return one_page().replace(b"/Size 5", b"/Size 2147483647").replace(b"xref\n0 5", b"xref\n0 2147483647")


def stream_length() -> bytes:
    return one_page(b"<< /Length 9223372036854775807 >>\nstream\n%s\nendstream" % TEXT)


# --- too much of it


def million_annotations(count: int = 1_000_000) -> bytes:
    """A page that names the same annotation a million times."""
    note = b"<< /Type /Annot /Subtype /Square /Rect [0 0 9 9] /C [1 0 0] /F 4 >>"
    return one_page(page=b"/Annots [%s]" % (b"5 0 R " * count), more=[note])


def million_operators(count: int = 2_000_000) -> bytes:
    return one_page(stream(zlib.compress(b"0 0 m 200 200 l S\n" * count, 9), b"/Filter /FlateDecode"))


def deep_arrays(depth: int = 1_000_000) -> bytes:
    """Brackets in brackets, as an object and in the content."""
    nested = b"[" * depth + b"]" * depth
    return one_page(stream(nested + b" TJ " + TEXT), page=b"/Nested " + nested)


def deep_states(depth: int = 1_000_000) -> bytes:
    return one_page(stream(zlib.compress(b"q " * depth + TEXT), b"/Filter /FlateDecode"))


def filter_pile(count: int = 1000) -> bytes:
    """A stream under a thousand filters."""
    return one_page(stream(TEXT, b"/Filter [%s]" % (b"/ASCIIHexDecode " * count)))


# --- codecs


def _with_image(image: bytes) -> bytes:
    draw = stream(b"q 200 0 0 200 0 0 cm /I Do Q")
    return one_page(draw, resources=b"/XObject << /I 5 0 R >>", more=[image])


def _coded(name: bytes, data: bytes, width: int, height: int, space: bytes, bits: int) -> bytes:
    entries = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /%s /BitsPerComponent %d /Filter /%s"
    return _with_image(stream(data, entries % (width, height, space, bits, name)))


def dct_lying() -> bytes:
    """An 8 x 8 JPEG that the PDF calls 60,000 x 60,000 and its own header 65,500 x 65,500."""
    return _coded(b"DCTDecode", jpeg_lying(65_500, 65_500), 60_000, 60_000, b"DeviceRGB", 8)


def jpx_lying_pdf() -> bytes:
    return _coded(b"JPXDecode", jpx_lying(2**31 - 1, 2**31 - 1), 60_000, 60_000, b"DeviceRGB", 8)


def jpx_large_pdf() -> bytes:
    """Sizes that fit an integer and no memory."""
    return _coded(b"JPXDecode", jpx_lying(60_000, 60_000), 16, 16, b"DeviceRGB", 8)


def jbig2_lying_pdf() -> bytes:
    return _coded(b"JBIG2Decode", jbig2_lying(2**32 - 1, 2**32 - 1), 60_000, 60_000, b"DeviceGray", 1)


def jbig2_large_pdf() -> bytes:
    return _coded(b"JBIG2Decode", jbig2_lying(65_535, 65_535), 65_535, 65_535, b"DeviceGray", 1)


def ccitt_lying() -> bytes:
    parameters = b"CCITTFaxDecode /DecodeParms << /K -1 /Columns 65535 /Rows 2147483647 >>"
    return _coded(parameters, b"\x00" * 64, 65_535, 65_535, b"DeviceGray", 1)


PDFS: tuple[Callable[[], bytes], ...] = (
    content_bomb, nested_flate_bomb, image_bomb, predictor_bomb, run_length_bomb, object_stream_bomb, deep_page_tree,
    page_tree_loop, parent_loop, self_references, form_loop, form_laughs, type3_loop, tiling_loop, soft_mask_loop,
    xref_loop, xref_chain, object_stream_loop, huge_count, negative_count, huge_box, user_unit, huge_size,
    stream_length, million_annotations, million_operators, deep_arrays, deep_states, filter_pile, dct_lying,
    jpx_lying_pdf, jpx_large_pdf, jbig2_lying_pdf, jbig2_large_pdf, ccitt_lying,
)  # fmt: skip
