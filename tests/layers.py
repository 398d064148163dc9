"""PDFs with text layers of every kind, and what pagemill makes of them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from jobs.results import PageImage
from workers.render.documents import open_document
from workers.textlayer.glyphs import Glyph, Style, TextLayer
from workers.textlayer.lines import TextLine, text_lines
from workers.textlayer.sight import Seen, seen

DPI = 100
CAP = 40_000_000


def drawn(draw: Callable[[Canvas], object], size: tuple[float, float] = A4) -> bytes:
    """A PDF of one page that `draw` made, in 12 pt Helvetica."""
    out = BytesIO()
    canvas = Canvas(out, pagesize=size)
    canvas.setFont("Helvetica", 12)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def raw_pdf(content: bytes, *, page: str = "", objects: tuple[bytes, ...] = (), box: str = "0 0 300 200") -> bytes:
    """One page with that content; F1 is Helvetica, F2 whatever object 6 is. Further objects count from 6."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    second = b"/F2 6 0 R" if objects else b""
    leaf = f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 4 0 R {page} ".encode()
    body = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        leaf + b"/Resources << /Font << /F1 5 0 R " + second + b" >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        font,
        *objects,
    ]
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, item in enumerate(body, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(body) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(body) + 1, start)
    return bytes(out)


def mapped_font(**texts: str) -> tuple[bytes, bytes]:
    """Helvetica whose letters stand for other text: A="א". For `raw_pdf(objects=…)`."""
    lines = "".join(f"<{ord(code):02x}> <{text.encode('utf-16-be').hex()}>\n" for code, text in texts.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        "1 begincodespacerange <00> <ff> endcodespacerange\n"
        f"{len(texts)} beginbfchar\n{lines}endbfchar\nendcmap end end"
    ).encode()
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 7 0 R >>"
    return font, b"<< /Length %d >>\nstream\n%s\nendstream" % (len(cmap), cmap)


class Opened(NamedTuple):
    layer: TextLayer
    pixels: Image.Image
    info: PageImage

    def seen(self) -> Seen:
        return seen(self.layer.glyphs, self.pixels, self.info.dpi)

    def lines(self) -> list[TextLine]:
        """What can be seen and is drawn, from top to bottom."""
        return sorted(text_lines(self.seen().drawn), key=lambda line: (line.corners[0][1], line.corners[0][0]))

    def texts(self) -> list[str]:
        return [line.text for line in self.lines()]


def open_layer(folder: Path, data: bytes, dpi: int = DPI) -> Opened:
    """The first page of a PDF as the render processes see it."""
    path = folder / "layer.pdf"
    path.write_bytes(data)
    document = open_document(path, "application/pdf", max_pixels=CAP)
    try:
        pixels, info, _ = document.render(1, dpi, CAP)
        layer = document.text_layer(1, info.width, info.height)
    finally:
        document.close()
    assert layer is not None
    return Opened(layer, pixels, info)


STYLE = Style(em=20.0, angle=0.0, font=1, embedded=True, shows=True, colour=(0, 0, 0))


def glyph(text: str, x: float, y: float = 100.0, width: float = 10.0, style: Style = STYLE) -> Glyph:
    """A glyph on a baseline, as wide as said and as high as its font."""
    box = (x, y - 0.7 * style.em, x + width, y)
    return Glyph(text, box, (x, y - 0.8 * style.em, x + width, y + 0.2 * style.em), x, y, style)


def word(text: str, x: float, y: float = 100.0, width: float = 10.0, style: Style = STYLE) -> list[Glyph]:
    """Glyph by glyph from the left, without gaps."""
    return [glyph(char, x + i * width, y, width, style) for i, char in enumerate(text)]
