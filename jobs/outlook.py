"""How many pages come before a job's own, and how long that takes: the rules of jobs/fairness.py, foretold.

Pure: what waits, who is paused and how fast workers read comes from the database (jobs/store/outlook.py). Dispatch
gives the places in flight to owners in turn, an owner's to its jobs in turn with the older first, and keeps one place
in eight for batch work. Were that exact and all pages alike, then until the last page of a job

    s   pages of its owner's jobs in its class, its own among them: of those jobs the oldest are read side by side, as
        many as the owner has places (its part of what is read until its backlog is), each as fast as the other
    c = s + the sum over the other owners of min(what they have to come in the class, s)
    o = min(all interactive pages to come, 7 c) for batch work, min(all batch pages to come, c / 7) for interactive

are read: s + c + o less the job's own pages come before. Jobs of other engines and of paused owners take no places.
Left out: limits of keys, documents that are not split yet (a page each), and whatever is submitted later.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from jobs.fairness import BATCH, BATCH_SHARE, INTERACTIVE

PLACES = 48
"""Pages in flight of an engine whose workers are not known: three times the usual capacity of 16."""


class Waiting(NamedTuple):
    """An open job with pages to come. Ids sort by age."""

    engine: str
    priority: int
    owner: str
    job: str
    pages: int


@dataclass(frozen=True, slots=True)
class Place:
    """`ahead`: pages of others before the last of this job's own; `seconds` until that one is read, None where nobody
    knows."""

    ahead: int
    seconds: float | None


class _Amounts:
    """Numbers of which one asks for the sum of min(number, limit). O(log n) each time."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = sorted(numbers)
        self._sums = [0, *accumulate(self._numbers)]

    @property
    def total(self) -> int:
        return self._sums[-1]

    def up_to(self, limit: int) -> int:
        at = bisect_right(self._numbers, limit)
        return self._sums[at] + limit * (len(self._numbers) - at)


def side_by_side(pages: Sequence[int], places: int) -> list[int]:
    """Pages of all jobs that are read until the last one of each, where the oldest `places` of them are read equally
    fast and the next one begins when one of them ends. `pages`: of each, oldest first. O(n log places)."""
    ends: list[tuple[int, int]] = []  # (round in which it has its last page, job)
    running: list[int] = []
    done = [0] * len(pages)
    rounds, read, fresh = 0, 0, 0  # fresh: jobs that have begun after the last round

    def end_one() -> None:
        nonlocal rounds, read, fresh
        end, job = heapq.heappop(ends)
        read += (end - rounds) * len(running)
        if end > rounds:
            rounds, fresh = end, 0
        at = bisect_left(running, job)
        del running[at]
        done[job] = read - (len(running) - at - fresh)  # the younger ones have their turn in the last round later

    for job, count in enumerate(pages):
        if len(running) == places:
            end_one()
        heapq.heappush(ends, (rounds + count, job))
        running.append(job)
        fresh += 1
    while ends:
        end_one()
    return done


class Outlook:
    """What waits and how fast it goes, of one moment."""

    def __init__(
        self,
        waiting: Iterable[Waiting],
        *,
        paused: Iterable[str] = (),
        pace: Mapping[str, float] | None = None,
        places: Mapping[str, int] | None = None,
        complete: bool = True,
    ) -> None:
        """`waiting`: by age; `pace`: pages per second by engine, of those that have read something lately; `places`:
        pages in flight by engine; not `complete`: there are younger jobs than these."""
        self._paused = frozenset(paused)
        self._pace = dict(pace or {})
        self._complete = complete
        jobs: defaultdict[tuple[str, int, str], list[Waiting]] = defaultdict(list)
        for one in waiting:
            if one.owner not in self._paused:
                jobs[one.engine, one.priority, one.owner].append(one)
        self._owners = self._by_class(jobs)
        self._backlog = {key: sum(one.pages for one in ones) for key, ones in jobs.items()}
        self._own: dict[str, tuple[int, int]] = {}
        """By job: pages of its owner's jobs up to its own last one, and its own."""
        for (engine, priority, owner), ones in jobs.items():
            side = self._share(engine, priority, owner, (places or {}).get(engine, PLACES))
            read = side_by_side([one.pages for one in ones], side)
            self._own |= {one.job: (pages, one.pages) for one, pages in zip(ones, read, strict=True)}

    @staticmethod
    def _by_class(jobs: Mapping[tuple[str, int, str], Sequence[Waiting]]) -> dict[tuple[str, int], _Amounts]:
        """What owners have to come, by engine and class."""
        owners: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for (engine, priority, _), ones in jobs.items():
            owners[engine, priority].append(sum(one.pages for one in ones))
        return {key: _Amounts(numbers) for key, numbers in owners.items()}

    def _share(self, engine: str, priority: int, owner: str, places: int) -> int:
        """Places that an owner has in a class, on average until its backlog there is read: others' end before."""
        mine = self._backlog[engine, priority, owner]
        peers = self._owners[engine, priority].up_to(mine)
        everybody = peers + self._other_class(engine, priority, peers)
        return max(1, round(places * mine / everybody))

    def place(self, engine: str, priority: int, owner: str, job: str, pages: int) -> Place | None:
        """Of a job with so many pages to come now. One that is not among those that waited is younger; None where it
        cannot be told how many more of those there are."""
        if job not in self._own and not self._complete:
            return None
        last = (self._backlog.get((engine, priority, owner), 0) + pages, pages)
        own, had = self._own.get(job, last)
        peers = own + self._others(engine, priority, owner, own)
        ahead = peers + self._other_class(engine, priority, peers) - had
        pace = self._pace.get(engine, 0.0)
        known = pace > 0 and owner not in self._paused
        return Place(ahead, (ahead + pages) / pace if known else None)

    def _others(self, engine: str, priority: int, owner: str, own: int) -> int:
        owners = self._owners.get((engine, priority))
        if owners is None:
            return 0
        return owners.up_to(own) - min(self._backlog.get((engine, priority, owner), 0), own)

    def _other_class(self, engine: str, priority: int, peers: int) -> int:
        if priority == INTERACTIVE:
            return min(self._total(engine, BATCH), peers // (BATCH_SHARE - 1))
        return min(self._total(engine, INTERACTIVE), peers * (BATCH_SHARE - 1))

    def _total(self, engine: str, priority: int) -> int:
        owners = self._owners.get((engine, priority))
        return 0 if owners is None else owners.total
