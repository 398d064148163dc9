"""The documents of B5, as they lie in ../shared/testdata/public: 66 born-digital pages and 20 scanned ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.bench.needs import documents


@dataclass(frozen=True, slots=True)
class Sample:
    """The first pages of a PDF."""

    name: str
    pages: int

    @property
    def path(self) -> Path:
        return documents() / "public" / self.name


BORN_DIGITAL = (
    Sample("debian/install.ru.pdf", 12),
    Sample("debian/install.zh_CN.pdf", 12),
    Sample("debian/testmath.pdf", 8),
    Sample("debian/marathi.pdf", 6),
    Sample("mozilla+pdf.js/tracemonkey.pdf", 10),
    Sample("docling-project+docling/multi_page.pdf", 5),
    Sample("tabulapdf+tabula-java/us-018.pdf", 7),
    Sample("tabulapdf+tabula-java/us-020.pdf", 6),
)
"""Manuals, a paper, reports: mostly black text, with links, figures and tables in colour."""

SCANS = (
    Sample("ocrmypdf+OCRmyPDF/ccitt.pdf", 1),
    Sample("ocrmypdf+OCRmyPDF/jbig2.pdf", 1),
    Sample("ocrmypdf+OCRmyPDF/cardinal.pdf", 4),
    Sample("ocrmypdf+OCRmyPDF/epson.pdf", 1),
    Sample("ocrmypdf+OCRmyPDF/linn.pdf", 1),
    Sample("ocrmypdf+OCRmyPDF/c02-22.pdf", 1),
    Sample("docling-project+docling/nemotron_multipage.pdf", 4),
    Sample("docling-project+docling/ocr_test.pdf", 1),
    Sample("docling-project+docling/sample_with_rotation_mismatch.pdf", 1),
    Sample("Unstructured-IO+unstructured/loremipsum-flat.pdf", 1),
    Sample("Unstructured-IO+unstructured/a1977-backus-p21.pdf", 1),
    Sample("allenai+olmocr/edgar_image.pdf", 1),
    Sample("allenai+olmocr/buildingnotes.pdf", 1),
    Sample("pikepdf+pikepdf/sandwich.pdf", 1),
)
"""Fax, JBIG2, JPEG, palettes; black and white, grey and colour; 150 to 600 dpi."""


def page_count(samples: tuple[Sample, ...]) -> int:
    return sum(sample.pages for sample in samples)
