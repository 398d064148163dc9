"""The pages that have ground truth, and what it is.

Three kinds of truth: the text layer of born-digital PDFs as pdfium writes it (`text_layer_is_gt`), transcriptions
(`.txt`), tables (HTML of PubTabNet; the table structures of ICDAR 2013 beside the text layer). Left out, each with its
reason: LEFT_OUT.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pypdfium2

from jobs.scoring.reading import Reading, from_html, from_text
from jobs.scoring.tables import parse_tables

PAGES_PER_DOCUMENT = 2
"""Pages read of a longer document: the first and those evenly spread behind it."""
LEAST_TEXT = 20
"""Characters below which a text layer says nothing about a page."""
# The same page in another shape: its truth is that text layer (testdata/INDEX.md).
SAME_PAGE = {
    "public/allenai+olmocr/edgar_image.pdf": "public/allenai+olmocr/edgar.pdf",
    "public/Unstructured-IO+unstructured/DA-1p.png": "public/Unstructured-IO+unstructured/DA-1p.pdf",
    "public/Unstructured-IO+unstructured/DA-1p.jpg": "public/Unstructured-IO+unstructured/DA-1p.pdf",
}
LEFT_OUT = {
    "harvardnlp+im2markup": "40 images of one formula each; the truth is LaTeX, which none of these readers writes",
    "gt/*.md of docling": "another tool's output; their born-digital pages are scored by their text layer",
    "gt/*.jsonl of olmOCR": "unit tests, no text; their born-digital pages are scored by their text layer",
    "gt/*.tex, *.utf8.txt of debian": "sources without pages; the text layer of the same pages is the truth",
    "gt/*.csv, *.json of tabula-java": "another tool's output",
}
_EAST = ("CJK", "HIRAGANA", "KATAKANA")
HANDWRITING = "HTR-United+CREMMA-AN-TestamentsDePoilus"
# What Tesseract is told: it must know the language, as its users do. English for all others.
LANGUAGES = {
    "HTR-United+": "fra", "OCR-D+assets": "frk", "eurotext": "eng+deu+fra+ita+spa+por", "install.ru": "rus",
    "install.zh_CN": "chi_sim", "numnameru": "rus", "ugost2008s": "rus", "marathi": "mar", "kurdishlipsum": "ara",
    "zhlipsum": "chi_sim", "rules_ph": "ukr", "example-single": "chi_sim", "zhlineskip": "chi_sim+eng",
    "quran-test1": "ara", "quran-bn-test": "ara+ben", "korean-text": "kor", "XiaoBiaoSong": "chi_sim",
    "right_to_left": "ara", "ff3d6e051903": "ara", "issue13211": "tha", "issue16538": "jpn", "issue20232": "kor",
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One page with its truth."""

    file: str
    """As in index.jsonl."""
    number: int
    path: Path
    digest: str
    """Of the file's bytes."""
    kind: str
    """`text layer`, `transcription`, `table`."""
    truth: Reading

    @property
    def name(self) -> str:
        """File and page, for people."""
        return f"{self.file.removeprefix('public/')} p. {self.number}"

    @property
    def folder(self) -> str:
        return self.file.split("/")[1]

    @property
    def born_digital(self) -> bool:
        return self.kind == "text layer" and self.file not in SAME_PAGE

    @property
    def language(self) -> str:
        return next((language for part, language in LANGUAGES.items() if part in self.file), "eng")

    @property
    def group(self) -> str:
        """What the page is, for the sums."""
        if self.kind == "table":
            return "table images (PubTabNet)"
        if self.folder == HANDWRITING:
            return "handwriting"
        kind = "born-digital" if self.born_digital else "scans and images"
        return f"{kind}, {script(self.truth.text)}"


def samples(testdata: Path, pages: int = PAGES_PER_DOCUMENT) -> list[Sample]:
    """Every sampled page, in an order whose beginnings are samples too: a document of every folder, then another."""
    index = [json.loads(line) for line in (testdata / "index.jsonl").read_text().splitlines()]
    found = [sample for entry in index if entry["set"] == "public" for sample in _of(testdata, entry, pages)]
    documents: defaultdict[str, list[str]] = defaultdict(list)
    pages_of: Counter[str] = Counter()
    ranked = []
    for sample in found:
        if sample.file not in documents[sample.folder]:
            documents[sample.folder].append(sample.file)
        pages_of[sample.file] += 1
        ranked.append(((pages_of[sample.file], documents[sample.folder].index(sample.file)), sample))
    return [sample for _, sample in sorted(ranked, key=lambda pair: pair[0])]


def script(text: str) -> str:
    """By most of the letters: Latin, Chinese and Japanese, or one of those that the bundled model cannot read."""
    names = Counter(unicodedata.name(c, "?").split()[0] for c in text if c.isalpha())
    most = names.most_common(1)[0][0] if names else "LATIN"
    return {"LATIN": "Latin"}.get(most, "Chinese, Japanese" if most in _EAST else "other scripts")


def _of(testdata: Path, entry: dict[str, Any], pages: int) -> Iterator[Sample]:
    file = entry["file"]
    path = testdata / file
    truth: dict[int, Reading] = {}
    kind = "transcription"
    if entry.get("text_layer_is_gt"):
        kind, truth = "text layer", _layer(path, chosen(entry["pages"], pages), _icdar(testdata, entry["gt"]))
    elif file in SAME_PAGE:
        kind, truth = "text layer", _layer(testdata / SAME_PAGE[file], [1], {})
    else:
        for gt in entry["gt"]:
            if gt.endswith(".txt"):
                truth = {1: from_text((testdata / gt).read_text("utf-8"))}
            elif gt.endswith(".html"):
                kind, truth = "table", {1: from_html((testdata / gt).read_text("utf-8"))}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for number, reading in truth.items():
        yield Sample(file, number, path, digest, kind, reading)


def chosen(count: int, pages: int) -> list[int]:
    """The first page and others evenly spread, `pages` at most."""
    wanted = min(count, pages)
    return sorted({1 + i * count // wanted for i in range(wanted)})


def _layer(path: Path, numbers: list[int], tables: dict[int, str]) -> dict[int, Reading]:
    """The text layer of those pages that have one."""
    document = pypdfium2.PdfDocument(path)
    try:
        texts = {number: document[number - 1].get_textpage().get_text_range() for number in numbers}
    finally:
        document.close()
    return {
        number: Reading(text, tuple(parse_tables(tables.get(number, ""))))
        for number, text in texts.items()
        if len(text.strip()) >= LEAST_TEXT
    }


def _icdar(testdata: Path, gt: list[str]) -> dict[int, str]:
    """Tables of ICDAR 2013 as HTML by page."""
    found: defaultdict[int, str] = defaultdict(str)
    for name in gt:
        if name.endswith("-str.xml"):
            for region in ET.parse(testdata / name).getroot().iter("region"):
                found[int(region.get("page", "1"))] += _html(region)
    return dict(found)


def _html(region: ET.Element) -> str:
    rows: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for cell in region.iter("cell"):
        top, left = int(cell.get("start-row", 0)), int(cell.get("start-col", 0))
        high, wide = int(cell.get("end-row", top)) - top + 1, int(cell.get("end-col", left)) - left + 1
        text = escape(cell.findtext("content") or "")
        rows[top].append((left, f'<td rowspan="{high}" colspan="{wide}">{text}</td>'))
    body = ("<tr>" + "".join(cell for _, cell in sorted(rows[top])) + "</tr>" for top in sorted(rows))
    return "<table>" + "".join(body) + "</table>"
