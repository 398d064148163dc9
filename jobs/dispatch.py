"""Which pages and documents run next, and the rescue of what stalled. Run by the tick; harmless when run twice.

Dispatch: choose and stamp in one transaction, commit, then send (rule 2). A message that could not be sent loses
its stamp; one that was lost is found by its old stamp.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jobs import lifecycle, poison
from jobs.blobs import BlobStore
from jobs.errors import DatabaseUnavailable, StorageFull, StorageUnavailable
from jobs.fairness import Caps
from jobs.poison import Company
from jobs.queue import BROKER_ERRORS, Doorbell, recognize_queue
from jobs.spending import Price
from jobs.store import closing, deadlines, ending, publishing, rescue, ringing, waiting, webhooks, workers
from jobs.store.claiming import DocumentRef, PageRef
from jobs.store.database import Database, Session
from jobs.store.ringing import Chore, Rung
from jobs.store.workers import Capacity

log = logging.getLogger(__name__)

T = TypeVar("T")

WINDOW = 2
"""Rung pages per page of living capacity: enough that no worker waits for the next tick, too few to be a backlog."""
MAX_CHUNK = 16
FETCH_CHUNK = 4
FETCH_WINDOW = 16
"""Files being fetched at once for each living worker, rung ones included: no more than its threads (workers/fetch.py),
so that none waits behind slow ones. One owner gets half of it."""
SPLIT_CHUNK = 16
SPLIT_WINDOW = 64
ASSEMBLE_CHUNK = 4
ASSEMBLE_WINDOW = 32
FORGET_WORKERS_AFTER = 3600.0
CLOSE_BATCH = 100
STORE_IS_AWAY = 3
"""Jobs in a row that the object store refused, after which it is taken to be away for the others too: each may cost a
timeout."""
FOLDED_ALWAYS = 1000
"""Documents of a running job up to which its totals do not get old for large ones that run beside it. Adding up that
many takes 1 ms (100,000: 70 to 120 ms, docs/scaling.md)."""
PURGE_BATCH = 4
PURGE_AMONG = 1000
"""The oldest deleted jobs, among which those of a round are drawn."""
WEBHOOK_WINDOW = 1024
"""Deliveries that are rung and not yet sent, shared among their owners."""
WEBHOOK_OWNER_WINDOW = 64
WEBHOOK_CHUNK = 16
PUBLISH_WINDOW = 8
"""Messages that wait in `deliver`, beyond which no more are sent for publications."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one round of dispatch stamped, ready to be sent."""

    pages: dict[str, list[list[PageRef]]]
    """Messages by engine."""
    fetches: list[DocumentRef]
    splits: list[DocumentRef]
    assemblies: list[DocumentRef]
    jobs: dict[str, str]
    """The job of each document, for people who look at messages."""

    def __len__(self) -> int:
        messages = [m for chunks in self.pages.values() for m in chunks]
        return sum(len(m) for m in messages) + len(self.documents)

    @property
    def documents(self) -> list[DocumentRef]:
        return self.fetches + self.splits + self.assemblies


def chunk_size(capacity: int) -> int:
    """Pages per message: clamp(worker capacity / 4, 1, 16)."""
    return max(1, min(MAX_CHUNK, capacity // 4))


def dispatch(db: Database, bell: Doorbell, cap: int | None = None) -> int:
    """One round. Returns how many pages and documents were rung; 0 also when another dispatcher was at work.

    `cap`: pages in flight of API keys that have no such limit of their own.
    """
    choice = choose(db, cap)
    if choice is None:
        return 0
    try:
        _send(bell, choice)
    except BROKER_ERRORS as error:
        log.warning("the broker is away, rings are taken back: %s", error, extra={"action": "ring_failed"})
        _unring(db, choice)
        return 0
    return len(choice)


def choose(db: Database, cap: int | None = None) -> Choice | None:
    """Stamp what is to be rung next, as much as the window leaves free. None where another dispatcher is at work."""
    with db.write() as session:
        if not ringing.dispatch_lock(session):
            return None
        capacities = workers.capacities(session)
        windows = {engine: WINDOW * capacity.total for engine, capacity in capacities.items()}
        rung = ringing.stamp_windows(session, windows, cap)
        pages = {engine: _messages(found, capacities[engine]) for engine, found in rung.items()}
        jobs = {page.ref.document: page.job for found in rung.values() for page in found}
        fetches, splits, assemblies = _stamp_chores(session, jobs)
    return Choice(pages, fetches, splits, assemblies, jobs)


def _stamp_chores(
    session: Session, jobs: dict[str, str]
) -> tuple[list[DocumentRef], list[DocumentRef], list[DocumentRef]]:
    """Fetches, splits and assemblies; what none waits for is not asked any further."""
    wait = waiting.chores(session)
    fetches: list[DocumentRef] = []
    splits: list[DocumentRef] = []
    assemblies: list[DocumentRef] = []
    if any(wait):
        windows_of = waiting.documents_in_flight(session)
    if wait.fetches:
        fetch_window = FETCH_WINDOW * max(1, workers.count_living(session))
        windows_of.fetches.caps = Caps(everybody=fetch_window // 2)
        fetches = ringing.stamp_fetches(session, fetch_window - windows_of.fetches.total, windows_of.fetches, jobs)
    if wait.splits:
        splits = ringing.stamp_splits(session, SPLIT_WINDOW - windows_of.splits.rung, windows_of.splits, jobs)
    if wait.assemblies:
        assemblies = ringing.stamp_assemblies(session, max(0, ASSEMBLE_WINDOW - windows_of.assemblies.rung), jobs)
    return fetches, splits, assemblies


def _messages(rung: Sequence[Rung], capacity: Capacity) -> list[list[PageRef]]:
    """Pages that were there when workers died travel apart, in the company in which they are read (rule 7)."""
    calm = [r.ref for r in rung if poison.company(r.crashes) is Company.ANY]
    suspects = poison.parties(((r.ref, r.crashes) for r in rung), capacity.largest)
    return [*_chunks(calm, chunk_size(capacity.largest)), *(party for _, party in suspects)]


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _send(bell: Doorbell, choice: Choice) -> None:
    for engine, messages in choice.pages.items():
        for message in messages:
            bell.ring_pages(engine, message, choice.jobs)
    for fetches in _chunks(choice.fetches, FETCH_CHUNK):
        bell.ring_fetches(fetches, choice.jobs)
    for splits in _chunks(choice.splits, SPLIT_CHUNK):
        bell.ring_splits(splits, choice.jobs)
    for assemblies in _chunks(choice.assemblies, ASSEMBLE_CHUNK):
        bell.ring_assemblies(assemblies, choice.jobs)


def _unring(db: Database, choice: Choice) -> None:
    """Also those that were sent before the broker went: doubled messages do nothing."""
    pages = [ref for messages in choice.pages.values() for message in messages for ref in message]
    with db.write() as session:
        if pages:
            ringing.unring_pages(session, pages)
        if choice.documents:
            ringing.unring_documents(session, choice.documents)


# --- rescue ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RescueRules:
    """Seconds and limits by which rescue judges."""

    stale: float
    """A heartbeat older than this is a death."""
    ring_expires: float
    """A ring older than this was lost."""
    settled: float
    """Rings younger than this may still be on their way to Redis, even when its queues are empty."""
    max_crashes: int
    """Deaths alone that end a page, and deaths that end a document."""


def judge(db: Database, rules: RescueRules) -> list[str]:
    """Declare workers without a heartbeat dead."""
    with db.write() as session:
        dead = workers.declare_dead(session, rules.stale)
    for worker in dead:
        log.warning("worker %s has no heartbeat", worker, extra={"action": "worker_dead", "dead_worker": worker})
    return dead


def take_back(db: Database, rules: RescueRules) -> int:
    """Free everything that workers hold which are not alive, in pieces. Returns how much it was."""
    taken = 0
    for step in (rescue.take_back_documents, rescue.take_back_pages):
        while True:
            with db.write() as session:
                piece = step(session, rules.max_crashes)
            if not piece:
                break
            taken += piece
    if taken:
        log.warning("%d pages or documents taken back from dead workers", taken, extra={"action": "rescued"})
    return taken


def end_late(db: Database, document_timeout: float | None) -> int:
    """Fail what has not ended of documents whose time is over, in pieces. Returns how many documents."""
    ended = 0
    while True:
        with db.write() as session:
            piece = deadlines.end_late(session, document_timeout)
        ended += piece
        if piece < deadlines.BATCH:
            break
    if ended:
        log.warning("the time of %d documents is over", ended, extra={"action": "deadline_exceeded"})
    return ended


def clear_stamps(db: Database, bell: Doorbell, rules: RescueRules) -> int:
    """Forget the rings that were lost: the old ones, and all where Redis has nothing waiting."""
    with db.read() as session:
        engines = list(workers.capacities(session))
    empty = _empty_queues(bell, [*map(recognize_queue, engines), *_QUEUES.values()])
    with db.write() as session:
        if not ringing.dispatch_lock(session):
            return 0
        cleared = ringing.clear_page_stamps(session, rules.ring_expires)
        cleared += ringing.clear_document_stamps(session, rules.ring_expires)
        for engine in engines:
            if recognize_queue(engine) in empty:
                cleared += ringing.clear_page_stamps(session, rules.settled, engine)
        for chore, queue in _QUEUES.items():
            if queue in empty:
                cleared += ringing.clear_document_stamps(session, rules.settled, chore)
    return cleared


_QUEUES: dict[Chore, str] = {"fetch": "deliver", "split": "split", "assemble": "assemble"}


def _empty_queues(bell: Doorbell, queues: list[str]) -> set[str]:
    try:
        return {queue for queue, length in bell.lengths(queues).items() if length == 0}
    except BROKER_ERRORS as error:
        log.warning("the broker is away: %s", error, extra={"action": "broker_away"})
        return set()


def close_ended(db: Database, blobs: BlobStore, price: Price | None = None) -> int:
    """Close jobs whose documents have all ended, and write manifests that are missing. Drawn by lot, so that those that
    cannot be closed (an object under a lock, a folder of another user) are in no others' way."""
    with db.read() as session:
        found = closing.jobs_to_close(session)
    closed = refused = 0
    for job in random.sample(found, min(len(found), CLOSE_BATCH)):
        try:
            if lifecycle.close(db, blobs, job, price):
                closed, refused = closed + 1, 0
        except (StorageUnavailable, StorageFull) as error:
            log.warning("job %s cannot be closed now: %s", job, error, extra={"action": "close_failed", "job": job})
            refused += 1
            if refused == STORE_IS_AWAY:
                break
        except DatabaseUnavailable:
            raise
        except Exception:
            # One job of which no manifest can be made stays open, and is drawn again.
            log.exception("job %s cannot be closed", job, extra={"action": "close_failed", "job": job})
    return closed


def ring_purges(db: Database, bell: Doorbell) -> None:
    """Ask for the purge of deleted jobs of which something is left, a few at a time: purging may take long. Drawn by
    lot, so that those that cannot be purged (a folder of another user, objects under a lock) are in no others' way."""
    with db.read() as session:
        found = ending.jobs_to_purge(session, PURGE_AMONG)
    jobs = random.sample(found, min(len(found), PURGE_BATCH))
    try:
        if jobs and bell.lengths(["deliver"])["deliver"] == 0:
            for job in jobs:
                bell.ring_purge(job)
    except BROKER_ERRORS as error:
        log.warning("the broker is away: %s", error, extra={"action": "broker_away"})


def ring_webhooks(db: Database, bell: Doorbell, rules: RescueRules) -> int:
    """Ring the deliveries that are due, the lost ones again. Returns how many."""
    with db.read() as session:
        due = webhooks.due(session, WEBHOOK_WINDOW, WEBHOOK_OWNER_WINDOW, rules.ring_expires)
    if not due:
        return 0
    with db.write() as session:
        rung = webhooks.stamp(session, due, rules.ring_expires)
    try:
        for refs in _chunks(rung, WEBHOOK_CHUNK):
            bell.ring_webhooks(refs)
    except BROKER_ERRORS as error:
        log.warning("the broker is away, rings are taken back: %s", error, extra={"action": "ring_failed"})
        with db.write() as session:
            webhooks.unring(session, rung)
        return 0
    return len(rung)


def ring_publications(db: Database, bell: Doorbell) -> None:
    """Ask for what has ended to be written to where it is wanted. One message a round: who takes it goes on until
    nothing is left."""
    with db.read() as session:
        due = publishing.any_due(session)
    try:
        if due and bell.lengths(["deliver"])["deliver"] < PUBLISH_WINDOW:
            bell.ring_publications()
    except BROKER_ERRORS as error:
        log.warning("the broker is away: %s", error, extra={"action": "broker_away"})


def fold(db: Database) -> float:
    """Sum the documents' counters into their running jobs, large ones left out. Returns how many seconds that took."""
    with db.write() as session:
        return closing.fold_running(session, most=FOLDED_ALWAYS)


def fold_large(db: Database) -> float:
    """The same for the large ones alone."""
    with db.write() as session:
        return closing.fold_running(session, least=FOLDED_ALWAYS + 1)


def forget_workers(db: Database) -> None:
    with db.write() as session:
        workers.forget(session, FORGET_WORKERS_AFTER)
