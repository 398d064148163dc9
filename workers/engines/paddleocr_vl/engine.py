"""PaddleOCR-VL beside its models: layout, crops, and what reads them, for any number of pages at once.

A page: layout input from its render process -> layout model (several pages at a time) -> crops and figures from the
render process, which then takes its next page -> every crop to the backend at once, among those of all other pages ->
blocks. Nothing waits for another page, and nothing for the end of a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as package_version
from typing import Any, TypeVar

import numpy as np

from jobs.errors import EngineError, EngineUnavailable
from jobs.options import VlOptions, VlPixels, VlTask
from jobs.results import EngineInfo, PageOutput
from jobs.settings import EngineSettings, preset
from jobs.settings.engines import NO_LAYOUT
from workers.engines.base import PageHandle
from workers.engines.paddleocr_vl import blocks
from workers.engines.paddleocr_vl.answers import Answer
from workers.engines.paddleocr_vl.backends import build_backend
from workers.engines.paddleocr_vl.backends.base import Ask, PackedCrop, Refused
from workers.engines.paddleocr_vl.detections import Detections
from workers.engines.paddleocr_vl.layout_model import LayoutModel
from workers.engines.paddleocr_vl.micro_batch import MicroBatcher
from workers.engines.paddleocr_vl.page import Cut, LayoutInput
from workers.engines.paddleocr_vl.plan import CropRequest
from workers.engines.paddleocr_vl.prompts import QUESTIONS, keeps_special_tokens
from workers.engines.paddleocr_vl.resize import TASK_BOUNDS
from workers.engines.paddleocr_vl.versions import LAYOUT_SIZE, VERSIONS

T = TypeVar("T")

DPI = 144
"""PaddleX renders at scale 2 (reference, section 1)."""
CROPS_PER_PAGE = 6
"""Crops that a page has at least, as a rule; pages in flight are counted by it, so that the backend is never short of
crops while pages wait. Dense pages have 15 to 30: their further crops wait their turn in this process."""


class PaddleOcrVlEngine:
    """The engine; see `workers.engines.base.Engine`."""

    page_half: str | None = "workers.engines.paddleocr_vl.page:PaddleOcrVlPageHalf"
    default_dpi = DPI
    renders_always = True
    reads_in_page_half = False

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._version = VERSIONS[settings.vl_version]
        self._own_version = package_version("pagemill")  # once: it reads the package's metadata from disk
        self._backend = build_backend(settings)
        has_layout = settings.vl_layout_model != NO_LAYOUT
        self._layout = LayoutModel(settings, self._version) if has_layout else None
        self._thread = ThreadPoolExecutor(1, "layout")
        self.capacity = settings.engine_capacity or _pages(self._backend.concurrency, whole_pages=not has_layout)

    @property
    def info(self) -> EngineInfo:
        layout = f" + {self._layout.source}" if self._layout else ""
        return EngineInfo(name="paddleocr_vl", version=self._own_version, model=f"{self._backend.model}{layout}")

    def start(self) -> None:
        self._usual_pixels = self._pixels()
        if self._settings.device.isdigit():
            preset(CUDA_VISIBLE_DEVICES=self._settings.device)  # read when torch first looks for cards
        self._backend.start()
        if self._layout is not None:
            self._layout.start()

    async def warm_up(self) -> None:
        if self._layout is not None:
            self._detect = MicroBatcher(self._layout.detect, self._settings.vl_layout_batch, self._thread)
        await self._backend.warm_up()

    async def watch(self) -> None:
        await self._backend.watch()

    def close(self) -> None:
        self._backend.close()
        self._thread.shutdown()

    async def recognize(self, page: PageHandle) -> PageOutput:
        """Raises Refused for a page that this worker's version cannot read as asked."""
        options = self._options(page.options.paddleocr_vl or VlOptions())
        seconds: dict[str, float] = {}
        cut = await self._cut(page, options, seconds)
        await page.forget()
        begun = time.perf_counter()
        asks = [_ask(request, options, self._settings.vl_max_tokens) for request in cut.plan.requests]
        answers = await _all([self._read(page, crop, ask) for crop, ask in zip(cut.crops, asks, strict=True)])
        seconds |= {**cut.seconds, "recognize": time.perf_counter() - begun}
        # On a thread: tables take a while to become HTML, and the loop has the model to feed.
        return await asyncio.to_thread(self._assembled, cut, _contents(answers), options, seconds)

    def _assembled(
        self, cut: Cut, answers: Sequence[Answer], options: VlOptions, seconds: dict[str, float]
    ) -> PageOutput:
        result = blocks.assemble_page(
            cut.plan,
            answers,
            image=cut.image,
            engine=self.info,
            options=options,
            warnings=cut.warnings,
            timings={name: round(value, 4) for name, value in seconds.items()},
        )
        return PageOutput(result=result, figures=cut.figures)

    async def _cut(self, page: PageHandle, options: VlOptions, seconds: dict[str, float]) -> Cut:
        if options.whole_page_task is not None:
            whole: Cut = await page.call("cut_whole", options)
            return whole
        seen: LayoutInput = await page.call("layout_input")
        begun = time.perf_counter()
        found = await self._found(seen)
        seconds["layout"] = time.perf_counter() - begun
        cut: Cut = await page.call("cut", found, options, page.options.figures)
        return cut

    async def _found(self, seen: LayoutInput) -> Detections:
        """Raises EngineError where the layout model does not take this page, EngineUnavailable where it takes none."""
        try:
            return await self._detect(seen.pixels)
        except RuntimeError as error:  # what torch raises: out of memory, a card that is gone
            reason = str(error)
        try:
            await self._detect(np.zeros((*LAYOUT_SIZE, 3), np.uint8))
        except RuntimeError as error:
            raise EngineUnavailable(f"the layout model is dead: {error}") from error
        raise EngineError(f"the layout model cannot read this page: {reason}")

    async def _read(self, page: PageHandle, crop: PackedCrop, ask: Ask) -> Answer | EngineError:
        """The model's answer; or why it has none for this crop alone."""
        try:
            answer = await self._backend.read(crop, ask)
        except EngineError as error:
            return error
        page.spend(answer.tokens_in, answer.tokens)
        return Answer(answer.text, truncated=answer.ended != "stop")

    def _options(self, asked: VlOptions) -> VlOptions:
        """As asked, with this worker's own bounds where the job names none; without a layout model, whole pages."""
        name, where = self._version.name, "options.paddleocr_vl"
        if asked.version not in (None, name):
            raise Refused(
                f"this worker holds version {name}", where=f"{where}.version", limit=name, actual=asked.version
            )
        if asked.seals and "seal" not in self._version.tasks:
            raise Refused(f"version {name} cannot read seals", where=f"{where}.seals", limit=name)
        if asked.task is not None and asked.task not in self._version.tasks:
            raise Refused(f"version {name} cannot do the task {asked.task}", where=f"{where}.task", limit=name)
        layout = "none" if self._layout is None else asked.layout
        return asked.model_copy(update={"layout": layout, "pixels": self._usual_pixels | asked.pixels})

    def _pixels(self) -> dict[VlTask, VlPixels]:
        """This worker's own bounds. Raises EngineUnavailable where they leave nothing between them."""
        least, most = self._settings.vl_min_pixels, self._settings.vl_max_pixels
        if least is None and most is None:
            return {}
        if least is not None and least > (most or min(usual.maximum for usual in TASK_BOUNDS.values())):
            raise EngineUnavailable("no crop has so many pixels and not more", where="PAGEMILL_VL_MIN_PIXELS")
        return {
            task: VlPixels(min=least or min(usual.minimum, most or usual.minimum), max=most or usual.maximum)
            for task, usual in TASK_BOUNDS.items()
            if task in QUESTIONS
        }


def _pages(crops: int, *, whole_pages: bool) -> int:
    """Pages in flight that keep so many crops in flight."""
    return crops if whole_pages else max(4, crops // CROPS_PER_PAGE)


def _ask(request: CropRequest, options: VlOptions, max_tokens: int) -> Ask:
    return Ask(
        task=request.task,
        min_pixels=request.bounds.minimum,
        max_pixels=request.bounds.maximum,
        max_tokens=options.max_new_tokens or max_tokens,
        skip_special_tokens=not keeps_special_tokens(request.task),
    )


def _contents(answers: Sequence[Answer | EngineError]) -> list[Answer]:
    """One crop that cannot be read costs its block and not the page; a page of which none can be read has failed."""
    errors = [answer for answer in answers if isinstance(answer, EngineError)]
    if errors and len(errors) == len(answers):
        raise errors[0]
    return [Answer(error=found.detail) if isinstance(found, EngineError) else found for found in answers]


async def _all(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Every result, in order; the first error cancels the rest and is raised as it is."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
