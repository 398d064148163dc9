"""`python -m tests.bench.modelled_worker`: `python -m workers` with the modelled engine, for benchmarks.

BENCH_MODEL: the model (`Model.parse`). BENCH_READINGS: a file to which the engine's meters are written every 50 ms, one
`Reading` a line. BENCH_ORDER: a file to which the number of each page is written as it comes into the engine. The
engine renders only where BENCH_RENDER is set. Jobs ask for the engine `modelled`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from jobs.results import Block, EngineInfo, PageImage, PageOutput, PageResult
from jobs.settings import EngineSettings
from tests.bench.modelled import TEXT, Model, ModelledEngine, page_work
from tests.installation import Installation, WorkerService
from workers.engines.base import PageHandle

MODEL, READINGS, ORDER, RENDER = "BENCH_MODEL", "BENCH_READINGS", "BENCH_ORDER", "BENCH_RENDER"
EVERY = 0.05
NAME = "modelled"


class ModelledPages:
    """The engine of a worker; see `workers.engines.base.Engine`."""

    page_half: str | None = "workers.engines.echo:EchoPageHalf"
    default_dpi = 144
    renders_always = RENDER in os.environ
    reads_in_page_half = False

    def __init__(self, settings: EngineSettings) -> None:
        self.info = EngineInfo(name=NAME, version="1", model=os.environ[MODEL])
        self._model = Model.parse(os.environ[MODEL])
        self.capacity = settings.engine_capacity or self._model.sequences

    def start(self) -> None:
        """There is nothing to load."""

    async def warm_up(self) -> None:
        self._engine = ModelledEngine(self._model)
        self._order: list[int] = []

    async def watch(self) -> None:
        """Writes the meters."""
        path, order = os.environ.get(READINGS), os.environ.get(ORDER, os.devnull)
        if path is None:
            await asyncio.Event().wait()
            return
        with Path(path).open("w") as file, Path(order).open("w") as pages:
            while True:
                pages.writelines(f"{number}\n" for number in self._order)
                self._order.clear()
                pages.flush()
                file.write(f"{self._engine.read()}\n")
                file.flush()
                await asyncio.sleep(EVERY)

    def close(self) -> None:
        """There is nothing to free."""

    async def recognize(self, page: PageHandle) -> PageOutput:
        image: PageImage | None = None
        if self.renders_always:
            image = await page.call("image")
            await page.forget()  # its render process takes the next, as when a real engine has the pixels
        begun = time.perf_counter()
        self._order.append(page.number)
        await self._engine.run(page_work(page.number))
        box = (0, 0, image.width, image.height) if image else (0, 0, 0, 0)
        block = Block(label="text", bbox=box, content=f"page {page.number}", score=1.0, order=0)
        text = Block(label="text", bbox=box, content=TEXT, score=1.0, order=1)
        seconds = {"recognize": round(time.perf_counter() - begun, 4)}
        result = PageResult(
            number=page.number, image=image, blocks=(block, text), engine=self.info, score=1.0, timings=seconds
        )
        return PageOutput(result=result)


class ModelledWorker(WorkerService):
    """Such a worker as a child of the benchmark. `readings`: where its meters go."""

    def __init__(
        self, installation: Installation, model: Model, readings: Path, *, render: bool = False, **settings: str
    ) -> None:
        bench = {MODEL: str(model), READINGS: str(readings), "PAGEMILL_ENGINE": NAME} | (
            {RENDER: "1"} if render else {}
        )
        super().__init__(installation, installation.environment(**{"PAGEMILL_TIME_FACTOR": "1"} | bench | settings))
        installation.started.append(self)

    def _command(self) -> list[str]:
        return [*super()._command()[:-1], "tests.bench.modelled_worker"]


def main() -> int:
    from workers.__main__ import main as run
    from workers.engines import ENGINES

    ENGINES[NAME] = "tests.bench.modelled_worker:ModelledPages"
    return run()


if __name__ == "__main__":
    sys.exit(main())
