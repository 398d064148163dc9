"""The loop that dispatches and rescues: a thread in every worker, of which one acts, under a lease in the database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jobs import deletion, dispatch
from jobs.blobs import BlobStore
from jobs.dispatch import RescueRules
from jobs.errors import DatabaseUnavailable
from jobs.queue import Doorbell
from jobs.settings import LimitSettings, TimerSettings
from jobs.spending import Price
from jobs.store import leases
from jobs.store.database import Database
from workers.chores import Chores

log = logging.getLogger(__name__)

LEASE = "tick"
LEASE_SECONDS = 6.0
FOLD_SHARE = 20
"""A fold adds up every document: it is not repeated before so many times what it took …"""
FOLD_LONGEST = 15.0
"""… or so many seconds. A job of 100,000 documents takes 0.1 to 0.2 s. Small jobs, which somebody looks at and by which
limits of backlogs are judged, have a fold of their own: they do not wait for that."""
BREATH = 0.02
"""Seconds between rounds that were asked for by `wake`, so that a burst of finished pages is one round."""
REST = 0.1
"""Seconds after a round that rang nothing in which pages that end ask for no other one: the window is full, and has
room again when a message of many pages is claimed, not whenever one of them ends."""


@dataclass(slots=True)
class _Every:
    """Something due every so many seconds."""

    seconds: float
    last: float = field(default=float("-inf"))
    rest: float = 0.0
    """Seconds that it waits at least, whatever `seconds` says."""

    def waits(self, now: float) -> bool:
        """Whether it is due."""
        return now - self.last >= max(self.seconds, self.rest)

    def due(self, now: float) -> bool:
        """The same, and who asks does it."""
        if not self.waits(now):
            return False
        self.last = now
        return True


class Tick:
    """Dispatch at once when woken, else every `tick_every`; rescue every `rescue_every`; fold every `fold_every`, large
    jobs less often."""

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        bell: Doorbell,
        timers: TimerSettings,
        rules: RescueRules,
        holder: Callable[[], str],
        limits: LimitSettings,
        start_listings: Callable[[], None] = lambda: None,
        price: Price | None = None,
    ) -> None:
        """`start_listings`: called about once a second while we act; raises DatabaseUnavailable. `price`: of what
        jobs took, for their job.json."""
        self._db, self._bell, self._rules, self._holder = db, bell, rules, holder
        self._pause = timers.scaled("tick_every")
        self._lease_seconds = LEASE_SECONDS / timers.time_factor
        self._renew = _Every(self._lease_seconds / 3)
        self._rescue = _Every(timers.scaled("rescue_every"))
        self._fold = _Every(timers.scaled("fold_every"))
        self._fold_large = _Every(timers.scaled("fold_every"))
        self._longest_rest = FOLD_LONGEST / timers.time_factor
        self._list = _Every(timers.scaled("fold_every"))
        self._start_listings = start_listings
        self._limits = limits
        self._webhooks = _Every(timers.scaled("webhook_every"))
        self._others = (self._renew, self._rescue, self._fold, self._fold_large, self._list, self._webhooks)
        """What a round does before it dispatches."""
        self._chores = Chores(db, blobs, price)
        self._reached_since: float | None = None
        self._reached_last = 0.0
        self._held = False
        self._woken = threading.Event()
        self._new = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tick", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something new to dispatch."""
        self._new.set()
        self._woken.set()

    def wake_soon(self) -> None:
        """Pages have ended, so there may be room for others."""
        self._woken.set()

    def stop(self) -> None:
        """End, and give the lease back so that another worker acts at once."""
        self._stop.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._chores.wait()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._woken.wait(self._pause)
            self._woken.clear()
            self._new.clear()
            rang = 0
            try:
                rang = self.round()
            except DatabaseUnavailable as error:
                self._reached_since = None
                self._held = False
                log.warning("no tick: %s", error, extra={"action": "tick_failed"})
            except Exception:
                # The edge of this thread: it must outlive what it did not expect, or nothing is dispatched any more.
                log.exception("the tick failed", extra={"action": "tick_failed"})
            self._stop.wait(BREATH)
            if not rang:
                self._new.wait(REST - BREATH)
        self._give_back()

    def round(self) -> int:
        """One round; does nothing while another worker holds the lease. Dispatches again and again while pages end and
        there is room, until something else is due. Returns how many pages and documents it rang. Raises
        DatabaseUnavailable."""
        now = time.monotonic()
        if self._renew.due(now) or not self._held:
            with self._db.write() as session:
                self._held = leases.take_lease(session, LEASE, self._holder(), self._lease_seconds)
        self._note_reached(time.monotonic())
        if not self._held:
            return 0
        if self._rescue.due(now):
            self._rescue_round()
        self._fold_totals(now)
        if self._list.due(now):
            self._start_listings()
        if self._webhooks.due(now):
            dispatch.ring_webhooks(self._db, self._bell, self._rules)
        rang = 0
        while rung := dispatch.dispatch(self._db, self._bell, self._limits.key_pages_in_flight):
            rang += rung
            if self._stop.is_set() or not self._woken.is_set() or self._others_wait(time.monotonic()):
                break
        return rang

    def _others_wait(self, now: float) -> bool:
        return any(other.waits(now) for other in self._others)

    def _fold_totals(self, now: float) -> None:
        """Each so that it costs a twentieth of the time, and of a connection, however many documents are open: that of
        small jobs takes as long only where there are tens of thousands of them, and waits for no large ones."""
        if self._fold.due(now):
            self._fold.rest = min(self._longest_rest, FOLD_SHARE * dispatch.fold(self._db))
        if self._fold_large.due(now):
            self._fold_large.rest = min(self._longest_rest, FOLD_SHARE * dispatch.fold_large(self._db))

    def _note_reached(self, now: float) -> None:
        """Since when we have reached the database without a pause: a frozen process must not judge by old news."""
        if self._reached_since is None or now - self._reached_last > self._rules.stale / 2:
            self._reached_since = now
        self._reached_last = now

    def _rescue_round(self) -> None:
        if self._reached_since is not None and time.monotonic() - self._reached_since >= self._rules.stale:
            dispatch.judge(self._db, self._rules)
        dispatch.take_back(self._db, self._rules)
        dispatch.end_late(self._db, self._limits.document_timeout)
        dispatch.clear_stamps(self._db, self._bell, self._rules)
        deletion.expire(self._db)
        dispatch.ring_purges(self._db, self._bell)
        dispatch.ring_publications(self._db, self._bell)
        dispatch.forget_workers(self._db)
        self._chores.start()

    def _give_back(self) -> None:
        if not self._held:
            return
        try:
            with self._db.write() as session:
                leases.give_lease_back(session, LEASE, self._holder())
        except DatabaseUnavailable as error:
            log.warning("the lease runs out by itself: %s", error, extra={"action": "lease_kept"})


def rescue_rules(timers: TimerSettings, max_crashes: int) -> RescueRules:
    return RescueRules(
        stale=timers.scaled("heartbeat_stale"),
        ring_expires=timers.scaled("ring_expires"),
        settled=timers.scaled("rescue_every"),
        max_crashes=max_crashes,
    )
