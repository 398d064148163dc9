"""Our loop around PP-OCR's recogniser ÷ rapidocr's own, on the same lines of the same pages.

Both read the lines that the detector finds on the 60 pages of `cpu_engine.subset`. What stands there is known from the
pages' text layers; lines are compared that one of the two read well enough to be sure that both mean the same line.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jobs.media import SNIFF_BYTES, sniff
from jobs.settings import EngineSettings, LimitSettings
from tests.bench.cpu_engine import subset

# Of a line's letters: what at least one of the two may have wrong for the line to count.
_SAME_LINE = 0.25
_QUOTES = str.maketrans("’‘“”–—", "''\"\"--")


def run() -> str:
    """CPU seconds and wrong letters of both, and how many lines are the same."""
    pages = subset()
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0)), _open) as pool:
        total: Counter[str] = Counter()
        for counts in pool.imap_unordered(_page, pages, chunksize=1):
            total.update(counts)
    lines = [
        f"{total['lines']} lines of {len(pages)} pages; {total['same']} read the same by both",
        f"{total['compared']} of them ({total['letters']} letters) compared with the pages' text layers",
        "loop        CPU ms/line   wrong letters   part",
    ]
    for name in ("ours", "rapidocr"):
        wrong = total[f"{name} wrong"]
        cost = total[f"{name} us"] / total["lines"] / 1000
        lines.append(f"{name:10} {cost:12.1f} {wrong:15} {wrong / total['letters']:6.3%}")
    return "\n".join(lines)


_OPEN: dict[str, Any] = {}


def _open() -> None:
    from rapidocr import RapidOCR

    from workers.engines.rapidocr.files import model_files
    from workers.engines.rapidocr.models import open_models

    files = model_files(EngineSettings())
    _OPEN["models"] = open_models(files, 1)
    _OPEN["reader"] = RapidOCR(
        params={
            "Global.log_level": "error",
            "Rec.model_path": str(files.recognition),
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        }
    )


def _page(page: tuple[Path, int]) -> Counter[str]:
    from workers.engines.rapidocr.detection import text_quads
    from workers.engines.rapidocr.engine import DPI
    from workers.render.documents import open_document

    path, number = page
    models, reader = _OPEN["models"], _OPEN["reader"]
    pixels = LimitSettings().max_page_pixels
    document = open_document(path, sniff(path.read_bytes()[:SNIFF_BYTES], path.stat().st_size), max_pixels=pixels)
    rendering = document.render(number, DPI, pixels)
    layer = document.text_layer(number, rendering.info.width, rendering.info.height)
    image = np.ascontiguousarray(np.asarray(rendering.pixels)[:, :, ::-1])
    quads = text_quads(image, models.detector)
    if not len(quads):
        return Counter()
    begun = time.process_time()
    ours = [line.text for line in models.recognizer.read(image, quads)]
    between = time.process_time()
    theirs = [str(text) for text in reader.recognize_txt(reader.crop_text_regions(image, quads)).txts]
    ended = time.process_time()
    counts = Counter({"ours us": int((between - begun) * 1e6), "rapidocr us": int((ended - between) * 1e6)})
    for quad, mine, other in zip(quads, ours, theirs, strict=True):
        counts.update(_compared(_bare(mine), _bare(other), _bare(_written(quad, layer))))
    return counts


def _compared(ours: str, theirs: str, truth: str) -> Counter[str]:
    counts = Counter({"lines": 1, "same": int(ours == theirs)})
    wrong, wrong_theirs = _distance(ours, truth), _distance(theirs, truth)
    if truth and min(wrong, wrong_theirs) <= max(1, _SAME_LINE * len(truth)):
        counts.update({"compared": 1, "letters": len(truth), "ours wrong": wrong, "rapidocr wrong": wrong_theirs})
    return counts


def _written(quad: Any, layer: Any) -> str:
    """The characters whose middle lies in the line's box, in the file's order."""
    (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
    found = []
    for glyph in layer.glyphs if layer else ():
        left, top, right, bottom = glyph.box
        if x0 <= (left + right) / 2 <= x1 and y0 <= (top + bottom) / 2 <= y1:
            found.append(glyph.text)
    return "".join(found)


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).translate(_QUOTES)


def _distance(one: str, other: str) -> int:
    """Levenshtein's."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        next_row = [i]
        for j, b in enumerate(other, 1):
            next_row.append(min(row[j] + 1, next_row[-1] + 1, row[j - 1] + (a != b)))
        row = next_row
    return row[-1]
