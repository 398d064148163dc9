"""What a page costs where the engine takes its time: then the queue works in small groups, and idles in between.

Echo waits a programmed time for each page, so the rate is what its pages in flight allow: `workers.turns.page_limit` of
the capacity ÷ the mean of these times. Waiting costs it next to nothing, so all CPU is the queue's here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.plane.stand import PARTS, Cost, Load
from tests.bench.report import Spread, table
from workers.engines.echo import CAPACITY
from workers.turns import page_limit

PAGES = 100
"""Of a document."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate, an engine that has it, and a load of some seconds."""

    pages_per_second: float
    documents: int
    capacity: int = CAPACITY
    """Of the engine, in pages."""

    @property
    def load(self) -> Load:
        return Load(self.documents, PAGES, page_limit(self.capacity) / self.pages_per_second)


FAST, SLOW = Pace(50, 4), Pace(5, 1, capacity=8)
"""Some ten cards' worth in one worker, on the engine of the other rows; and what one good card reads
(docs/capacity.md), few pages at once."""

Paced = Mapping[Pace, Sequence[Cost]]


def pace_table(paced: Paced, idle: Sequence[float]) -> str:
    """`idle`: CPU milliseconds a second while nothing can be read, in the same rounds."""
    rows = [
        [
            f"{pace.pages_per_second:g}, {page_limit(pace.capacity)} at once",
            f"{Spread(tuple(cost.pages_per_second for cost in found)):.1f}",
            *(f"{Spread(tuple(cost.cpu[part] for cost in found)).median:.2f}" for part in PARTS),
            f"{_in_all(found):.2f}",
            f"{idle_part(found, idle):.2f}",
            f"{without_idle(found, idle):.2f}",
            *(f"{Spread(tuple(cost.counts[name] for cost in found)).median:.2f}" for name in ("flushes", "lpush")),
        ]
        for pace, found in paced.items()
    ]
    head = ["engine, pages/s", "pages/s, start and end included", *PARTS, "all", "of it idle", "without idle"]
    return table([*head, "flushes of the log", "messages"], rows)


def pace_verdicts(paced: Paced, idle: Sequence[float], goal: float) -> list[str]:
    """Whether the goal, in CPU milliseconds a page, is met at these rates too, and by the pages alone."""
    return [
        f"{goal:g} ms a page of {PAGES}-page documents at {pace.pages_per_second:g} pages/s:"
        f" {_judged(_in_all(found), goal)}; of it idle: {idle_part(found, idle).median:.2f},"
        f" without that {_judged(without_idle(found, idle), goal)}."
        for pace, found in paced.items()
    ]


def idle_part(found: Sequence[Cost], idle: Sequence[float]) -> Spread:
    """Milliseconds a page, round by round, that would have been used had nothing been read for as long."""
    return Spread(tuple(rest / cost.pages_per_second for cost, rest in zip(found, idle, strict=True)))


def without_idle(found: Sequence[Cost], idle: Sequence[float]) -> Spread:
    parts = idle_part(found, idle).values
    return Spread(tuple(cost.cpu_in_all - part for cost, part in zip(found, parts, strict=True)))


def _in_all(found: Sequence[Cost]) -> Spread:
    return Spread(tuple(cost.cpu_in_all for cost in found))


def _judged(found: Spread, goal: float) -> str:
    over = found.median - goal
    return f"{found.median:.2f}, missed by {over:.2f}" if over > 0 else f"{found.median:.2f}, met"
