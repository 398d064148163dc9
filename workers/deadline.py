"""How long an engine may work on a page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class Deadline:
    """`async with`: TimeoutError after so many seconds, not counting those spent inside `paused`.

    A page waits for its render process behind others and has a deadline of its own there; were that wait counted, one
    page that hangs in a decoder would time out all that stand behind it. Belongs to one task of one loop.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._pauses = 0
        self._timer = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timer.__aenter__()
        self._timer.reschedule(self._now() + self._left)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timer.__aexit__(kind, error, trace)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The clock stands still. Pauses may overlap."""
        self._pauses += 1
        if self._pauses == 1:
            self._stop()
        try:
            yield
        finally:
            self._pauses -= 1
            if not self._pauses:
                self._go_on()

    def _stop(self) -> None:
        when = self._timer.when()
        if when is not None and not self._timer.expired():
            self._left = when - self._now()
            self._timer.reschedule(None)

    def _go_on(self) -> None:
        if self._timer.when() is None and not self._timer.expired():
            self._timer.reschedule(self._now() + self._left)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
