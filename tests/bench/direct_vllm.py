"""AsyncLLM in a process of its own, fed directly: what the queue is measured against.

The crops are rendered and cut before the clock starts, by the page half that a worker's render processes use, so that
they are the same to the byte; engine arguments and sampling are the worker's too. What is left out: queue, database,
store, rendering, pagemill's own engine.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image

from jobs.options import PageOptions, VlOptions
from jobs.settings import EngineSettings, LimitSettings
from workers.engines.base import RenderedPage
from workers.engines.paddleocr_vl.backends.base import Ask, PackedCrop
from workers.engines.paddleocr_vl.backends.vllm import VllmBackend
from workers.engines.paddleocr_vl.page import PaddleOcrVlPageHalf
from workers.render.documents import open_document


@dataclass(frozen=True)
class Fed:
    """All crops once through AsyncLLM."""

    seconds: float
    """From the first one in to the last one out."""
    tokens: int
    frontend: float
    """CPU seconds of the process that AsyncLLM is in; EngineCore has one of its own."""


class Direct:
    """The process, seen from here."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def feed(self) -> Fed:
        """Every crop once more."""
        self._pipe.send("feed")
        fed: Fed = self._pipe.recv()
        return fed


@contextmanager
def direct(document: Path, pages: int, settings: EngineSettings, options: PageOptions) -> Iterator[Direct]:
    """An AsyncLLM that is up and has read the document once."""
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe()
    process = context.Process(target=_serve, args=(child, document, pages, settings, options))
    process.start()
    child.close()  # so that the end of the process is the end of the pipe
    try:
        parent.recv()
        yield Direct(parent)
    finally:
        parent.close()
        process.join()


class _Bare(VllmBackend):
    """The backend's engine without the backend: no turns, no timeouts, no watch."""

    names = itertools.count(1)

    async def straight(self, crop: PackedCrop, ask: Ask) -> int:
        """Tokens of the answer."""
        image = Image.frombytes("RGB", (crop.width, crop.height), crop.data)
        request: Any = {"prompt": self._prompt(ask), "multi_modal_data": {"image": image}}
        generated = self._alive().generate(request, self._sampling(ask), f"direct-{next(self.names)}")
        outputs = [output async for output in generated]
        return len(outputs[-1].outputs[0].token_ids)


def _serve(pipe: Connection, document: Path, pages: int, settings: EngineSettings, options: PageOptions) -> None:
    vl = options.paddleocr_vl or VlOptions()
    crops = [*_cut(document, pages, settings, options, vl)]
    bounds = vl.pixels["ocr"]
    ask = Ask("ocr", bounds.min, bounds.max, vl.max_new_tokens or settings.vl_max_tokens)
    backend = _Bare(settings)
    backend.start()

    async def rounds() -> None:
        await _feed(backend, crops[:200], ask)
        pipe.send("ready")
        while True:
            try:
                await asyncio.to_thread(pipe.recv)
            except EOFError:
                return
            pipe.send(await _feed(backend, crops, ask))

    asyncio.run(rounds())
    backend.close()


def _cut(
    document: Path, pages: int, settings: EngineSettings, options: PageOptions, vl: VlOptions
) -> Iterator[PackedCrop]:
    half = PaddleOcrVlPageHalf(settings)
    half.start()
    most = LimitSettings().max_page_pixels
    opened = open_document(document, "application/pdf", max_pixels=most)
    for number in range(1, pages + 1):
        rendering = opened.render(number, options.dpi or 144, most)
        yield from half.cut_whole(RenderedPage(number, rendering.pixels, rendering.info), vl).crops
    opened.close()


async def _feed(backend: _Bare, crops: Sequence[PackedCrop], ask: Ask) -> Fed:
    left = iter(crops)
    begun, before = time.perf_counter(), time.process_time()

    async def take() -> int:
        return sum([await backend.straight(crop, ask) for crop in left])

    tokens = await asyncio.gather(*[take() for _ in range(backend.concurrency)])
    return Fed(time.perf_counter() - begun, sum(tokens), time.process_time() - before)
