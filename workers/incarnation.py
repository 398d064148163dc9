"""A worker process as the database knows it: its row, its heartbeat, and what the heartbeat's answer means (rule 6)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from jobs.context import identify
from jobs.errors import DatabaseUnavailable
from jobs.ids import new_worker_id
from jobs.store import workers
from jobs.store.database import Database
from jobs.store.workers import Registration
from workers.hands import Hands, Hold

log = logging.getLogger(__name__)


class Incarnation:
    """Keeps the row alive from a thread of its own. `id` changes when somebody declared us dead."""

    def __init__(
        self,
        db: Database,
        registration: Registration,
        hands: Hands,
        *,
        every: float,
        on_canceled: Callable[[set[str]], None],
        on_taken: Callable[[set[Hold]], None],
        on_replaced: Callable[[], None],
        on_drain: Callable[[], None],
        pace: Callable[[], float | None] = lambda: None,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_taken` is told of claims that we work on and that are no longer ours: their time is over. `on_drain` is
        called with every heartbeat while somebody wants this worker to end. `pace`: what it reads, in pages a second,
        where it knows. `on_beat`: a heartbeat has ended, also one that found the database away."""
        self._db = db
        self._registration = registration
        self._hands = hands
        self._every = every
        self._on_canceled = on_canceled
        self._on_taken = on_taken
        self._on_replaced = on_replaced
        self._on_drain = on_drain
        self._pace = pace
        self._on_beat = on_beat
        self._suspects: set[Hold] = set()
        self._taken: set[Hold] = set()
        """Pages that were taken from us and that we have in our hands still."""
        self._leaves = False
        """A drain asked of an earlier row of this process."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @property
    def id(self) -> str:
        return self._registration.id

    def register(self) -> None:
        """Enter the row; a predecessor in the same slot is dead from now on. Raises DatabaseUnavailable."""
        with self._db.write() as session:
            workers.register(session, self._registration, leaves=self._leaves)
        identify(worker=self.id)
        log.info("worker %s registered", self.id, extra={"action": "registered"})

    def start(self) -> None:
        self._thread.start()

    def set_state(self, state: str, detail: str | None = None) -> None:
        """`draining` or `stopped`. A database that is away is no reason not to stop."""
        try:
            with self._db.write() as session:
                workers.set_state(session, self.id, state, detail)
        except DatabaseUnavailable as error:
            log.warning("cannot record %s: %s", state, error, extra={"action": "state_unrecorded"})

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.beat()
            except DatabaseUnavailable as error:
                log.warning("no heartbeat: %s", error, extra={"action": "heartbeat_failed"})
            except Exception:
                # The edge of this thread: without a heartbeat we would be dead and go on eating messages.
                log.exception("the heartbeat failed", extra={"action": "heartbeat_failed"})
            self._on_beat()

    def beat(self) -> None:
        """One heartbeat: stay alive, learn of cancels and of a drain, hand back what nobody here works on."""
        worker = self.id
        with self._db.write() as session:
            alive = workers.heartbeat(session, worker, self._pace())
        if not alive:
            self._begin_anew()
            return
        ours = self._hands.holds()  # before we look: what is claimed meanwhile is in the database and not among these
        with self._db.read() as session:
            canceled = workers.canceled_among(session, self._hands.documents())
            held = workers.held_by(session, worker)
            leaves = workers.drain_requested(session, worker)
        if canceled:
            self._on_canceled(canceled)
        if taken := ours - held:
            self._taken |= {hold for hold in taken & self._hands.holds() if hold[1]}  # the others ended by themselves
            self._on_taken(taken)
        self._let_go(worker)
        self._hand_back(worker, held)
        if leaves:
            self._on_drain()

    def _begin_anew(self) -> None:
        log.warning("worker %s was declared dead; beginning anew", self.id, extra={"action": "replaced"})
        self._on_replaced()
        with self._db.read() as session:
            self._leaves = self._leaves or workers.drain_requested(session, self.id)
        self._registration = replace(self._registration, id=new_worker_id(), slot=self._free_slot())
        self._suspects, self._taken = set(), set()
        self.register()

    def _free_slot(self) -> str:
        """Our slot, unless another process was started in it (two hosts of one name, or no common /tmp): taking it back
        would take that one's pages, and it ours, for ever."""
        mine = self._registration
        with self._db.read() as session:
            taken = workers.slot_taken(session, mine.host, mine.slot)
        if not taken:
            return mine.slot
        slot = f"{mine.slot}.{mine.pid}"
        log.error(
            "another process on host %s is in slot %s: going on as %s; give them a PAGEMILL_HOST or PAGEMILL_SLOT each",
            mine.host, mine.slot, slot, extra={"action": "slot_lost"},
        )  # fmt: skip
        return slot

    def _let_go(self, worker: str) -> None:
        """Of pages that were taken from us and that have left our hands since: what a deadline ended is ours in the
        database until we do, and a page that is aborted is not recorded."""
        if gone := self._taken - self._hands.holds():
            with self._db.write() as session:
                workers.release_held(session, worker, sorted(gone))
            self._taken -= gone

    def _hand_back(self, worker: str, held: set[Hold]) -> None:
        """A claim that is in the database and not in our hands, twice in a row, was lost on its way to us."""
        unknown = held - self._hands.holds()
        lost = sorted(unknown & self._suspects)
        self._suspects = unknown
        if lost:
            log.warning("%d claims were lost on their way, handed back", len(lost), extra={"action": "claims_lost"})
            with self._db.write() as session:
                workers.release_held(session, worker, lost)
