"""Where the pages of this worker are, what the engine does meanwhile, and which page is charged for its time.

Everything follows from two moments of each change: the state of the engine is decided anew, by one pure function, and
the seconds since the last change are added to the state that was. So the states' seconds add up to wall time, and none
is sampled.

A page's charge is the integral of 1/n over the time it is inside, n the number of pages inside (jobs/spending.py). It
is the difference of one running sum, taken when the page comes in and when it goes: no list of pages is walked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

from jobs.metrics import EngineState, Place
from jobs.spending import MICROS, Spent

Clock = Callable[[], float]


class Life(StrEnum):
    """How far a worker process is."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    BROKEN = "broken"
    STOPPED = "stopped"


_TURNING = frozenset({Life.STARTING, Life.SERVING, Life.DRAINING})
"""While an engine that has pages is busy, and nothing else."""


def engine_state(life: Life, places: Mapping[Place, int], *, claiming: int, full: bool) -> EngineState:
    """What the engine does, or why it does nothing.

    `places`: pages held; `claiming`: messages whose pages the database is being asked for; `full`: a message waits
    until pages have ended. Of several reasons it is the one nearest to the engine: what is being rendered
    comes next, whatever is being fetched behind it.
    """
    if life in (Life.STOPPED, Life.BROKEN):
        return EngineState(life.value)
    if places[Place.ENGINE]:
        return EngineState.BUSY
    if life is Life.STARTING:
        return EngineState.STARTING
    return _lacking(life, places, claiming=claiming, full=full)


def _lacking(life: Life, places: Mapping[Place, int], *, claiming: int, full: bool) -> EngineState:
    """Of an engine that is up and empty."""
    if places[Place.RENDERING]:
        return EngineState.RENDERING
    if places[Place.FETCHING]:
        return EngineState.FETCHING
    if life is Life.DRAINING:
        return EngineState.DRAINING
    if full and (places[Place.STORING] or places[Place.RECORDING]):
        return EngineState.STORING
    if claiming or places[Place.CLAIMED]:
        return EngineState.CLAIMING
    return EngineState.NO_INPUT


class Totals(NamedTuple):
    """What a scrape is told, in seconds."""

    seconds: dict[EngineState, float]
    page_seconds: float
    """Of every page inside, added up."""
    places: dict[Place, int]


class Presence:
    """Thread-safe: pages move on the engine's loop, on the threads of the store and on the recorder's."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._places = dict.fromkeys(Place, 0)
        self._claiming = 0
        self._full = False
        self._life = Life.STARTING
        self._state = EngineState.STARTING
        self._since = clock()
        self._seconds = dict.fromkeys(EngineState, 0.0)
        self._share = 0.0
        """The running sum of charges: what a page that had been inside all the time would be charged."""
        self._page_seconds = 0.0

    @property
    def life(self) -> Life:
        return self._life

    @property
    def inside(self) -> int:
        """Pages in the engine. A glance, without the lock."""
        return self._places[Place.ENGINE]

    def live(self, life: Life) -> None:
        """The process goes on to this. What is stopped stays so, and what is broken becomes nothing but stopped."""
        with self._lock:
            if self._life is Life.STOPPED or (self._life is Life.BROKEN and life is not Life.STOPPED):
                return
            self._pass()
            self._life = life
            self._decide()

    def move(self, left: Place | None, entered: Place | None, pages: int = 1) -> float:
        """So many pages go from one place to another; None: they were not, or are no longer, in our hands. Returns the
        running sum of charges at this moment."""
        with self._lock:
            self._pass()
            if left is not None:
                self._places[left] -= pages
            if entered is not None:
                self._places[entered] += pages
            self._decide()
            return self._share

    def full(self, full: bool) -> None:
        """Whether a message waits until pages have ended."""
        with self._lock:
            self._pass()
            self._full = full
            self._decide()

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """The database is asked for pages."""
        self._claim(1)
        try:
            yield
        finally:
            self._claim(-1)

    def _claim(self, by: int) -> None:
        with self._lock:
            self._pass()
            self._claiming += by
            self._decide()

    def totals(self) -> Totals:
        """Until now."""
        with self._lock:
            self._pass()
            return Totals(dict(self._seconds), self._page_seconds, dict(self._places))

    def _pass(self) -> None:
        """Account for the time since the last change, while everything was as it is."""
        now = self.clock()
        passed, self._since = now - self._since, now
        self._seconds[self._state] += passed
        inside = self._places[Place.ENGINE]
        if inside:
            self._share += passed / inside
            self._page_seconds += passed * inside

    def _decide(self) -> None:
        if self._places[Place.ENGINE] and self._state is EngineState.BUSY and self._life in _TURNING:
            return  # the usual case, several times for each page
        self._state = engine_state(self._life, self._places, claiming=self._claiming, full=self._full)


class Stay:
    """One page's time in our hands. Used by one thread at a time."""

    __slots__ = ("_away", "_entered", "_presence", "_share", "_tokens_in", "_tokens_out", "inside", "place")

    def __init__(self, presence: Presence) -> None:
        """The page was claimed: its `Presence` has counted it."""
        self._presence = presence
        self.place: Place | None = Place.CLAIMED
        self.inside = 0.0
        """Seconds in the engine, by the clock."""
        self._share = 0.0
        self._entered = (0.0, 0.0)
        self._away = 0
        self._tokens_in = self._tokens_out = 0

    def go(self, place: Place | None) -> None:
        """None: it leaves our hands."""
        left, self.place = self.place, place
        if left is place:
            return
        share = self._presence.move(left, place)
        if left is Place.ENGINE:
            began, then = self._entered
            self._share += share - then
            self.inside += self._presence.clock() - began
        if place is Place.ENGINE:
            self._entered = (self._presence.clock(), share)

    @contextmanager
    def away(self, place: Place) -> Iterator[None]:
        """Not in the engine, for which something is made elsewhere; back with the last of several."""
        self._away += 1
        if self._away == 1:
            self.go(place)
        try:
            yield
        finally:
            self._away -= 1
            if not self._away and self.place is not None:
                self.go(Place.ENGINE)

    def spend(self, tokens_in: int, tokens_out: int) -> None:
        self._tokens_in += tokens_in
        self._tokens_out += tokens_out

    @property
    def spent(self) -> Spent:
        """What this attempt took until it last left the engine."""
        return Spent(round(self._share * MICROS), self._tokens_in, self._tokens_out)
