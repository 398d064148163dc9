"""Ten mixed pages beside their Markdown as a browser shows it, to be looked at: `make gallery`.

Every page goes the user's way (`pagemill run`, all defaults, the first page of each document). OUT gets the results,
one HTML file a page and, where chromium is on the machine, a screenshot of each. No figure says whether Markdown is
pleasant to read; somebody has to look.
"""

from __future__ import annotations

import argparse
import html
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image, ImageChops

from jobs.media import SNIFF_BYTES, sniff
from jobs.settings import LimitSettings
from tests.testdata import TESTDATA
from workers.render.documents import open_document

PAGES = (
    "mozilla+pdf.js/tracemonkey.pdf",
    "docling-project+docling/2206.01062.tif",
    "tabulapdf+tabula-java/us-012.pdf",
    "allenai+olmocr/earnings.pdf",
    "tesseract-ocr+test/8087_054.3B.tif",
    "ocrmypdf+OCRmyPDF/linn.png",
    "allenai+olmocr/edgar_image.pdf",
    "OCR-D+assets/OCR-D-IMG-boston_cooking_a.jpg",
    "ibm-aur-nlp+PubTabNet/PMC4172848_007_00.png",
    "docling-project+docling/code_and_formula.pdf",
)
"""A paper of two columns with its own text, another as a scan; pages of tables; a magazine with pictures; a column of
one; a web page printed and scanned; a curved book; a table alone; code and formulas."""
DPI = 110
TALLEST = 6000
"""Pixels of a screenshot; what lies below is cut off."""
CHROMIUM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
FRAME = """<!doctype html><meta charset="utf-8"><title>{name}</title><style>
body {{ margin: 0; font: 14px/1.45 sans-serif; background: #fff }}
h6.name {{ margin: 0; padding: 6px 12px; background: #eee; font: 12px monospace }}
.both {{ display: grid; grid-template-columns: 1fr 1fr; gap: 16px; padding: 12px }}
.both > img {{ width: 100%; border: 1px solid #bbb }}
article img {{ max-width: 100% }} article h1 {{ font-size: 22px }} article h2 {{ font-size: 18px }}
article h3 {{ font-size: 15px }} pre {{ background: #f4f4f4; padding: 8px; overflow: hidden }}
table {{ border-collapse: collapse; font-size: 11px }} td, th {{ border: 1px solid #999; padding: 1px 4px }}
</style><h6 class="name">{name}</h6><div class="both"><img src="{image}"><article>{body}</article></div>
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality.gallery", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("pages", nargs="*", default=PAGES, help="documents below testdata/public instead of the ten")
    parser.add_argument("--text", default="auto", help="option text: auto, ocr, layer")
    given = parser.parse_args(arguments)
    if TESTDATA is None:
        print("the documents are read from ../shared/testdata, which is not there")
        return 2
    sources = [TESTDATA / "public" / page for page in given.pages]
    out: Path = given.out.resolve()
    read(sources, out, given.text)
    for source in sources:
        page = frame(source, out)
        print(*(screenshots(page) or [page]), sep="\n")
    return 0


def read(sources: list[Path], out: Path, text: str) -> None:
    """By the real command; documents that fail are told by it."""
    command = [sys.executable, "-m", "api.cli", "run", *map(str, sources), "-o", str(out)]
    subprocess.run([*command, "--force", "--pages", "1", "--text", text], check=False)


def frame(source: Path, out: Path) -> Path:
    """The page's image beside its Markdown, as an HTML file."""
    [result] = out.rglob(f"{source.name}.md")  # in its folder, where the sources come from several
    image = result.with_suffix(".page.jpg")
    _render(source).convert("RGB").save(image, quality=80)
    body = MarkdownIt("commonmark").enable("table").render(result.read_text("utf-8"))
    page = result.with_suffix(".html")
    page.write_text(FRAME.format(name=html.escape(source.name), image=image.name, body=body), "utf-8")
    return page


def _render(source: Path) -> Image.Image:
    head = source.read_bytes()[:SNIFF_BYTES]
    pixels = LimitSettings().max_page_pixels
    document = open_document(source, sniff(head, source.stat().st_size), max_pixels=pixels)
    try:
        return document.render(1, DPI, pixels).pixels
    finally:
        document.close()


def screenshots(page: Path) -> list[Path]:
    """The file in chromium, cut where nothing more comes; empty without chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    shot = page.with_suffix(".png")
    with tempfile.TemporaryDirectory() as profile:
        where = [f"--user-data-dir={profile}", f"--window-size=1600,{TALLEST}", f"--screenshot={shot}"]
        subprocess.run(
            [chromium, *CHROMIUM, *where, page.as_uri()], check=True, capture_output=True, env=os.environ, timeout=120
        )
    with Image.open(shot) as opened:
        image = opened.convert("RGB")
    used = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    image.crop((0, 0, image.width, min(image.height, (used or (0, 0, 0, 1))[3] + 12))).save(shot)
    return [shot]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
