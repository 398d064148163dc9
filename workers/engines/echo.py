"""The null engine: says the number of the page. For tests and benchmarks; takes programmed time and programmed faults.

What it does with a page stands in `jobs.options.EchoOptions`, by page number or "*". A page's own entry wins over "*".
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar

from jobs.errors import EngineError, PageRenderFailed
from jobs.options import EchoOptions
from jobs.results import Block, EngineInfo, PageImage, PageOutput, PageResult, Warning_
from jobs.settings import EngineSettings
from workers.engines.base import PageHandle, RenderedPage
from workers.textlayer.lines import text_lines
from workers.textlayer.sight import seen

CAPACITY = 64
DPI = 72
ENDLESS = 4096
"""Words of an answer without end."""
_CUT_OFF = Warning_(code="output_truncated", detail=f"the answer was cut off after {ENDLESS} words")

_NOTHING_SET = EchoOptions()


class EchoPageHalf:
    """Tells what was rendered, or dies of it."""

    def __init__(self, _settings: EngineSettings) -> None:
        """Nothing can be set."""

    def start(self) -> None:
        """There is no model."""

    def image(self, rendered: RenderedPage) -> PageImage:
        return rendered.info

    def rendering(self, rendered: RenderedPage) -> tuple[tuple[Warning_, ...], float]:
        """What rendering warned of, and how many seconds it took."""
        return rendered.warnings, rendered.render_seconds

    def lines(self, rendered: RenderedPage) -> tuple[str, ...]:
        """What can be seen of the page's own text, without asking whether it can be trusted."""
        try:
            layer = rendered.text_layer()
        except PageRenderFailed:
            layer = None  # as engines that would then read the image
        if layer is None:
            return ()
        drawn, invisible, _ = seen(layer.glyphs, rendered.pixels, rendered.info.dpi)
        return tuple(line.text for line in text_lines([*drawn, *invisible]))

    def kill(self, rendered: RenderedPage) -> None:
        """End this render process as the kernel would when memory is short."""
        _die()


class EchoEngine:
    """One text block per page, `page <number>`. Stateless but for the faults that must happen once."""

    page_half: str | None = "workers.engines.echo:EchoPageHalf"
    default_dpi = DPI
    renders_always = False
    reads_in_page_half = False

    def __init__(self, settings: EngineSettings) -> None:
        self.info = EngineInfo(name="echo", version="1", model="echo")
        self.capacity = settings.engine_capacity or CAPACITY
        self._state = settings.echo_state
        self._inside = 0

    def start(self) -> None:
        """There is nothing to load."""

    async def warm_up(self) -> None:
        """There is nothing to warm."""

    async def watch(self) -> None:
        """It dies only with the worker."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """There is nothing to free."""

    async def recognize(self, page: PageHandle) -> PageOutput:
        """Raises EngineError or PageRenderFailed where the options say so; may also hang or kill a process."""
        self._inside += 1
        try:
            return await self._recognize(page)
        finally:
            self._inside -= 1

    async def _recognize(self, page: PageHandle) -> PageOutput:
        options = page.options.echo or _NOTHING_SET
        key = str(page.number)
        seconds = options.seconds.get(key, options.seconds.get("*", 0.0))
        if seconds:
            await asyncio.sleep(seconds)
        fault = options.faults.get(key, options.faults.get("*"))
        if fault is not None:
            await self._FAULTS[fault](self, page)
        if fault == "endless":
            return self._output(page.number, None, ("again",) * ENDLESS, (_CUT_OFF,))
        if not options.render:
            return self._output(page.number, None)
        image = await page.call("image")
        warnings, render_seconds = await page.call("rendering")
        lines = await page.call("lines") if options.layer else ()
        return self._output(page.number, image, lines, warnings, {"render": render_seconds})

    def _output(
        self,
        number: int,
        image: PageImage | None,
        lines: tuple[str, ...] = (),
        warnings: tuple[Warning_, ...] = (),
        timings: dict[str, float] | None = None,
    ) -> PageOutput:
        bbox = (0, 0, image.width, image.height) if image else (0, 0, 0, 0)
        content = "\n".join([f"page {number}", *lines])
        block = Block(label="text", bbox=bbox, content=content, score=1.0, order=0)
        result = PageResult(
            number=number,
            image=image,
            blocks=(block,),
            engine=self.info,
            score=1.0,
            warnings=warnings,
            timings=timings or {},
        )
        return PageOutput(result=result)

    async def _error(self, page: PageHandle) -> None:
        raise EngineError(f"page {page.number} is programmed to fail")

    async def _error_once(self, page: PageHandle) -> None:
        if self._first_time(page, "error"):
            await self._error(page)

    async def _fatal_error(self, page: PageHandle) -> None:
        raise PageRenderFailed(f"page {page.number} is programmed to fail for good")

    async def _crash(self, page: PageHandle) -> None:
        _die()

    async def _crash_once(self, page: PageHandle) -> None:
        if self._first_time(page, "crash"):
            _die()

    async def _crash_beside(self, page: PageHandle) -> None:
        if self._inside > 1:
            _die()

    async def _memory(self, page: PageHandle) -> None:
        raise MemoryError

    async def _endless(self, page: PageHandle) -> None:
        """What it says is what is wrong with it."""

    async def _hang(self, page: PageHandle) -> None:
        await asyncio.Event().wait()

    async def _block(self, page: PageHandle) -> None:
        threading.Event().wait()

    async def _kill_render(self, page: PageHandle) -> None:
        await page.call("kill")

    _FAULTS: ClassVar[dict[str, Callable[[EchoEngine, PageHandle], Awaitable[None]]]] = {
        "error": _error,
        "error_once": _error_once,
        "fatal_error": _fatal_error,
        "crash": _crash,
        "crash_once": _crash_once,
        "crash_beside": _crash_beside,
        "memory": _memory,
        "endless": _endless,
        "hang": _hang,
        "block": _block,
        "kill_render": _kill_render,
    }

    def _first_time(self, page: PageHandle, fault: str) -> bool:
        """Leave a marker that outlives this process; whether it is the first for this page and fault."""
        if self._state is None:
            raise PageRenderFailed("faults that happen once need PAGEMILL_ECHO_STATE, a directory")
        return _leave_marker(self._state, f"{page.document_id}.{page.number}.{fault}")


def _leave_marker(directory: Path, name: str) -> bool:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        (directory / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
