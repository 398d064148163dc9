"""What every engine must do, whatever reads the pages: one suite, run against each engine with its real page half.

    @pytest.fixture(scope="module")
    def subject(tmp_path_factory): ...

    class TestEcho(EngineConformance): ...

The engine runs as in a worker: on a loop of its own, its page half in real render processes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.errors import DocumentError, PageError
from jobs.options import PageOptions
from jobs.results import PageOutput
from jobs.settings import EngineSettings, LimitSettings
from tests.processes import alive, wait_until
from workers.engines import build_engine
from workers.engines.base import Engine
from workers.loop import EngineLoop
from workers.render.pool import PoolPage, RenderPool

_ids = itertools.count(1)


class HeldPage:
    """A `PageHandle` over a real render pool, without a claim behind it."""

    def __init__(self, page: PoolPage | None, number: int, options: PageOptions) -> None:
        self._page = page
        self.number = number
        self.options = options
        self.document_id = f"doc_{next(_ids)}"

    async def call(self, method: str, *args: Any) -> Any:
        assert self._page is not None, "this engine does not render"
        return await self._page.call(method, *args)

    async def forget(self) -> None:
        if self._page is not None:
            await self._page.release()

    def spend(self, tokens_in: int, tokens_out: int) -> None:
        """Nobody pays here."""


@dataclass
class Subject:
    """An engine that is up, a document that it can read, and what is printed there."""

    engine: Engine
    loop: EngineLoop
    pool: RenderPool | None
    document: Path
    printed: Sequence[str]
    """By page."""
    options: PageOptions
    others: set[psutil.Process] = field(default_factory=set)
    """Processes that were there before."""
    closed: bool = False

    def page(self, number: int, path: Path | None = None) -> HeldPage:
        made = self.pool and self.pool.page(
            path or self.document, "application/pdf", number, self.options, self.options.dpi or self.engine.default_dpi
        )
        return HeldPage(made, number, self.options)

    async def read(self, number: int, path: Path | None = None) -> PageOutput:
        """As the worker does it."""
        handle = self.page(number, path)
        try:
            return await self.engine.recognize(handle)
        finally:
            await handle.forget()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(work)

    def read_all(self, numbers: Sequence[int]) -> list[PageOutput]:
        async def together() -> list[PageOutput]:
            return await asyncio.gather(*map(self.read, numbers))

        found: list[PageOutput] = self.run(together())
        return found

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.engine.close()
            if self.pool is not None:
                self.pool.close()
            self.loop.stop()


@contextmanager
def engine_up(
    settings: EngineSettings, document: Path, printed: Sequence[str], options: PageOptions
) -> Iterator[Subject]:
    """An engine as a worker starts it."""
    before = set(psutil.Process().children(recursive=True))
    engine, loop = build_engine(settings), EngineLoop()
    loop.start()
    try:
        engine.start()
        loop.run(engine.warm_up())
        pool = None
        if engine.page_half is not None:
            pool = RenderPool(settings.render_processes or 1, engine.page_half, settings, LimitSettings())
            pool.start()
    except BaseException:
        engine.close()
        loop.stop()
        raise
    subject = Subject(engine, loop, pool, document, printed, options, before)
    try:
        yield subject
    finally:
        subject.close()


def said(output: PageOutput) -> str:
    return " ".join(block.content for block in output.result.blocks)


class EngineConformance:
    """Modules with a subclass give the fixture `subject`, of scope `module`."""

    def test_one_result_per_page_and_each_its_own(self, subject: Subject) -> None:
        numbers = [*range(len(subject.printed), 0, -1)]
        outputs = subject.read_all(numbers)
        assert [output.result.number for output in outputs] == numbers
        for output in outputs:
            assert subject.printed[output.result.number - 1] in said(output)
            assert output.result.engine == subject.engine.info
            assert [block.order for block in output.result.blocks] == [*range(len(output.result.blocks))]

    def test_a_cancelled_page_leaves_the_others_alone(self, subject: Subject) -> None:
        async def half_of_it() -> list[Any]:
            tasks = [asyncio.create_task(subject.read(number)) for number in range(1, len(subject.printed) + 1)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        results = subject.run(half_of_it())
        assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
        for number, result in enumerate(results[1::2]):
            assert subject.printed[2 * number + 1] in said(result)

    def test_a_deadline_ends_a_page_and_no_other(self, subject: Subject) -> None:
        async def too_late() -> None:
            async with asyncio.timeout(0):
                await subject.read(1)

        with pytest.raises(TimeoutError):
            subject.run(too_late())
        assert subject.printed[0] in said(subject.read_all([1])[0])

    def test_a_bad_page_is_a_value(self, subject: Subject, tmp_path: Path) -> None:
        if subject.pool is None:
            pytest.skip("this engine does not look at pages")
        broken = tmp_path / "broken.pdf"
        broken.write_bytes(b"%PDF-1.4\nthis is the end")

        async def one_bad() -> list[Any]:
            return await asyncio.gather(subject.read(1), subject.read(1, broken), return_exceptions=True)

        good, bad = subject.run(one_bad())
        assert subject.printed[0] in said(good)
        assert isinstance(bad, DocumentError | PageError)

    def test_more_pages_than_it_takes_wait_their_turn(self, subject: Subject) -> None:
        count = 3 * subject.engine.capacity
        numbers = [1 + index % len(subject.printed) for index in range(count)]
        outputs = subject.read_all(numbers)
        assert [output.result.number for output in outputs] == numbers
        assert all(subject.printed[number - 1] in said(output) for number, output in zip(numbers, outputs, strict=True))

    def test_closing_leaves_nothing_behind(self, subject: Subject) -> None:
        """Last of all."""
        subject.close()
        left = set(psutil.Process().children(recursive=True)) - subject.others
        wait_until(lambda: not any(alive(process) for process in left if not _tracker(process)), "its processes to end")


def _tracker(process: psutil.Process) -> bool:
    """multiprocessing's own, which lives as long as whoever used it first."""
    try:
        return "resource_tracker" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return True
