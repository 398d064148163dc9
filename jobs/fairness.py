"""Whose page or document is rung next: interactive before batch, then whoever has the least in flight, then age.

Pure: who waits and what is in flight comes from the database (jobs/store/waiting.py). Slots are given away one by one,
as water fills the lowest of several basins first: to the owner with the fewest in flight, of that owner to the job with
the fewest, among equals to the oldest. One owner's thousand jobs weigh as much as another's single one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from jobs.ids import is_id

INTERACTIVE, BATCH = 0, 1
"""Classes, as `priority` says them."""
BATCH_SHARE = 8
"""Of what is in flight, one in so many is batch work's while it waits, however much interactive work there is."""

T = TypeVar("T")


class Turn(NamedTuple):
    """A job of which something waits. Ids of jobs sort by age."""

    priority: int
    owner: str
    job: str


@dataclass(frozen=True, slots=True)
class Caps:
    """How many an owner may have in flight at most."""

    own: Mapping[str, int] = field(default_factory=dict)
    """By owner."""
    default: int | None = None
    """Of owners that are API keys and not in `own`."""
    everybody: int | None = None
    """Of all others; None: as many as there are."""

    def of(self, owner: str) -> int | None:
        if owner in self.own:
            return self.own[owner]
        return self.default if self.default is not None and is_id(owner, "key") else self.everybody


@dataclass(slots=True)
class Flight:
    """What is in flight (rung or held by a worker), counted per class, owner and job."""

    classes: Counter[int] = field(default_factory=Counter)
    owners: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    """What owners have in flight beside this: with other engines."""
    caps: Caps = Caps()

    def add(self, turn: Turn, count: int) -> None:
        self.classes[turn.priority] += count
        self.owners[turn.owner] += count
        self.jobs[turn.job] += count

    @property
    def total(self) -> int:
        return self.classes.total()

    def room(self, owner: str) -> bool:
        """Whether one more of this owner may be in flight."""
        return self.left(owner) != 0

    def left(self, owner: str) -> int | None:
        """How many more of this owner may be in flight; None: as many as there are."""
        cap = self.caps.of(owner)
        return None if cap is None else max(0, cap - self.owners[owner] - self.elsewhere[owner])


def fill(
    free: int, waiting: Sequence[Turn], flight: Flight, stamp: Callable[[Mapping[Turn, int]], Sequence[tuple[Turn, T]]]
) -> list[T]:
    """Give away up to `free` slots: `stamp` takes as many of each job as it is told, or what there is.

    Who had less than its turn is empty; what it left goes to the others by the same rule, until nothing is free or
    nobody waits who may have more. `flight` counts what was taken.
    """
    taken: list[T] = []
    remaining = list(waiting)
    while free > 0 and (remaining := [turn for turn in remaining if flight.room(turn.owner)]):
        told = quotas(free, remaining, flight)
        found = stamp(told)
        counts = Counter(turn for turn, _ in found)
        for turn, count in counts.items():
            flight.add(turn, count)
        taken += [item for _, item in found]
        free -= len(found)
        remaining = [turn for turn in remaining if counts[turn] >= told.get(turn, 0)]
    return taken


def quotas(free: int, waiting: Iterable[Turn], flight: Flight) -> dict[Turn, int]:
    """How many of `free` slots each waiting job gets, were its backlog endless. `flight` stays as it is.

    Batch is first given what its reserved share lacks, then interactive everything else; where only one class waits,
    it gets all. Owners get no more than their caps leave them.
    """
    turns = sorted(turn for turn in set(waiting) if flight.room(turn.owner))
    interactive = [turn for turn in turns if turn.priority == INTERACTIVE]
    batch = [turn for turn in turns if turn.priority != INTERACTIVE]
    kept = free if not interactive else reserved(free, flight) if batch else 0
    basins = _Basins(flight)
    return basins.pour(kept, batch) | basins.pour(free - kept, interactive)


def reserved(free: int, flight: Flight) -> int:
    """Of `free` slots, those that batch needs to have its share of all that will be in flight (rounded up: a small
    window must not starve it)."""
    share = -(-(flight.total + free) // BATCH_SHARE)
    return max(0, min(free, share - (flight.total - flight.classes[INTERACTIVE])))


class _Basins:
    """Levels of owners and jobs while slots are given away."""

    def __init__(self, flight: Flight) -> None:
        self._owners = Counter(flight.owners)
        self._jobs = Counter(flight.jobs)
        self._left = flight.left
        self._given: Counter[str] = Counter()

    def pour(self, free: int, turns: Sequence[Turn]) -> dict[Turn, int]:
        """One slot after the other to the lowest owner's lowest job. O(free * log of the number of jobs)."""
        by_owner: dict[str, list[tuple[int, str, Turn]]] = {}
        for turn in turns:
            if self._full(turn.owner):
                continue
            by_owner.setdefault(turn.owner, []).append((self._jobs[turn.job], turn.job, turn))
        for jobs in by_owner.values():
            heapq.heapify(jobs)
        owners = [(self._owners[owner], *jobs[0][:2], owner) for owner, jobs in by_owner.items()]
        heapq.heapify(owners)
        given: Counter[Turn] = Counter()
        for _ in range(free):
            if not owners:
                break
            level, _, _, owner = heapq.heappop(owners)
            jobs = by_owner[owner]
            in_flight, job, turn = jobs[0]
            given[turn] += 1
            heapq.heapreplace(jobs, (in_flight + 1, job, turn))
            self._owners[owner] += 1
            self._given[owner] += 1
            self._jobs[job] += 1
            if not self._full(owner):
                heapq.heappush(owners, (level + 1, *jobs[0][:2], owner))
        return dict(given)

    def _full(self, owner: str) -> bool:
        left = self._left(owner)
        return left is not None and self._given[owner] >= left
