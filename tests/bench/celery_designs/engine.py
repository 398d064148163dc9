"""The modelled engine in a worker of one of the designs: resident, on a loop of its own in a thread."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.bench.modelled import TEXT, Model, ModelledEngine, page_work

MODEL, READINGS = "BENCH_MODEL", "BENCH_READINGS"
EVERY = 0.05
"""Seconds between two lines of the meters, as in `tests.bench.modelled_worker`."""

Page = dict[str, Any]


class Engine:
    """What tasks call; from any thread."""

    def __init__(self) -> None:
        self._engine = ModelledEngine(Model.parse(os.environ[MODEL]))
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._meters = self._submit(self._watch(Path(os.environ[READINGS])))

    def recognize(self, number: int) -> Page:
        """One page: waits for it, and others run beside it."""
        return self._submit(self._page(number)).result()

    def generate(self, numbers: Sequence[int]) -> list[Page]:
        """Pages as `LLM.generate` takes prompts: they run with continuous batching, and it waits for the last."""
        return self._submit(self._pages(numbers)).result()

    def _submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _pages(self, numbers: Sequence[int]) -> list[Page]:
        return await asyncio.gather(*map(self._page, numbers))

    async def _page(self, number: int) -> Page:
        begun = time.perf_counter()
        await self._engine.run(page_work(number))
        return page_result(number, time.perf_counter() - begun)

    async def _watch(self, path: Path) -> None:
        with path.open("w") as file:
            while True:
                file.write(f"{self._engine.read()}\n")
                file.flush()
                await asyncio.sleep(EVERY)


def page_result(number: int, seconds: float) -> Page:
    """What pagemill's modelled engine says of the page too, field by field."""
    blocks = [
        {"label": "text", "bbox": [0, 0, 0, 0], "content": text, "score": 1.0, "order": order}
        for order, text in enumerate([f"page {number}", TEXT])
    ]
    engine = {"name": "modelled", "version": "1", "model": os.environ.get(MODEL, "")}
    timings = {"recognize": round(seconds, 4)}
    return {"number": number, "blocks": blocks, "engine": engine, "score": 1.0, "timings": timings}
