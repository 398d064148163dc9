"""Makers of small hostile inputs, and of small good ones beside them. Each gives the file's bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

A4 = (595.0, 842.0)


def pdf(pages: int = 1, *, size: tuple[float, float] = A4, text: str = "Page {number}", rotate: int = 0) -> bytes:
    """A good PDF; every page says its number and has a black square of 100 points at its lower left corner."""
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(pages))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {pages} /Kids [{kids}] /MediaBox [0 0 {size[0]:g} {size[1]:g}] >>",
    ]
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for index in range(pages):
        line = text.format(number=index + 1)
        content = f"0 0 100 100 re f BT /F1 24 Tf 72 {size[1] - 100:g} Td ({line}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /Rotate {rotate} /Resources {font} /Contents {4 + 2 * index} 0 R >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    return _pdf_file(objects)


def _pdf_file(objects: Sequence[str]) -> bytes:
    body = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = len(body)
    body += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(body)


def pdf_without_pages() -> bytes:
    """Opens, and has no page: corrupt_file."""
    return pdf(0)


def pdf_with_damaged_page() -> bytes:
    """Three pages, the second of which is no page object: page_render_failed on it alone."""
    return pdf(3).replace(b"5 0 obj\n<< /Type /Page ", b"5 0 obj\n<< /Type /Nope", 1)


def truncated_pdf() -> bytes:
    """The header and half an object: corrupt_file."""
    return pdf(3)[:60]


def huge_page_pdf(side: float = 20_000.0) -> bytes:
    """A page of 20,000 x 20,000 points: page_too_large."""
    return pdf(size=(side, side))


def form_pdf() -> bytes:
    """An A4 page with a text field that holds "FILLED" and a highlight annotation; nothing else is drawn."""
    out = BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.acroForm.textfield(
        name="field", value="FILLED", x=100, y=700, width=300, height=60, fontSize=40, borderWidth=0, fillColor=None
    )
    canvas.highlightAnnotation("note", [100, 100, 300, 200], QuadPoints=[100, 200, 300, 200, 100, 100, 300, 100])
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def encrypted_pdf(password: str = "sesame", pages: int = 1) -> bytes:
    """128-bit RC4 with a user password: password_required without it."""
    out = BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption(password, ownerPassword="owner-" + password, strength=128))
    for number in range(1, pages + 1):
        canvas.drawString(72, 700, f"Secret page {number}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def foreign_handler_pdf() -> bytes:
    """Encrypted by something else than a password: unsupported_type."""
    handler = b"/Encrypt << /Filter /Acme.Rights /V 1 >> /ID [<00><00>] "
    return pdf().replace(b"trailer\n<< ", b"trailer\n<< " + handler, 1)


def renamed_text() -> bytes:
    """A text that calls itself x.pdf: unsupported_type."""
    return b"Minutes of the meeting.\nNobody came.\n" * 20


def image(kind: str = "PNG", size: tuple[int, int] = (200, 100), mode: str = "RGB") -> bytes:
    """A white image whose upper left quarter is black."""
    picture = Image.new(mode, size, "white")
    picture.paste("black", (0, 0, size[0] // 2, size[1] // 2))
    return encoded(picture, kind)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def tiff(frames: int = 3, *, bigtiff: bool = False) -> bytes:
    """A TIFF of several frames: frame n is 10·n pixels wide."""
    pictures = [Image.new("L", (10 * number, 20), "white") for number in range(1, frames + 1)]
    return encoded(pictures[0], "TIFF", save_all=True, append_images=pictures[1:], big_tiff=bigtiff)


def truncated_png() -> bytes:
    """A good header and half of the pixels: page_render_failed."""
    noise = Image.effect_noise((200, 200), 80)
    data = encoded(noise, "PNG")
    return data[: len(data) // 2]


def bomb_png(side: int = 50_000) -> bytes:
    """A few kilobytes that claim to be 2.5 Gpx of grey: page_too_large."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side + 1), 9)  # the first row; a decoder that allocates first has lost already
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
