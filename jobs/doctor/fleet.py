"""The workers: who is alive, who is silent, who ended and why, and whether somebody serves what waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobs.doctor.database import current
from jobs.doctor.findings import Finding, NotChecked, error, ok, warning
from jobs.doctor.scene import Scene
from jobs.models import WorkerPublic, WorkerState
from jobs.settings import TimerSettings, WorkerSettings
from jobs.store import examining, reading
from jobs.store.examining import Waiting

_LIVING = (WorkerState.ALIVE, WorkerState.DRAINING)
_MANY = 5
"""Rows told by name."""


def fleet(scene: Scene) -> Iterator[Finding]:
    stale = scene.of(TimerSettings).scaled("heartbeat_stale")
    with current(scene) as db, db.read() as session:
        rows = reading.list_workers(session)
        waiting = examining.waiting(session)
    living = [row for row in rows if row.state in _LIVING]
    heard = [row for row in living if row.silent_seconds <= stale]
    yield _silent([row for row in living if row.silent_seconds > stale], stale)
    yield _alive(heard, waiting)
    yield _engines(heard, waiting)
    yield _failed(rows)


def _silent(rows: Sequence[WorkerPublic], stale: float) -> Finding:
    if rows:
        text = f"no heartbeat for more than {stale:g} s: {_named(rows)}"
        return error("workers-silent", text, limit=stale, actual=len(rows))
    return ok("workers-silent", "every worker that counts as alive was heard of")


def _alive(heard: Sequence[WorkerPublic], waiting: Sequence[Waiting]) -> Finding:
    if heard:
        hosts = len({row.host for row in heard})
        return ok("workers-alive", f"{len(heard)} on {hosts} host{'s' if hosts > 1 else ''}")
    jobs = sum(each.jobs for each in waiting)
    if jobs:
        return error("workers-alive", f"{jobs} jobs wait and no worker runs", actual=0, limit=1)
    return ok("workers-alive", "no worker runs, and no job waits")


def _engines(heard: Sequence[WorkerPublic], waiting: Sequence[Waiting]) -> Finding:
    served = {row.engine for row in heard if row.capacity and not row.drain_requested}
    lacking = [each for each in waiting if each.engine not in served]
    if lacking:
        what = ", ".join(f"{each.engine} ({each.jobs} jobs, {each.pages} pages)" for each in lacking)
        text = f"nobody serves {what}; served: {', '.join(sorted(served)) or 'nothing'}"
        first = lacking[0].engine
        return error("workers-engines", text, do=f"Start one: `pagemill worker --engine {first}`, or cancel the jobs.")
    return ok("workers-engines", f"served: {', '.join(sorted(served)) or 'nothing'}; waiting for nothing else")


def _failed(rows: Sequence[WorkerPublic]) -> Finding:
    """The newest row of each slot, where that one ended and says why. Ids sort by time."""
    last = {(row.host, row.slot): row for row in sorted(rows, key=lambda row: row.id)}
    ended = [row for row in last.values() if row.state is WorkerState.STOPPED and row.detail]
    if not ended:
        return ok("workers-failed", "no slot's last worker ended with a reason")
    told = "; ".join(f"{row.host} {row.slot} ({row.engine}): {row.detail}" for row in ended[:_MANY])
    return warning("workers-failed", told[:600], actual=len(ended), limit=0)


def _named(rows: Sequence[WorkerPublic]) -> str:
    names = [f"{row.id} ({row.host}, {row.slot}, {row.engine or 'no engine'})" for row in rows[:_MANY]]
    return ", ".join(names) + (f" and {len(rows) - _MANY} more" if len(rows) > _MANY else "")


def engine_here(scene: Scene) -> bool:
    """Whether a worker that lives on this host holds the engine already. False where the database cannot tell."""
    host, stale = scene.of(WorkerSettings).host, scene.of(TimerSettings).scaled("heartbeat_stale")
    try:
        with current(scene) as db, db.read() as session:
            rows = reading.list_workers(session)
    except NotChecked:
        return False
    engine = scene.engine.name
    return any(
        row.host == host and row.engine == engine and row.state in _LIVING and row.silent_seconds <= stale
        for row in rows
    )
