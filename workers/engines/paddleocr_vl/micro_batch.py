"""Things that one model takes several at a time, brought together without waiting for each other.

While the model works on one batch, what arrives gathers; the next batch is whatever is there then. An idle model takes
a single item at once, a busy one gets full batches: there is no timer to choose.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741 - an item
O = TypeVar("O")  # noqa: E741 - its outcome


class MicroBatcher(Generic[I, O]):
    """Belongs to one loop; `work` runs on the executor, one batch at a time."""

    def __init__(self, work: Callable[[Sequence[I]], Sequence[O]], size: int, executor: Executor) -> None:
        self._work = work
        self._size = size
        self._executor = executor
        self._waiting: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, item: I) -> O:
        """The item's outcome. Raises what `work` raised for it alone: the others of its batch are tried without it."""
        future: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._work_on(batch)
        finally:
            self._running = None

    def _next(self) -> list[tuple[I, asyncio.Future[O]]]:
        batch: list[tuple[I, asyncio.Future[O]]] = []
        while self._waiting and len(batch) < self._size:
            item, future = self._waiting.popleft()
            if not future.done():  # whoever asked is gone
                batch.append((item, future))
        return batch

    async def _work_on(self, batch: list[tuple[I, asyncio.Future[O]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._executor, self._work, [item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - a foreign model may raise anything, and whoever asked must hear of it
            if len(batch) > 1:
                for one in batch:
                    await self._work_on([one])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)
