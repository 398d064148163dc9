"""What reads a page. All of them see the same pixels, made once by pagemill's own rendering."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from importlib.metadata import version
from typing import Any
from unittest.mock import patch

from jobs.media import SNIFF_BYTES, sniff
from jobs.options import PageOptions
from jobs.results import PageResult
from jobs.scoring.reading import Reading, from_page, from_text
from jobs.settings import EngineSettings, LimitSettings
from tests.bench.quality.cache import Cache
from tests.bench.quality.remembered import remembering
from tests.bench.quality.samples import Sample
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.engine import DPI
from workers.engines.rapidocr.models import open_models
from workers.engines.rapidocr.page import RapidOcrPageHalf
from workers.render.documents import open_document


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
        size = rendering.info.width, rendering.info.height
        return replace(page, text_layer=partial(self.document.text_layer, self.sample.number, *size))

    @cached_property
    def digest(self) -> str:
        """Of the pixels."""
        return sha256(self.rendering.pixels.tobytes()).hexdigest()

    def close(self) -> None:
        self.document.close()


@dataclass(frozen=True)
class Reader:
    """`open()` loads models once per process and returns what reads a page; `parse` reads that back from the cache."""

    name: str
    title: str
    open: Callable[[Cache], Callable[[Page], bytes]]
    parse: Callable[[bytes], Reading]
    version: Callable[[], str] | None = None
    """None: what it says is not kept, it remembers what it needs."""
    born_digital_only: bool = False
    layer_alone: Callable[[bytes], bool] = lambda _: False
    """Whether all of the page's text came from its text layer, and the layer has nothing else."""


def readers() -> list[Reader]:
    """Those that this machine has."""
    found = [
        _pagemill("ocr", "pagemill, `ocr`"),
        _pagemill("auto", "pagemill, `auto`", born_digital_only=True),
        Reader("rapidocr", "RapidOCR", _open_rapidocr, _parse_text, _rapidocr_version),
    ]
    if shutil.which("tesseract"):
        found.append(Reader("tesseract", "Tesseract", _open_tesseract, _parse_text, tesseract_version))
    return found


def _parse_text(stored: bytes) -> Reading:
    return from_text(stored.decode())


def _parse_page(stored: bytes) -> Reading:
    return from_page(PageResult.model_validate_json(stored), furniture=True)


def _pagemill(text: str, title: str, *, born_digital_only: bool = False) -> Reader:
    return Reader(
        f"pagemill-{text}", title, partial(_open_pagemill, text), _parse_page, born_digital_only=born_digital_only,
        layer_alone=_layer_alone,
    )  # fmt: skip


def _layer_alone(stored: bytes) -> bool:
    text = PageResult.model_validate_json(stored).text
    return text is not None and (text.source, text.ocr_lines, text.hidden) == ("layer", 0, 0)


_half: RapidOcrPageHalf | None = None


def _open_pagemill(text: str, cache: Cache) -> Callable[[Page], bytes]:
    """The engine's own half of a page, as the render processes call it."""
    global _half
    if _half is None:
        _half = RapidOcrPageHalf(EngineSettings(), threads=1)
        with patch("workers.engines.rapidocr.page.open_models", lambda *given: remembering(open_models(*given), cache)):
            _half.start()
    half = _half
    options = PageOptions.model_validate({"figures": False, "text": text})
    return lambda page: half.recognize(page.rendered, options).result.model_dump_json(exclude_none=True).encode()


def _rapidocr_version() -> str:
    return version("rapidocr")


def _open_rapidocr(_: Cache) -> Callable[[Page], bytes]:
    """As the package comes: detection, line direction, recognition, lines joined in its own order."""
    import numpy as np
    from rapidocr import RapidOCR

    reader = RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1})

    def read(page: Page) -> bytes:
        found = reader(np.ascontiguousarray(np.asarray(page.rendering.pixels)[:, :, ::-1]))
        return "\n".join(found.txts or ()).encode()

    return read


def tesseract_version() -> str:
    done = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def _open_tesseract(_: Cache) -> Callable[[Page], bytes]:
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
