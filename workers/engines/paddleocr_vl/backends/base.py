"""The seam between the engine and what runs the model, and what both backends share of dying."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any, Literal, Protocol, TypeVar

from jobs.errors import EngineError, EngineUnavailable
from jobs.options import VlTask
from workers.engines.base import NotTaken

T = TypeVar("T")

Packing = Literal["rgb", "jpeg", "png"]

LOOK_EVERY = 0.5
"""Seconds between two looks at whether the engine lives."""
REPETITION = {"max_pattern_size": 40, "min_pattern_size": 1, "min_count": 100}
"""vLLM's RepetitionDetectionParams: an answer that ends in 100 times the same 1 to 40 tokens is stopped there.

100, because wide empty tables and dotted leaders repeat honestly; 40, because a longer pattern does not fit 100 times
into max_tokens. Nothing is compared before an answer has 100 tokens, so that it costs next to nothing.
"""
TELL_SECONDS = 10.0
"""How long pages may take to hear that the engine died before the worker leaves without them."""


@dataclass(frozen=True, slots=True)
class PackedCrop:
    """A crop as it leaves the render process: cut, resized to multiples of 28, packed as the backend asked."""

    packing: Packing
    width: int
    height: int
    data: bytes
    """rgb: height x width x 3 bytes, row by row; else a file."""

    def __reduce__(self) -> tuple[type[PackedCrop], tuple[Any, ...]]:
        """By pickle, its data may travel beside (workers/render/wire.py)."""
        return PackedCrop, (self.packing, self.width, self.height, PickleBuffer(self.data))


@dataclass(frozen=True, slots=True)
class Ask:
    """What to do with a crop."""

    task: VlTask
    min_pixels: int
    max_pixels: int
    """The bounds the crop was resized to; the model's own processor must not resize it again."""
    max_tokens: int
    skip_special_tokens: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, and why it stopped."""

    text: str
    ended: Literal["stop", "length", "repetition"] = "stop"
    tokens: int = 0
    """Of the answer."""
    tokens_in: int = 0
    """Of the prompt, the image's included."""


class Refused(EngineError):
    """The engine does not take this page."""

    retryable = False


class Backend(Protocol):
    """Reads crops, any number at a time; bounds itself what is in flight. Belongs to one event loop after `start`."""

    packing: Packing
    """How it wants crops."""
    model: str
    """What reads, for the provenance of results; final after `warm_up`."""
    concurrency: int
    """Crops in flight at most; further ones wait their turn."""

    def start(self) -> None:
        """Load, in the main thread. Raises EngineUnavailable with the reason."""

    async def warm_up(self) -> None:
        """Read one crop of its own. Raises EngineUnavailable with the reason."""

    async def watch(self) -> None:
        """As `Engine.watch`."""

    async def read(self, crop: PackedCrop, ask: Ask) -> Answer:
        """What the model says of the crop. Cancelling aborts the request in the engine.

        Raises PageTimeout, EngineError (Refused where trying again is of no use), EngineBusy, EngineUnavailable,
        NotTaken.
        """

    def close(self) -> None:
        """As `Engine.close`."""


class Lifeline:
    """Requests inside an engine that may die under them: all of them hear of it, at once and in words.

    Also measures progress: an engine that has work and moves nothing is as good as dead, whatever its health check
    says. Belongs to one loop.
    """

    def __init__(self) -> None:
        self._inside: set[asyncio.Task[Any]] = set()
        self._reason: str | None = None
        self._moved = time.monotonic()

    @property
    def dead(self) -> bool:
        return self._reason is not None

    @property
    def inside(self) -> int:
        """Requests in the engine."""
        return len(self._inside)

    def moved(self) -> None:
        """The engine has done something. May be called from any thread."""
        self._moved = time.monotonic()

    def idle_seconds(self) -> float:
        """Seconds since the engine last did something while it had work; 0 without work."""
        return time.monotonic() - self._moved if self._inside else 0.0

    async def hold(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a request. Raises EngineUnavailable if the engine dies meanwhile, NotTaken if it was dead."""
        if self._reason is not None:
            work.close()
            raise NotTaken(self._reason)
        if not self._inside:
            self.moved()  # the clock of an idle engine starts with its first request
        task = asyncio.get_running_loop().create_task(work)
        self._inside.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._reason is None or (current is not None and current.cancelling()):
                raise
            raise EngineUnavailable(self._reason) from None
        finally:
            self._inside.discard(task)

    def die(self, reason: str) -> None:
        """From now on nothing is taken; what is inside ends with EngineUnavailable. The first reason stays."""
        if self._reason is None:
            self._reason = reason
            for task in self._inside:
                task.cancel()

    async def death(self) -> EngineUnavailable:
        """Waits for `die` and until everybody inside has heard of it; gives the error to raise."""
        while self._reason is None:
            await asyncio.sleep(LOOK_EVERY)
        told_by = time.monotonic() + TELL_SECONDS
        while self._inside and time.monotonic() < told_by:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # the pages themselves are one step behind their requests
        return EngineUnavailable(self._reason)
