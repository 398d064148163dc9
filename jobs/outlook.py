"""How many pages come before a job's own, and how long that takes: the rules of jobs/fairness.py, foretold.

Pure: who waits, who is paused and how fast workers read comes from the database (jobs/store/outlook.py). Dispatch gives
places to owners in turn, of an owner to its jobs in turn, and keeps one place in eight for batch work. Were that exact
and page times all alike, then until the last page of a job with `r` pages to come

    own     s = r + sum over the owner's other jobs of the class of min(what they have to come, r)
    class   c = s + sum over the other owners of min(what they have to come in the class, s)
    other   of batch work: o = min(all interactive pages to come, 7 c); of interactive work: min(all batch pages, c / 7)

pages are read, so `c + o - r` of others come before. Jobs of other engines and of paused owners take no places. What is
left out: pages in flight already, limits of keys, documents that are not split yet (each counts as one page), and all
that is submitted later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from jobs.fairness import BATCH, BATCH_SHARE, INTERACTIVE


@dataclass(frozen=True, slots=True)
class Crowd:
    """Jobs alike: how many of one engine, class and owner have so many pages to come."""

    engine: str
    priority: int
    owner: str
    pages: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Place:
    """`ahead`: pages of others before the last of this job's own; `seconds` until that one is read, None where nobody
    knows."""

    ahead: int
    seconds: float | None


class _Amounts:
    """Numbers of which one asks for the sum of min(number, limit). O(log n) each time."""

    def __init__(self, counted: Iterable[tuple[int, int]]) -> None:
        """`counted`: (number, how often)."""
        ordered = sorted(counted)
        self._numbers = [number for number, _ in ordered]
        self._counts = [0, *accumulate(count for _, count in ordered)]
        self._sums = [0, *accumulate(number * count for number, count in ordered)]

    @property
    def total(self) -> int:
        return self._sums[-1]

    def up_to(self, limit: int) -> int:
        at = bisect_right(self._numbers, limit)
        return self._sums[at] + limit * (self._counts[-1] - self._counts[at])


class Outlook:
    """What waits and how fast it goes, of one moment."""

    def __init__(self, at: datetime, crowds: Iterable[Crowd], paused: Iterable[str], pace: Mapping[str, float]) -> None:
        """`at`: when, by the database's clock; `pace`: pages per second by engine, of those that have read something
        lately."""
        self._at = at
        self._paused = frozenset(paused)
        self._pace = dict(pace)
        jobs: defaultdict[tuple[str, int, str], list[tuple[int, int]]] = defaultdict(list)
        for crowd in crowds:
            if crowd.owner not in self._paused:
                jobs[crowd.engine, crowd.priority, crowd.owner].append((crowd.pages, crowd.jobs))
        self._jobs = {key: _Amounts(counted) for key, counted in jobs.items()}
        owners: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for (engine, priority, _), amounts in self._jobs.items():
            owners[engine, priority].append((amounts.total, 1))
        self._owners = {key: _Amounts(counted) for key, counted in owners.items()}

    def place(self, engine: str, priority: int, owner: str, pages: int, created: datetime) -> Place:
        """Of a job with so many pages to come. One that was `created` later is not among the crowds."""
        own = self._own(engine, priority, owner, pages, counted=created < self._at)
        peers = own + self._others(engine, priority, owner, own)
        total = peers + self._other_class(engine, priority, peers)
        pace = self._pace.get(engine, 0.0)
        known = pace > 0 and owner not in self._paused
        return Place(total - pages, total / pace if known else None)

    def _own(self, engine: str, priority: int, owner: str, pages: int, *, counted: bool) -> int:
        """The job's pages and those of its owner's other jobs meanwhile. `counted`: it is one of the crowds itself."""
        amounts = self._jobs.get((engine, priority, owner))
        if amounts is None:
            return pages
        return max(pages, amounts.up_to(pages) + (0 if counted else pages))

    def _others(self, engine: str, priority: int, owner: str, own: int) -> int:
        amounts = self._owners.get((engine, priority))
        if amounts is None:
            return 0
        mine = self._jobs.get((engine, priority, owner))  # the owner is no other, whatever it has
        return amounts.up_to(own) - (min(mine.total, own) if mine is not None else 0)

    def _other_class(self, engine: str, priority: int, peers: int) -> int:
        if priority == INTERACTIVE:
            return min(self._total(engine, BATCH), peers // (BATCH_SHARE - 1))
        return min(self._total(engine, INTERACTIVE), peers * (BATCH_SHARE - 1))

    def _total(self, engine: str, priority: int) -> int:
        amounts = self._owners.get((engine, priority))
        return 0 if amounts is None else amounts.total
