"""A file is what its first bytes say."""

import pytest

from jobs.errors import EmptyFile, UnsupportedType
from jobs.media import EXTENSIONS, SNIFF_BYTES, sniff
from tests import hostile_files as files


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (files.pdf(), "application/pdf"),
        (b"\0" * (SNIFF_BYTES - 5) + b"%PDF-1.4", "application/pdf"),
        (b"%PDF1.4 without its dash", "application/pdf"),
        (files.image("PNG"), "image/png"),
        (files.image("JPEG"), "image/jpeg"),
        (files.image("WEBP"), "image/webp"),
        (files.image("BMP"), "image/bmp"),
        (files.image("GIF"), "image/gif"),
        (files.tiff(), "image/tiff"),
        (files.tiff(bigtiff=True), "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"MM\0+\0\x08\0\0", "image/tiff"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1\0\0\0\0meta", "image/heic"),
        # What is coded stands among the brands it is compatible with; the first may only name the container.
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf\0\0\0\0meta", "image/heic"),
    ],
)
def test_supported_types_are_told_by_their_bytes(data, media_type):
    assert sniff(data[:SNIFF_BYTES], len(data)) == media_type
    assert media_type in EXTENSIONS


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (files.renamed_text(), "plain text"),
        ("Protokoll der Sitzung, größer".encode() * 100, "plain text"),
        (b"BMW is a car, and this is a text about it.", "plain text"),
        (b"\xff\xfeH\0i\0", "plain text"),
        (b"<!DOCTYPE html><html><body>%PDF", "HTML"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "SVG"),
        (b"PK\x03\x04\x14\0\0\0[Content_Types].xml word/document.xml", "docx"),
        # A zip with a stored PDF inside is a zip.
        (b"PK\x03\x04\x14\0\0\0 letter.pdf%PDF-1.4", "zip"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1heic", "HEIF image that is not coded as HEIC"),  # behind the box's end
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41\0\0\0\0", "video"),
        (b"{\\rtf1 hello}", "RTF"),
        (b"\0" * (SNIFF_BYTES - 4) + b"%PDF-1.4", "no known type"),
        (bytes(range(256)), "no known type"),
    ],
)
def test_anything_else_is_named_and_refused(data, named):
    with pytest.raises(UnsupportedType) as caught:
        sniff(data[:SNIFF_BYTES], len(data))
    assert named in caught.value.detail


def test_an_empty_file_is_empty():
    with pytest.raises(EmptyFile):
        sniff(b"", 0)
