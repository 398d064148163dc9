"""How much of the queue a worker works on at once: counted in pages, so that no message holds places it does not use.

A message that begins takes a place for each of its pages, and gives each back as that page ends. Were places counted in
messages, one slow page would keep fifteen empty ones: pages' answers differ in length by a factor of ten, and an engine
that had room for 64 pages was found to run with 40 on average while thousands waited.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from jobs.dispatch import chunk_size

OVERCOMMIT = 1.5
"""Pages claimed per page of engine capacity: the next ones are fetched and rendered while it is full."""
STRAGGLERS = 4
"""Messages that may be begun per message that its pages would fill: most of their pages have ended, and each waits for
its last one."""


def page_limit(capacity: int) -> int:
    """Pages worked on at once."""
    return math.ceil(OVERCOMMIT * capacity)


def full_messages(capacity: int) -> int:
    """Messages of the usual size that take all places."""
    return math.ceil(page_limit(capacity) / chunk_size(capacity))


def message_limit(capacity: int) -> int:
    """Messages worked on at once, those included that wait for their last page."""
    return STRAGGLERS * full_messages(capacity)


def turns_for(capacity: int, on_full: Callable[[bool], None]) -> Turns:
    """Of a worker whose engine has so many pages in flight."""
    return Turns(page_limit(capacity), message_limit(capacity), on_full)


class Turns:
    """Places for pages, and how many messages may share them. Thread-safe. Who waits for places is overtaken by nobody,
    however few the others want; which of those behind it is the next is not promised: a lock keeps no order."""

    def __init__(self, pages: int, messages: int, on_full: Callable[[bool], None] = lambda _full: None) -> None:
        """`on_full`: told when a message begins to wait for places, and when it no longer does."""
        self._pages, self._messages, self._on_full = pages, messages, on_full
        self._head = threading.Lock()
        self._changed = threading.Condition()
        self._held = 0
        self._begun = 0
        self._wanted: int | None = None
        """Places for which the one who is next waits."""

    @property
    def begun(self) -> int:
        """Messages that have begun and not ended."""
        return self._begun

    def begin(self, pages: int, timeout: float) -> Turn | None:
        """Places for so many pages; None where there are not enough within `timeout` seconds. More than there are in
        all get their turn when nobody else has one."""
        ends = time.monotonic() + timeout
        if not self._head.acquire(timeout=timeout):
            return None
        try:
            with self._changed:
                if not self._fits(pages) and not self._wait(pages, ends - time.monotonic()):
                    return None
                self._begun += 1
                self._held += pages
        finally:
            self._head.release()
        return Turn(self, pages)

    def _wait(self, pages: int, seconds: float) -> bool:
        self._on_full(True)
        self._wanted = pages
        try:
            return self._changed.wait_for(lambda: self._fits(pages), max(0.0, seconds))
        finally:
            self._wanted = None
            self._on_full(False)

    def _fits(self, pages: int) -> bool:
        return self._begun < self._messages and (not self._held or self._held + pages <= self._pages)

    def give_back(self, pages: int, *, ended: bool) -> None:
        """For `Turn`."""
        with self._changed:
            self._begun -= ended
            self._held -= pages
            # Not for each page that ends: a thread that wakes, sees that it is too few and waits again is work.
            if self._wanted is not None and self._fits(self._wanted):
                self._changed.notify()


class Turn:
    """The places of one message. Thread-safe."""

    def __init__(self, turns: Turns, pages: int) -> None:
        self._turns = turns
        self._lock = threading.Lock()
        self._left = pages

    def give_back(self, pages: int = 1) -> None:
        """So many of its pages have ended, or were none of ours. Giving back more than were taken does nothing."""
        pages = self._take(pages)
        if pages:
            self._turns.give_back(pages, ended=False)

    def end(self) -> None:
        """With all that is left. Once."""
        self._turns.give_back(self._take(None), ended=True)

    def _take(self, pages: int | None) -> int:
        with self._lock:
            taken = self._left if pages is None else min(pages, self._left)
            self._left -= taken
            return taken
