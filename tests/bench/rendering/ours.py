"""A `RenderPool` with real render processes, asked for pages as an engine asks: several at once, each let go of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from jobs.options import PageOptions, VlOptions
from jobs.settings import EngineSettings, LimitSettings
from tests.bench.machine import CpuMeter
from tests.bench.rendering.samples import Sample
from workers.engines.paddleocr_vl.detections import Detections
from workers.engines.paddleocr_vl.versions import CLASS_LABELS
from workers.render.pool import HELD_PAGES, PoolPage, RenderPool

PACKAGE = "tests.bench.rendering.halves"
ASKED_AHEAD = 8
"""Pages asked for at once per render process: the pool is never short of them, as behind an engine with a backlog."""
BLOCKS = 12
"""Regions of a page in the made-up layout: strips of text, one below the other."""
WIDTHS = (0.8, 0.55)
"""Shares of the page's width that they have, in turn."""

Ask = Callable[[PoolPage], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for each page, and of which page half."""

    name: str
    half: str
    ask: Ask
    settings: EngineSettings = field(default_factory=EngineSettings)


@dataclass(frozen=True, slots=True)
class Read:
    """What it took."""

    pages: int
    seconds: float
    """From the first page asked for to the last one got."""
    parent: float
    """CPU seconds of the worker's own process: pool, loop, sockets."""
    child: float
    """CPU seconds of the render processes."""
    steps: Mapping[str, float]
    """CPU seconds in them by step, where they are measured."""

    @property
    def cpu(self) -> float:
        return self.parent + self.child


async def _look(page: PoolPage) -> None:
    await page.call("look")


async def _whole(page: PoolPage) -> None:
    await page.call("cut_whole", VlOptions(layout="none"))


async def _text(page: PoolPage) -> None:
    await page.call("text")


async def _by_layout(page: PoolPage) -> None:
    await page.call("layout_input")
    await page.call("cut", _LAYOUT, VlOptions(), False)


def _made_up_layout() -> Detections:
    top = np.arange(BLOCKS, dtype=np.float32) / BLOCKS * 0.9 + 0.05
    boxes = np.stack([np.full(BLOCKS, 0.1), top, 0.1 + np.resize(WIDTHS, BLOCKS), top + 0.06], axis=1)
    text = CLASS_LABELS.index("text")
    return Detections(
        classes=np.full(BLOCKS, text, np.int64), scores=np.full(BLOCKS, 0.9, np.float32),
        boxes=boxes.astype(np.float32), order=np.arange(BLOCKS, dtype=np.int64), columns=7,
    )  # fmt: skip


_LAYOUT = _made_up_layout()

ONLY_PIXELS = Work("RGB pixels", f"{PACKAGE}:OnlyRenders", _look)
WHOLE_PAGE = Work(
    "whole page as JPEG", f"{PACKAGE}:Measured", _whole, EngineSettings(vl_backend="openai", openai_image="jpeg")
)
TEXT = Work("pixels and text layer", f"{PACKAGE}:Measured", _text)
RESIDENT = Work(
    f"layout input, then {BLOCKS} crops as bytes", f"{PACKAGE}:Measured", _by_layout, EngineSettings(vl_backend="vllm")
)


class Pool:
    """Started render processes, warmed up. Use as a context manager."""

    def __init__(self, work: Work, processes: int) -> None:
        self._work, self._processes = work, processes
        self._measured = processes == 1 and work.half.endswith(":Measured")
        held = HELD_PAGES + self._measured  # one more that is kept, to ask for the steps
        self._pool = RenderPool(processes, work.half, work.settings, LimitSettings(), held_pages=held)

    def __enter__(self) -> Self:
        self._pool.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def read(self, samples: Sequence[Sample], dpi: int) -> Read:
        """Have all their pages read at that resolution, after the first page of each, which counts for nothing."""
        return asyncio.run(self._read(samples, dpi))

    async def _read(self, samples: Sequence[Sample], dpi: int) -> Read:
        await self._all([Sample(sample.name, 1) for sample in samples], dpi)
        async with self._page(samples[0], 1, dpi) as kept:
            await self._steps(kept)
            meter = CpuMeter({"child": [child.pid for child in self._pool._children()]})
            begun, parent = time.perf_counter(), time.process_time()
            pages = await self._all(samples, dpi)
            seconds, parent = time.perf_counter() - begun, time.process_time() - parent
            child = meter.read()["child"]
            return Read(pages, seconds, parent, child, await self._steps(kept))

    async def _all(self, samples: Sequence[Sample], dpi: int) -> int:
        turns = asyncio.Semaphore(self._processes * ASKED_AHEAD)
        pages = [self._page(sample, number, dpi) for sample in samples for number in range(1, sample.pages + 1)]
        await asyncio.gather(*(self._one(page, turns) for page in pages))
        return len(pages)

    async def _one(self, page: PoolPage, turns: asyncio.Semaphore) -> None:
        async with turns, page:
            await self._work.ask(page)

    def _page(self, sample: Sample, number: int, dpi: int) -> PoolPage:
        return self._pool.page(sample.path, "application/pdf", number, PageOptions(), dpi)

    async def _steps(self, kept: PoolPage) -> dict[str, float]:
        """CPU seconds in the only render process by step since the last time; nothing where that is not measured."""
        if not self._measured:
            return {}
        steps: dict[str, float] = await kept.call("reading")
        return steps
