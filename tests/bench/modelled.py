"""A model of an engine with continuous batching, as vLLM runs one: no GPU, but its waiting and its queue are real.

What is modelled:

* at most `sequences` requests run at once, further ones wait first in, first out;
* a request is an amount of work, in tokens: those it answers, and `PREFILL` for each token of its image;
* all running requests share the engine. A decode step takes 1 + (slow - 1) x (n - 1) / (sequences - 1) units of time
  for n running ones: `slow` is the time of a step of a full batch ÷ that of one request alone, 1.6 by default;
* the unit is such that a full batch does `pages_per_second` reference pages: 700 tokens of answer, 1,500 of image.

So a batch that is half full does more than half the work of a full one, as on a GPU. What a request costs follows from
its seed alone: lengths of answers are log-normal (sigma 0.55) about 700 tokens, bounded at a twelfth and four times.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
import zlib
from collections import deque
from dataclasses import dataclass
from statistics import NormalDist

PAGE_TOKENS, IMAGE_TOKENS, PREFILL = 700, 1500, 0.05
PAGE_WORK = PAGE_TOKENS + PREFILL * IMAGE_TOKENS
TEXT = "The quick brown fox jumps over the lazy dog. " * 62
"""About as many characters as 700 tokens have."""
SIGMA = 0.55
SPREAD = 99_991
"""Seeds are folded into so many places of the distribution: a prime."""


@dataclass(frozen=True, slots=True)
class Model:
    """The parameters; as text `20/64/1.6`."""

    pages_per_second: float = 20.0
    sequences: int = 64
    slow: float = 1.6

    @classmethod
    def parse(cls, text: str) -> Model:
        rate, sequences, slow = text.split("/")
        return cls(float(rate), int(sequences), float(slow))

    def __str__(self) -> str:
        return f"{self.pages_per_second:g}/{self.sequences}/{self.slow:g}"

    @property
    def full(self) -> float:
        """Work per second of a full batch."""
        return self.pages_per_second * PAGE_WORK

    def speed(self, running: int) -> float:
        """Work per second of each of so many running requests."""
        step = 1 + (self.slow - 1) * (running - 1) / max(1, self.sequences - 1)
        return self.full * self.slow / self.sequences / step


def answer_tokens(seed: int, mean: float = PAGE_TOKENS) -> float:
    """Tokens of the answer to a request with this seed."""
    normal = NormalDist().inv_cdf((seed % SPREAD + 0.5) / SPREAD)
    return min(4 * mean, max(mean / 12, math.exp(math.log(mean) - SIGMA**2 / 2 + SIGMA * normal)))


def page_work(number: int) -> float:
    """Work of the page with this number, whatever its document: every side of a comparison reads the same pages."""
    return answer_tokens(zlib.crc32(b"page %d" % number)) + PREFILL * IMAGE_TOKENS


@dataclass(frozen=True, slots=True)
class Reading:
    """The meters of an engine at a time; what lies between two of them is their difference."""

    at: float
    """time.monotonic(), the same clock in every process of a machine."""
    done: float
    """Work done."""
    empty: float
    """Seconds in which nothing ran."""
    held: float
    """Sequence-seconds: running requests, summed over time."""
    ended: int
    """Requests that ended."""
    running: int
    """Now."""
    waiting: int
    """Now."""

    @classmethod
    def parse(cls, line: str) -> Reading:
        at, done, empty, held, ended, running, waiting = line.split()
        return cls(float(at), float(done), float(empty), float(held), int(ended), int(running), int(waiting))

    def __str__(self) -> str:
        return (
            f"{self.at:.6f} {self.done:.3f} {self.empty:.6f} {self.held:.4f} {self.ended} {self.running} {self.waiting}"
        )


class ModelledEngine:
    """Processor sharing in virtual time: one timer, whatever the number of requests. Belongs to one event loop."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._virtual = 0.0
        self._running: list[tuple[float, int, asyncio.Future[None]]] = []
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._taken = self._ended = 0
        self._last = time.monotonic()
        self._done = self._empty = self._held = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: float) -> None:
        """Returns when the engine has done this work. Cancelling takes the request out."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._pump()
        try:
            await future
        except asyncio.CancelledError:
            self._running = [entry for entry in self._running if entry[2] is not future]
            heapq.heapify(self._running)
            self._pump()
            raise

    def read(self) -> Reading:
        self._advance()
        running, waiting = len(self._running), len(self._waiting)
        return Reading(self._last, self._done, self._empty, self._held, self._ended, running, waiting)

    def _advance(self) -> None:
        """Live through what has happened since the last time, in its order. A timer that comes late (its loop was busy)
        makes no request run beyond its end: what was due ended then, and what waited in the engine came in then."""
        now = time.monotonic()
        while self._running and (left := self._left()) <= now - self._last:
            self._pass(left)
            self._virtual = self._running[0][0]
            self._end(heapq.heappop(self._running)[2])
            self._admit()
        self._pass(now - self._last)

    def _left(self) -> float:
        """Seconds until the next of the running requests ends."""
        return max(0.0, (self._running[0][0] - self._virtual) / self.model.speed(len(self._running)))

    def _pass(self, seconds: float) -> None:
        """In which nothing ends and nothing comes in."""
        self._last += seconds
        if not self._running:
            self._empty += seconds
            return
        running = len(self._running)
        speed = self.model.speed(running)
        self._virtual += speed * seconds
        self._done += running * speed * seconds
        self._held += running * seconds

    def _pump(self) -> None:
        """End what is due, admit what fits, set the timer."""
        self._advance()
        self._admit()
        self._set_timer()

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self.model.sequences:
            work, future = self._waiting.popleft()
            if not future.done():
                self._taken += 1
                heapq.heappush(self._running, (self._virtual + work, self._taken, future))

    def _end(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            self._ended += 1
            future.set_result(None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running:
            self._timer = asyncio.get_running_loop().call_later(self._left(), self._pump)


def idle_share(model: Model, before: Reading, after: Reading) -> float:
    """Of what the engine could have done between the two: the part it did not, empty or with too small a batch."""
    return 1 - (after.done - before.done) / (model.full * (after.at - before.at))


def empty_share(before: Reading, after: Reading) -> float:
    """Of the time between the two: the part in which nothing ran."""
    return (after.empty - before.empty) / (after.at - before.at)
