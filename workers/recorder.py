"""Commits the outcomes of pages in groups: what ended while the last one ran, or soon after it, goes together.

An engine ends pages one by one; each would have a transaction of its own.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from jobs.errors import DatabaseUnavailable
from jobs.metrics import Place
from jobs.store import recording
from jobs.store.claiming import ClaimedDocument
from jobs.store.database import Database
from jobs.store.recording import Outcome, Recorded
from workers.presence import Presence
from workers.trail import ids_of

log = logging.getLogger(__name__)

GROUP = 64
"""Outcomes in one transaction at most."""
REST = 0.1
"""Seconds from one commit to the next where pages end slowly: those that end meanwhile share it. A page that ends after
a longer rest waits for nothing. At 50 pages/s: 3.5 transactions a page became 1.9, and 6.6 ms of CPU 4.4."""
FULL = 2
"""There is a rest only while the engine has half of its capacity: with less, the pages that it gets next may depend on
those that are to be recorded, and who waits for the last ones waits for nobody else. Without this the last page of
10,000 in a document, which an engine without work read, came after 14.9 and 15.4 s instead of 11.1 and 13.3."""
ENOUGH = 8
"""The rest ends when an eighth of the engine's capacity waits, or a whole group: those pages' places come back later
(workers/turns.py has half the capacity besides, of which storing takes some too). Where that is one page, there is no
rest."""
RETRY_EVERY = 0.5


class Recorder:
    """One thread that records. `add` returns at once and tells later, from that thread, that the outcome is settled."""

    def __init__(
        self,
        db: Database,
        worker_id: Callable[[], str],
        *,
        patience: float,
        capacity: int = 0,
        on_assemblies: Callable[[list[ClaimedDocument]], None],
        on_recorded: Callable[[Recorded], None],
        presence: Presence | None = None,
    ) -> None:
        """`patience`: seconds during which a database that is away is asked again before outcomes are given up: their
        pages are then taken back by rescue and run again. `capacity`: of the engine, in pages; how many
        outcomes may wait for others comes of it. `on_recorded` is told of every group; `presence` of its pages,
        together (a lock for each of them would be felt), and it knows how many the engine has."""
        self._db = db
        self._worker_id = worker_id
        self._patience = patience
        self._on_assemblies = on_assemblies
        self._on_recorded = on_recorded
        self._presence = presence or Presence()
        self._queue: queue.SimpleQueue[tuple[Outcome, Callable[[], None]] | None] = queue.SimpleQueue()
        self._enough = min(GROUP, capacity // ENOUGH)
        self._full = capacity // FULL
        self._ripe = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, outcome: Outcome, settled: Callable[[], None]) -> None:
        """`settled` is called when the outcome is committed, dropped as too late, or given up."""
        self._queue.put((outcome, settled))
        if not self._others_come():
            self._ripe.set()

    def stop(self) -> None:
        """Record what was added and end. A database that is away is asked no longer."""
        self._stop.set()
        self._queue.put(None)
        self._ripe.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        rested = time.monotonic()
        while (first := self._queue.get()) is not None:
            self._rest(rested)
            group = [first]
            ended = False
            while len(group) < GROUP and not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    ended = True
                    break
                group.append(item)
            self._presence.move(Place.STORING, Place.RECORDING, len(group))
            self._commit(group)
            self._presence.move(Place.RECORDING, None, len(group))
            if ended:
                return
            rested = time.monotonic() + REST

    def _rest(self, until: float) -> None:
        """Let others come until then, while they do."""
        while (seconds := until - time.monotonic()) > 0:
            self._ripe.clear()
            if not self._others_come():
                return
            self._ripe.wait(seconds)

    def _others_come(self) -> bool:
        """Whether there is something to wait for: room in the group, and an engine that has enough to do. The page that
        waits has left the queue."""
        if self._queue.qsize() + 1 >= self._enough or self._stop.is_set():
            return False
        return self._presence.inside >= self._full

    def _commit(self, group: list[tuple[Outcome, Callable[[], None]]]) -> None:
        try:
            recorded = self._record([outcome for outcome, _ in group])
        except Exception:
            # The edge of this thread, which must outlive what it did not expect: the pages are held by nobody's hands
            # from here on, and the heartbeat hands them back. One outcome that cannot be recorded is alone in that.
            log.exception("cannot record %d pages", len(group), extra=_about([outcome for outcome, _ in group]))
            if len(group) > 1:
                for item in group:
                    self._commit([item])
                return
            recorded = None
        for _, settled in group:
            settled()
        if recorded is None:
            return
        if recorded.assemblies:
            self._on_assemblies(recorded.assemblies)
        self._on_recorded(recorded)

    def _record(self, outcomes: list[Outcome]) -> Recorded | None:
        ends = time.monotonic() + self._patience
        while True:
            try:
                with self._db.write() as session:
                    return recording.record(session, outcomes, assemble_as=self._worker_id())
            except DatabaseUnavailable as error:
                log.warning("cannot record %d pages: %s", len(outcomes), error, extra=_about(outcomes))
                if time.monotonic() >= ends or self._stop.wait(RETRY_EVERY):
                    return None


def _about(outcomes: list[Outcome]) -> dict[str, object]:
    """The page, or the documents of several."""
    if len(outcomes) == 1:
        return {"action": "record_failed", **ids_of(outcomes[0].page)}
    return {"action": "record_failed", "documents": sorted({outcome.page.document.id for outcome in outcomes})}
