"""What a file is, by its first bytes and never by its name."""

from __future__ import annotations

from jobs.errors import EmptyFile, UnsupportedType

SNIFF_BYTES = 1024
"""How much of a file `sniff` wants to see: readers accept the PDF header anywhere in the first 1,024 bytes."""

EXTENSIONS: dict[str, str] = {
    "application/pdf": ".pdf",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/tiff": ".tif",
    "image/heic": ".heic",
}
"""Every supported media type and the extension its files get."""

_IMAGES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),  # BigTIFF
    (b"MM\x00+", "image/tiff"),
)

# Not read, but known well enough to say so. A container comes before the search for "%PDF-": a zip may hold a PDF.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript file"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"II\xbc\x01", "a JPEG XR image"),
    (b"8BPS", "a Photoshop file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)

_ZIP_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"word/", "a Word document (docx)"),
    (b"xl/", "an Excel workbook (xlsx)"),
    (b"ppt/", "a PowerPoint presentation (pptx)"),
    (b"[Content_Types].xml", "a Microsoft Office document"),
    (b"application/epub+zip", "an EPUB book"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file"),
)

# Brands of ISO/IEC 23008-12, annex B: one HEVC picture or a sequence of them, and containers for any coding.
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = frozenset({b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(head: bytes, size: int) -> str:
    """The media type of a file of `size` bytes that begins with `head` (its first SNIFF_BYTES, or all of it).

    Raises EmptyFile, or UnsupportedType that says what the file looks like where that is cheaply known.
    """
    if size == 0:
        raise EmptyFile()
    media_type = _image_type(head)
    if media_type is not None:
        return media_type
    foreign = _foreign_kind(head)
    # pdfium reads a header without the dash too, but only a file that begins with it is believed to mean it.
    if foreign is None and (head.startswith(b"%PDF") or b"%PDF-" in head[:SNIFF_BYTES]):
        return "application/pdf"
    kind = foreign or _text_kind(head) or "of no known type"
    raise UnsupportedType(
        f"the file is {kind}; supported are PDF, PNG, JPEG, WebP, BMP, GIF, TIFF and HEIC",
        limit=", ".join(EXTENSIONS),
        actual=kind,
    )


def _image_type(head: bytes) -> str | None:
    for magic, media_type in _IMAGES:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    # "BM" alone would claim every text that begins with it; the size of the header behind it tells.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "image/bmp"
    brands = _iso_brands(head)
    # Others may carry a HEIC picture too, but the reader goes by the first brand.
    if brands and brands[0] in _HEIC_BRANDS | _HEIF_BRANDS and not _HEIC_BRANDS.isdisjoint(brands):
        return "image/heic"
    return None


def _iso_brands(head: bytes) -> list[bytes]:
    """What an ISO media file says it is: its first brand, then those it is compatible with. Empty for other files."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head), SNIFF_BYTES)
    return [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]


def _foreign_kind(head: bytes) -> str | None:
    if head.startswith(b"PK\x03\x04"):
        return next((kind for mark, kind in _ZIP_KINDS if mark in head), "a zip archive")
    brands = _iso_brands(head)
    if brands:
        return _iso_kind(brands)
    return next((kind for magic, kind in _FOREIGN if head.startswith(magic)), None)


def _iso_kind(brands: list[bytes]) -> str:
    if not _AVIF_BRANDS.isdisjoint(brands):
        return "an AVIF image"
    if brands[0] in _HEIF_BRANDS:
        return "a HEIF image that is not coded as HEIC"
    return "a video or other ISO media file"


def _text_kind(head: bytes) -> str | None:
    start = head[:SNIFF_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        return "an HTML page"
    if start.startswith(b"<svg") or b"<svg" in start:
        return "an SVG drawing"
    if start.startswith(b"<?xml"):
        return "an XML file"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "plain text"
    # The last character may be cut in the middle.
    decoded = head[:SNIFF_BYTES].decode("utf-8", errors="ignore")
    damaged = len(head[:SNIFF_BYTES]) - len(decoded.encode()) > 3
    if not damaged and all(char.isprintable() or char in "\t\r\n\f\b\x1b" for char in decoded):
        return "plain text"
    return None
