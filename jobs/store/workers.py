"""Worker rows: one incarnation of a process each, kept alive by one small update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from jobs.store.locks import lock_documents
from jobs.store.recording import count_ended, let_go
from jobs.store.sql import Sql, is_sqlite

_REPLACE = Sql(
    """UPDATE worker SET state = 'dead', detail = 'replaced by a new incarnation'
       WHERE host = :host AND slot = :slot AND state IN ('alive', 'draining') RETURNING id"""
)
_FREE_LEASES = Sql("DELETE FROM lease WHERE holder IN (SELECT id FROM {list:ids(id text)})")
_REGISTER = Sql(
    """INSERT INTO worker (id, host, slot, pid, engine, capacity, reader, state, started_at, heartbeat_at,
                           drain_requested)
       VALUES (:id, :host, :slot, :pid, :engine, :capacity, :reader, 'alive', {now}, {now}, :leaves)"""
)
_HEARTBEAT = Sql(
    """UPDATE worker SET heartbeat_at = {now}, pace = CAST(:pace AS float)
       WHERE id = :id AND state IN ('alive', 'draining')"""
)
_SET_STATE = Sql("UPDATE worker SET state = :state, detail = :detail WHERE id = :id AND state IN ('alive', 'draining')")
_REQUEST_DRAIN = Sql("UPDATE worker SET drain_requested = true WHERE id = :id AND state IN ('alive', 'draining')")
_DRAIN_REQUESTED = Sql("SELECT drain_requested FROM worker WHERE id = :id")
_DECLARE_DEAD = Sql(
    """WITH silent AS MATERIALIZED (
         SELECT id FROM worker WHERE state IN ('alive', 'draining') AND heartbeat_at < {later:-:stale} {skip_locked})
       UPDATE worker SET state = 'dead', detail = 'no heartbeat' FROM silent WHERE worker.id = silent.id
       RETURNING worker.id"""
)
_CANCELED_AMONG = Sql(
    """SELECT d.id FROM document d JOIN {list:ids(id text)} ON d.id = ids.id WHERE d.state = 'canceled'"""
)
_LIVING = Sql("SELECT count(*) FROM worker WHERE state = 'alive' AND NOT drain_requested")
_CAPACITY = Sql(
    "SELECT engine, sum(capacity), max(capacity) FROM worker WHERE state = 'alive' AND NOT drain_requested"
    " GROUP BY engine"
)
_FORGET = Sql(
    """DELETE FROM worker WHERE state IN ('dead', 'stopped') AND heartbeat_at < {later:-:age}
       AND NOT EXISTS (SELECT 1 FROM page WHERE page.worker = worker.id AND page.state = 'running')
       AND NOT EXISTS (SELECT 1 FROM document WHERE document.worker = worker.id)"""
)


@dataclass(frozen=True, slots=True)
class Registration:
    """A worker process presents itself."""

    id: str
    host: str
    slot: str
    pid: int
    engine: str
    capacity: int
    """Pages it can have in flight; 0 for one that serves no engine."""
    reader: str | None = None
    """What it reads with (jobs/reuse.py)."""


def register(session: Session, new: Registration, *, leaves: bool = False) -> None:
    """Enter a new incarnation. Its predecessor in the slot is dead from now on, its pages free to be rescued and its
    leases (jobs/store/leases.py) to be taken: a worker alone would wait for its own, of dispatch for instance. One that
    `leaves` was asked to drain as an earlier incarnation of the same process."""
    if replaced := [{"id": row[0]} for row in _REPLACE.run(session, host=new.host, slot=new.slot)]:
        _FREE_LEASES.run(session, ids=replaced)
    _REGISTER.run(
        session, id=new.id, host=new.host, slot=new.slot, pid=new.pid, engine=new.engine, capacity=new.capacity,
        reader=new.reader, leaves=leaves,
    )  # fmt: skip


_SLOT_HOLDERS = Sql("SELECT 1 FROM worker WHERE host = :host AND slot = :slot AND state IN ('alive', 'draining')")


def slot_taken(session: Session, host: str, slot: str) -> bool:
    """Whether a living worker is registered in this slot."""
    return _SLOT_HOLDERS.run(session, host=host, slot=slot).first() is not None


def heartbeat(session: Session, worker: str, pace: float | None = None) -> bool:
    """`pace`: pages it reads a second, None where it does not know. False means: somebody declared us dead. Drop
    everything and register anew."""
    return _HEARTBEAT.run(session, id=worker, pace=pace).rowcount == 1


def set_state(session: Session, worker: str, state: str, detail: str | None = None) -> None:
    """`draining` or `stopped`, by the worker itself. Does nothing to one that was declared dead."""
    _SET_STATE.run(session, id=worker, state=state, detail=detail)


def request_drain(session: Session, worker: str) -> None:
    """Ask a worker to end when it has finished what it holds. It hears of it with its next heartbeat, and takes
    messages as usual until then: one that merely stopped claiming would swallow them."""
    _REQUEST_DRAIN.run(session, id=worker)


def drain_requested(session: Session, worker: str) -> bool:
    return bool(_DRAIN_REQUESTED.run(session, id=worker).scalar())


def declare_dead(session: Session, stale: float) -> list[str]:
    """Judge every worker whose heartbeat is older than `stale` seconds. Returns their ids.

    One that is just claiming holds its row and is judged next time: were it frozen in the middle of that, waiting for
    it would stop every tick.
    """
    return [row[0] for row in _DECLARE_DEAD.run(session, stale=stale)]


def canceled_among(session: Session, documents: Sequence[str]) -> set[str]:
    """Which of the documents a worker is busy with were canceled."""
    if not documents:
        return set()
    return {row[0] for row in _CANCELED_AMONG.run(session, ids=[{"id": d} for d in documents])}


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one engine's living workers can have in flight: together, and the largest of them."""

    total: int
    largest: int


_SILENCE = "SELECT id, {} FROM worker"
_SILENCES = (
    Sql(_SILENCE.format("extract(epoch FROM statement_timestamp() - heartbeat_at)")),
    Sql(_SILENCE.format("(julianday('now') - julianday(heartbeat_at)) * 86400.0")),
)


def silences(session: Session) -> dict[str, float]:
    """Seconds since each worker's last heartbeat, by the database's clock."""
    postgresql, sqlite = _SILENCES
    rows = (sqlite if is_sqlite(session) else postgresql).run(session)
    return {str(row[0]): float(row[1]) for row in rows}


def count_living(session: Session) -> int:
    """Workers that take work, whatever they serve."""
    return int(_LIVING.run(session).scalar_one())


def capacities(session: Session) -> dict[str, Capacity]:
    """Capacity by engine name, of workers that take new pages."""
    return {row[0]: Capacity(int(row[1]), int(row[2])) for row in _CAPACITY.run(session) if row[1]}


def forget(session: Session, age: float) -> None:
    """Delete rows of workers that ended `age` seconds ago and hold nothing."""
    _FORGET.run(session, age=age)


_HELD_PAGES = Sql(
    """SELECT document_id, number, attempt FROM page WHERE worker = :worker AND state = 'running'
       UNION ALL
       SELECT document_id, number, attempt FROM page
       WHERE worker IS NOT NULL AND worker = :worker AND state = 'canceled'"""
)
_HELD_DOCUMENTS = Sql("SELECT id, 0, attempt FROM document WHERE worker = :worker")
_RELEASE_PAGES = Sql(
    """UPDATE page SET state = 'pending', rung_at = NULL FROM {list:refs(d text, n int, a int)}
       WHERE page.document_id = refs.d AND page.number = refs.n AND page.attempt = refs.a AND page.worker = :worker
         AND page.state = 'running' RETURNING document_id, page.state"""
)
_RELEASE_DOCUMENTS = Sql(
    """UPDATE document SET worker = NULL, rung_at = NULL FROM {list:refs(d text, a int)}
       WHERE document.id = refs.d AND document.attempt = refs.a AND document.worker = :worker"""
)


def held_by(session: Session, worker: str) -> set[tuple[str, int, int]]:
    """What the database says this worker holds: (document, page number or 0 for the document itself, attempt).

    What was canceled in its hands is among it: until it lets go, a deleted job cannot be purged. What a deadline ended
    there is not: nothing finds those rows by their worker, and it knows them by missing them here.
    """
    rows = [*_HELD_PAGES.run(session, worker=worker), *_HELD_DOCUMENTS.run(session, worker=worker)]
    return {(row[0], row[1], row[2]) for row in rows}


def release_held(session: Session, worker: str, holds: Sequence[tuple[str, int, int]]) -> None:
    """Hand back claims that nobody works on, uncounted; let go of those that were canceled or whose time was over."""
    lock_documents(session, (document for document, _, _ in holds))
    pages = [{"d": d, "n": n, "a": a} for d, n, a in holds if n]
    documents = [{"d": d, "a": a} for d, n, a in holds if not n]
    if pages:
        released = _RELEASE_PAGES.run(session, worker=worker, refs=pages)
        count_ended(session, [(row[0], row[1]) for row in released])
        let_go(session, [page | {"w": worker} for page in pages])
    if documents:
        _RELEASE_DOCUMENTS.run(session, worker=worker, refs=documents)
