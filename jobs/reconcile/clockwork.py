"""Workers, leases, rings and messages: what only time tells.

A difference here is named when it was there at every look for long enough, the looks never far apart: a reconcile
that was frozen itself, or cut off from the database, must not judge by old news (rule 6).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from jobs import dispatch
from jobs.reconcile import messages
from jobs.reconcile.differences import Difference
from jobs.reconcile.parts import Parts
from jobs.store import leases, watching, workers
from jobs.store.watching import Silent

TICK = "tick"
LONGEST_LEASE = 24 * 3600.0
"""Seconds; the longest that anybody takes is the sweep's, six hours."""

Key = tuple[str, str, str]
"""Code, where, and a token that changes when something happened meanwhile."""


def clockwork_differences(parts: Parts, wait: Callable[[float], None] = time.sleep) -> Iterator[Difference]:
    """Look, and look again until each thing found has recovered or lasted too long; mended where told so."""
    watch = _Watch(parts)
    watch.look()
    while watch.unripe():
        wait(watch.pause)
        watch.look()
    for difference in watch.ripe():
        yield _mended(parts, difference) if parts.fix else difference


@dataclass(slots=True)
class _Watch:
    """What is doubtful, and since when without a pause."""

    parts: Parts
    _since: dict[Key, float] | None = None
    _found: dict[Key, Difference] = field(default_factory=dict)
    _last: float = 0.0

    @property
    def pause(self) -> float:
        """Seconds between two looks."""
        return min(3.0, self.parts.patience.stale / 10)

    def look(self) -> None:
        """Look once; what is new after the first look is left for the next run."""
        found = {(d.code, d.where, token): d for d, token in _look(self.parts)}
        now = time.monotonic()
        if self._since is None:
            self._since = dict.fromkeys(found, now)
        elif now - self._last > self.parts.patience.stale / 2:
            self._since = {key: now for key in self._since if key in found}
        else:
            self._since = {key: since for key, since in self._since.items() if key in found}
        self._found, self._last = found, now

    def unripe(self) -> bool:
        return any(not self._lasted(key) for key in self._since or ())

    def ripe(self) -> list[Difference]:
        return [self._found[key] for key in self._since or () if self._lasted(key)]

    def _lasted(self, key: Key) -> bool:
        since = (self._since or {})[key]
        return self._last - since >= _patience(self.parts, key[0])


def _patience(parts: Parts, code: str) -> float:
    """Seconds for which it must be there at every look."""
    if code in ("lease_too_long", "worker_unforgotten"):
        return 0.0
    return parts.patience.ring_expires if code == "message_stale" else parts.patience.stale


def _look(parts: Parts) -> Iterator[tuple[Difference, str]]:
    yield from _workers(parts)
    yield from _leases(parts)
    yield from _rings(parts)
    yield from messages.stale(parts)


def _ago(silent: Silent) -> str:
    return f"{silent.age:.0f} s ago"


def _workers(parts: Parts) -> Iterator[tuple[Difference, str]]:
    patience = parts.patience
    with parts.db.read() as session:
        silent = watching.silent_workers(session, 2 * patience.stale)
        left = watching.left_work(session)
        lives = bool(watching.living_engines(session, patience.stale))
        # Without a living worker there is no rescue that would forget them: a service at rest.
        old = watching.unforgotten(session, patience.worker) if lives else []
    for worker in silent:
        expected = f"a heartbeat in the last {patience.stale:.0f} s"
        yield Difference("worker_silent", worker.id, expected, f"the last {_ago(worker)}"), worker.token
    for worker in left:
        found = Difference("worker_left_work", worker.id, "nothing held", f"{worker.count} pages or documents held")
        yield found, worker.token
    for worker in old:
        yield Difference("worker_unforgotten", worker.id, "no row", f"{worker.token}, {_ago(worker)}"), worker.token


def _leases(parts: Parts) -> Iterator[tuple[Difference, str]]:
    with parts.db.read() as session:
        found = watching.leases(session)
        lives = bool(watching.living_engines(session, parts.patience.stale))
    ticks = [lease for lease in found if lease.id == TICK]
    if lives and not [lease for lease in ticks if lease.age < 0]:
        ended = f"its lease ran out {_ago(ticks[0])}" if ticks else "nobody has the lease"
        yield Difference("tick_stopped", TICK, "a worker that dispatches", ended), ticks[0].token if ticks else ""
    for lease in found:
        longest = max(60.0, parts.patience.late) if lease.id == TICK else LONGEST_LEASE
        if -lease.age > longest:
            actual = f"{-lease.age:.0f} s more, of {lease.token.partition(' ')[0]}"
            yield Difference("lease_too_long", lease.id, f"{longest:.0f} s at most", actual), lease.token


def _rings(parts: Parts) -> Iterator[tuple[Difference, str]]:
    """Rings that were lost, and work that is ready while nothing is rung. Only where somebody lives who would ring."""
    patience = parts.patience
    with parts.db.read() as session:
        engines = watching.living_engines(session, patience.stale)
        if not engines:
            return
        old = watching.old_rings(session, patience.ring_expires + patience.late)
        waiting = [
            w for engine, n in engines.items() if n for w in watching.waiting_pages(session, engine, patience.late)
        ]
        waiting += watching.waiting_documents(session, patience.late)
    for ring in old:
        actual = f"{ring.count}, the oldest {_ago(ring)}"
        yield Difference("ring_old", ring.id, f"none older than {patience.ring_expires:.0f} s", actual), ring.token
    for work in waiting:
        yield Difference("unrung", work.id, "a ring", f"ready since {work.age:.0f} s, nothing is rung"), work.token


# --- mending: what rescue and dispatch do, which is harmless when they do it at the same time


def _mended(parts: Parts, difference: Difference) -> Difference:
    mend = _MENDS.get(difference.code)
    return difference if mend is None else difference.repaired(mend(parts, difference))


def _bury(parts: Parts, difference: Difference) -> bool:
    """Declare dead who has been silent while we watched, and take back what it held."""
    dispatch.judge(parts.db, parts.rules)
    return _take_back(parts, difference)


def _take_back(parts: Parts, difference: Difference) -> bool:
    dispatch.take_back(parts.db, parts.rules)
    with parts.db.read() as session:
        left = watching.left_work(session) + watching.silent_workers(session, 2 * parts.patience.stale)
    return difference.where not in {worker.id for worker in left}


def _forget(parts: Parts, _difference: Difference) -> bool:
    with parts.db.write() as session:
        workers.forget(session, parts.patience.worker)
    return True


def _give_back(parts: Parts, difference: Difference) -> bool:
    holder = difference.actual.rpartition(" ")[2]
    with parts.db.write() as session:
        leases.give_lease_back(session, difference.where, holder)
    return True


def _ring(parts: Parts, _difference: Difference) -> bool:
    dispatch.clear_stamps(parts.db, parts.bell, parts.rules)
    return dispatch.dispatch(parts.db, parts.bell) > 0


_MENDS: dict[str, Callable[[Parts, Difference], bool]] = {
    "worker_silent": _bury,
    "worker_left_work": _take_back,
    "worker_unforgotten": _forget,
    "lease_too_long": _give_back,
    "ring_old": _ring,
    "unrung": _ring,
    "message_stale": messages.remove,
}
