"""What a run will do, drawn from one seed before anything starts: the jobs, what is done to them, the faults."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from jobs.options import EchoOptions

Operation = Literal["cancel", "delete", "retry", "prioritize"]

CODES = {
    "error": {"engine_error"},
    "fatal_error": {"page_render_failed"},
    "crash": {"page_crashed"},
    "hang": {"page_timeout", "page_crashed"},  # it is there whenever its worker is killed
    "kill_render": {"page_render_failed"},
}
"""How a page that is programmed so must end. Every other page must succeed."""

_SIZES = ((1, 3), (1, 3), (4, 12), (4, 12), (10, 30), (30, 90))
_LOAD_FAULTS = ("error_once", "error_once", "error_once", "error", "fatal_error")
_OPERATIONS: tuple[Operation, ...] = ("cancel", "delete", "retry", "prioritize")
PLENTY = 12.0
"""Chance in a hundred of a fault among a job's pages, and of an operation on a job."""


@dataclass(frozen=True)
class JobPlan:
    """A job to be: pages of its documents, and what the echo engine does with pages of such a number."""

    number: int
    documents: tuple[int, ...]
    seconds: float
    faults: dict[str, str] = field(default_factory=dict)
    render: bool = False
    interactive: bool = False
    through_api: bool = True
    operation: Operation | None = None
    after: int = 0
    """So many submissions later the operation is due."""

    @property
    def pages(self) -> int:
        return sum(self.documents)

    @property
    def echo(self) -> EchoOptions:
        return EchoOptions(seconds={"*": self.seconds}, faults=self.faults, render=self.render)

    def fault(self, page: int) -> str | None:
        return self.faults.get(str(page))


@dataclass(frozen=True)
class FaultPlan:
    number: int
    kind: str
    due: int
    """When so many pages have been submitted."""
    share: int
    """Pages that come with it."""
    seconds: float
    """How long, where the kind has a length; between 0.5 and 4."""
    victim: int
    """Whom: counted through whatever the kind hits."""
    rush: bool
    """The next one does not wait until this one is got over."""


@dataclass(frozen=True)
class Schedule:
    seed: int
    jobs: tuple[JobPlan, ...]
    faults: tuple[FaultPlan, ...]


def draw(seed: int, kinds: Sequence[str], faults: int, pages: int) -> Schedule:
    """Everything there is to decide. The same arguments, the same schedule."""
    source = random.Random(seed)
    jobs = tuple(_jobs(source, pages))
    return Schedule(seed, jobs, tuple(_faults(source, kinds, faults, pages)))


def _jobs(source: random.Random, pages: int) -> Iterator[JobPlan]:
    left, number = pages, 0
    while left > 0:
        job = _job(source, number, left)
        left -= job.pages
        number += 1
        yield job


def _job(source: random.Random, number: int, left: int) -> JobPlan:
    low, high = source.choice(_SIZES)
    total = min(left, source.randint(low, high))
    count = min(total, source.choice((1, 1, 1, 2, 4)))
    sizes = [total // count + (part < total % count) for part in range(count)]
    spoiled = source.random() * 100 < PLENTY
    faults = {str(source.randint(1, max(sizes))): source.choice(_LOAD_FAULTS)} if spoiled else {}
    operation = source.choice(_OPERATIONS) if source.random() * 100 < PLENTY else None
    return JobPlan(
        number,
        tuple(sizes),
        seconds=source.choice((0.0, 0.1, 0.3, 0.8)),
        faults=faults,
        render=source.random() < 0.15,
        interactive=source.random() < 0.3,
        through_api=source.random() < 0.7,
        operation=operation,
        after=source.randint(0, 6),
    )


def _faults(source: random.Random, kinds: Sequence[str], count: int, pages: int) -> Iterator[FaultPlan]:
    """Kinds in shuffled rounds, so that each has its turn; evenly over the load, each somewhere in its share."""
    order: list[str] = []
    while len(order) < count:
        order += source.sample(sorted(kinds), len(kinds))
    for number in range(count):
        due = int(pages * 0.97 * (number + source.random()) / count)
        seconds, victim, rush = source.uniform(0.5, 4.0), source.randrange(1000), source.random() < 0.2
        yield FaultPlan(number, order[number], due, pages // count, seconds, victim, rush)
