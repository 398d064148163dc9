"""Watching drop folders: two threads in every worker that delivers. One sweeps, under a lease for each inbox, so that
of all workers one does; one waits for event messages and looks at the keys they name."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from jobs.errors import PagemillError
from jobs.hints import Hint, HintList, parse_hints
from jobs.ids import new_worker_id
from jobs.inbox import Inbox
from jobs.queue import BROKER_ERRORS
from jobs.store import inbox as objects
from jobs.store import leases
from jobs.store.database import Database
from workers.scan import Scanner, Sweep

log = logging.getLogger(__name__)

LEASE = 60.0
"""Seconds for which a sweep is ours without another word; a scanner that died is followed after that."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether a sweep is due."""
LISTEN = 2.0
"""Seconds of one wait for an event; the broker's sockets give up after 5."""
DEAF = 5.0
"""Seconds before a broker that was away is asked again."""


class InboxWatch:
    """Begins with `start`. Stopping takes as long as what is being copied."""

    def __init__(self, db: Database, scanner: Scanner, hints: HintList, *, every: float, lease: float = LEASE) -> None:
        """`every`: seconds from the end of a sweep to the next one."""
        self._db, self._scanner, self._hints, self._every, self._lease = db, scanner, hints, every, lease
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(step, pause), name=name, daemon=True)
            for step, pause, name in (
                (self.round, min(LOOK_EVERY, every / 4), "inbox-sweep"),
                (self.listen, 0.0, "inbox-events"),
            )
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self, step: Callable[[], None], pause: float) -> None:
        while not self._stop.wait(pause):
            try:
                step()
            except PagemillError as error:
                log.warning("inbox put off: %s", error, extra={"action": "inbox_failed", "code": error.code})
                self._stop.wait(DEAF)
            except BROKER_ERRORS as error:
                log.warning("no inbox events: %s", error, extra={"action": "inbox_deaf"})
                self._stop.wait(DEAF)
            except Exception:
                # The edge of this thread: it must outlive what it did not expect, or nothing is taken any more.
                log.exception("the inbox failed", extra={"action": "inbox_failed"})
                self._stop.wait(DEAF)

    # --- sweeps

    def round(self) -> None:
        """Sweep every inbox that is due and that no other worker sweeps."""
        for inbox in self._scanner.inboxes:
            if not self._stop.is_set() and self._is_due(inbox):
                self._sweep(inbox)

    def _is_due(self, inbox: Inbox) -> bool:
        with self._db.read() as session:
            return not leases.is_taken(session, inbox.owner)

    def _sweep(self, inbox: Inbox) -> None:
        """The lease is held on while we sweep, and after that by nobody for as long as there is to be no sweep."""
        holder = new_worker_id()
        if not self._take(inbox, holder, self._lease):
            return
        try:
            sweep = self._scanner.sweep(
                inbox, lambda: not self._stop.is_set() and self._take(inbox, holder, self._lease)
            )
            with self._db.write() as session:
                objects.forget(session, str(inbox.location))
            _tell(inbox, sweep)
        except PagemillError as error:
            log.warning(
                "%s cannot be swept: %s", inbox.location, error, extra={"action": "inbox_failed", "code": error.code}
            )
        finally:
            self._take(inbox, holder, 0.0 if self._stop.is_set() else self._every)

    def _take(self, inbox: Inbox, holder: str, seconds: float) -> bool:
        with self._db.write() as session:
            return leases.take_lease(session, inbox.owner, holder, seconds)

    # --- events

    def listen(self) -> None:
        """Wait for messages and look at what they name."""
        hints = _hints(self._hints.pop(LISTEN))
        if hints:
            self._scanner.look(hints)


def _tell(inbox: Inbox, sweep: Sweep) -> None:
    if sweep.taken:
        log.info(
            "%d of %d objects in %s are new", sweep.taken, sweep.listed, inbox.location, extra={"action": "inbox_swept"}
        )


def _hints(messages: Sequence[bytes | str]) -> list[Hint]:
    hints: list[Hint] = []
    for message in messages:
        try:
            hints += parse_hints(message)
        except ValueError as error:
            log.warning("an inbox event is no JSON: %s", error, extra={"action": "inbox_event_ignored"})
    return list(dict.fromkeys(hints))
