"""What the meters of modelled engines say of a stretch of time, and what their workers say of it themselves."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from jobs.metrics import ENGINE_PAGE_SECONDS, ENGINE_SECONDS
from tests.bench.modelled import Model, Reading, empty_share, idle_share

FULL = 0.98
"""A batch of so much of its sequences counts as full: one that ends and is followed at once leaves a place for a
moment."""


def load(path: Path, start: int = 0) -> list[Reading]:
    """What a worker has written from this byte on, where a line begins; the one that it is writing is left out."""
    if not path.exists():
        return []
    with path.open() as file:
        file.seek(start)
        written = file.read()
    return [Reading.parse(line) for line in written[: written.rfind("\n") + 1].splitlines()]


def first_in(readings: Sequence[Reading], since: float) -> float | None:
    """When the first page after `since` came into an engine that was empty then; None where none has. Exact, though
    the meters are read now and then: they tell how long the engine was empty."""
    after = [reading for reading in readings if reading.at >= since]
    for before, reading in itertools.pairwise(after):
        if reading.done > before.done:
            return before.at + reading.empty - before.empty
    return None


def filled(readings: Sequence[Reading], model: Model, since: float) -> float | None:
    """When the batch was full for the first time after `since`."""
    most = FULL * model.sequences
    return next((reading.at for reading in readings if reading.at >= since and reading.running >= most), None)


def at(readings: Sequence[Reading], time: float) -> Reading:
    """The meters at a time between two readings, as if all had gone on evenly."""
    place = bisect.bisect_left([reading.at for reading in readings], time)
    if not 0 < place < len(readings):
        return readings[min(place, len(readings) - 1)]
    before, after = readings[place - 1], readings[place]
    share = (time - before.at) / (after.at - before.at)
    values = {
        field.name: getattr(before, field.name) + share * (getattr(after, field.name) - getattr(before, field.name))
        for field in fields(Reading)
    }
    return Reading(**values)


@dataclass(frozen=True, slots=True)
class Idle:
    """Shares of what an engine could have done in a stretch of time."""

    share: float
    """Not done: it was empty, or its batch too small."""
    ramp: float
    """The part of `share` before the batch was full for the first time."""
    empty: float
    """Of the time: nothing ran."""
    mean: float
    """Requests that ran, on average."""


def idle(model: Model, readings: Sequence[Reading], begin: float, end: float) -> Idle:
    """Of one engine between the two times."""
    first, last = at(readings, begin), at(readings, end)
    full = min(filled(readings, model, begin) or end, end)
    ramp = idle_share(model, first, at(readings, full)) * (full - begin) / (end - begin) if full > begin else 0.0
    mean = (last.held - first.held) / (last.at - first.at)
    return Idle(idle_share(model, first, last), ramp, empty_share(first, last), mean)


_SAMPLE = re.compile(r'^(\w+)(?:\{state="(\w+)"\})? (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Account:
    """What a worker says that its engine did, in seconds since it was started."""

    seconds: dict[str, float]
    """By `jobs.metrics.EngineState`."""
    page_seconds: float
    """Of every page inside, added up."""

    @classmethod
    def parse(cls, scraped: str) -> Account:
        """Of an answer of /metrics."""
        found = [(match[1], match[2], float(match[3])) for match in _SAMPLE.finditer(scraped)]
        seconds = {state: value for name, state, value in found if name == ENGINE_SECONDS.name}
        return cls(seconds, next(value for name, _, value in found if name == ENGINE_PAGE_SECONDS.name))

    def since(self, before: Account) -> dict[str, float]:
        """Shares of the time between the two by what the engine did, those that are not 0."""
        passed = {state: value - before.seconds.get(state, 0.0) for state, value in self.seconds.items()}
        whole = sum(passed.values())
        return {state: value / whole for state, value in passed.items() if value > 0}

    def inside_since(self, before: Account) -> float:
        """Pages inside between the two, on average."""
        return (self.page_seconds - before.page_seconds) / (sum(self.seconds.values()) - sum(before.seconds.values()))
