"""What reads a page. All of them see the same pixels, made once by pagemill's own rendering."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from jobs.media import SNIFF_BYTES, sniff
from jobs.options import PageOptions
from jobs.results import PageResult
from jobs.scoring.reading import Reading, from_page, from_text
from jobs.settings import EngineSettings, LimitSettings
from tests.bench.quality.samples import Sample
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.engine import DPI
from workers.engines.rapidocr.page import RapidOcrPageHalf
from workers.render.documents import open_document

ROOT = Path(__file__).resolve().parents[3]
# What decides how pagemill reads a page.
SOURCES = (
    "workers/engines/base.py",
    "workers/engines/rapidocr",
    "workers/render",
    "workers/textlayer",
    "jobs/results.py",
)


class Page:
    """A sample's document open and its page rendered once."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self._pixels = LimitSettings().max_page_pixels
        path = sample.path
        self.document = open_document(
            path, sniff(path.read_bytes()[:SNIFF_BYTES], path.stat().st_size), max_pixels=self._pixels
        )

    @cached_property
    def rendering(self) -> Any:
        return self.document.render(self.sample.number, DPI, self._pixels)

    @cached_property
    def rendered(self) -> RenderedPage:
        rendering = self.rendering
        page = RenderedPage(self.sample.number, rendering.pixels, rendering.info, rendering.warnings)
        if not has_text_option():
            return page
        size = rendering.info.width, rendering.info.height
        return replace(page, text_layer=partial(self.document.text_layer, self.sample.number, *size))

    @cached_property
    def digest(self) -> str:
        """Of the pixels."""
        return sha256(self.rendering.pixels.tobytes()).hexdigest()

    def close(self) -> None:
        self.document.close()


def has_text_option() -> bool:
    """Whether this checkout can read text layers."""
    return "text" in PageOptions.model_fields


@dataclass(frozen=True)
class Reader:
    """`open()` loads models once per process and returns what reads a page; `parse` reads that back from the cache."""

    name: str
    title: str
    version: Callable[[], str]
    open: Callable[[], Callable[[Page], bytes]]
    parse: Callable[[bytes], Reading]
    born_digital_only: bool = False


def readers() -> list[Reader]:
    """Those that this machine and checkout have."""
    found = [_pagemill("ocr", "pagemill, ocr")]
    if has_text_option():
        found += [_pagemill("auto", "pagemill, auto", born_digital_only=True)]
        found += [_pagemill("layer", "pagemill, layer", born_digital_only=True)]
    found.append(Reader("rapidocr", "RapidOCR", _rapidocr_version, _open_rapidocr, _parse_text))
    found.append(Reader("tesseract", "Tesseract", _tesseract_version, _open_tesseract, _parse_text))
    return found


def _parse_text(stored: bytes) -> Reading:
    return from_text(stored.decode())


def _parse_page(stored: bytes) -> Reading:
    return from_page(PageResult.model_validate_json(stored), furniture=True)


def _pagemill(text: str, title: str, *, born_digital_only: bool = False) -> Reader:
    return Reader(
        f"pagemill-{text}", title, _code_version, partial(_open_pagemill, text), _parse_page, born_digital_only
    )


_half: RapidOcrPageHalf | None = None


def _open_pagemill(text: str) -> Callable[[Page], bytes]:
    global _half
    if _half is None:
        _half = RapidOcrPageHalf(EngineSettings())
        _half.start()
    half = _half
    options = PageOptions.model_validate({"figures": False} | ({"text": text} if has_text_option() else {}))
    return lambda page: orjson.dumps(
        half.recognize(page.rendered, options).result.model_dump(mode="json", exclude_none=True)
    )


def _code_version() -> str:
    """Of the engine's sources: what is read with other code is read again."""
    digest = sha256()
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.exists() else []:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _rapidocr_version() -> str:
    return version("rapidocr")


def _open_rapidocr() -> Callable[[Page], bytes]:
    """As the package comes: detection, line direction, recognition, lines joined in its own order."""
    import numpy as np
    from rapidocr import RapidOCR

    reader = RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1})

    def read(page: Page) -> bytes:
        found = reader(np.ascontiguousarray(np.asarray(page.rendering.pixels)[:, :, ::-1]))
        return "\n".join(found.txts or ()).encode()

    return read


def _tesseract_version() -> str:
    done = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def _open_tesseract() -> Callable[[Page], bytes]:
    """`tesseract IMAGE stdout -l LANGUAGE`, nothing else said."""

    def read(page: Page) -> bytes:
        buffer = io.BytesIO()
        page.rendering.pixels.save(buffer, "PNG", compress_level=1, dpi=(page.rendering.info.dpi,) * 2)
        return subprocess.run(
            ["tesseract", "stdin", "stdout", "-l", page.sample.language],
            input=buffer.getvalue(),
            capture_output=True,
            check=True,
            env=os.environ | {"OMP_THREAD_LIMIT": "1"},
        ).stdout

    return read
