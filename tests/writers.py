"""One of several processes that do everything at random to the same database, as workers and users would.

Seeded, so that the choices repeat; how they interleave does not, and need not: whatever happens, the books must be
right. Messages are kept in a list of our own, where they are doubled, lost and delivered late.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from sqlalchemy import text

from jobs import deletion, dispatch, lifecycle
from jobs.blobs.local import LocalStore
from jobs.errors import DatabaseUnavailable, Gone, PagemillError
from jobs.models import State, close_state
from jobs.poison import Company
from jobs.settings import DatabaseSettings
from jobs.store import claiming, closing, rescue, ringing, submitting, workers
from jobs.store.claiming import ClaimedDocument, ClaimedPage, DocumentRef, PageRef
from jobs.store.closing import Finish
from jobs.store.database import open_database
from jobs.store.recording import Outcome, record
from jobs.store.submitting import Split
from tests.protocol import PROBLEM, register, rows, submit

MAX_CRASHES = 50


@dataclass(frozen=True)
class Plan:
    """What one process does."""

    seed: int
    steps: int
    url: str
    objects: Path


@dataclass
class Writer:
    """A worker, a user and a tick in one, with everything it holds in its hands."""

    plan: Plan
    pages: list[ClaimedPage] = field(default_factory=list)
    splits: list[ClaimedDocument] = field(default_factory=list)
    assemblies: list[ClaimedDocument] = field(default_factory=list)
    late: list[ClaimedPage] = field(default_factory=list)
    """Pages whose outcome was told already, or that were dropped."""
    messages: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.plan.seed)
        self.db = open_database(DatabaseSettings(database_url=self.plan.url, database_busy_timeout=60.0))
        self.blobs = LocalStore(self.plan.objects)
        self.slot = f"slot-{self.plan.seed}"
        self.worker = register(self.db, self.slot, capacity=16)

    # --- what a worker does

    def ring(self) -> None:
        choice = dispatch.choose(self.db)
        if choice is not None:
            self.messages += [message for messages in choice.pages.values() for message in messages]
            self.messages += [("split", ref) for ref in choice.splits]
            self.messages += [("assemble", ref) for ref in choice.assemblies]

    def listen(self) -> None:
        """Take a message, sometimes one that is heard again later."""
        if not self.messages:
            return self.ring()
        index = self.chance.randrange(len(self.messages))
        message = self.messages[index] if self.chance.random() < 0.2 else self.messages.pop(index)
        if isinstance(message, list):
            return self._claim_pages(message)
        kind, ref = message
        return self._claim_documents(kind, [ref])

    def guess(self) -> None:
        """A message that nobody sent: any pages, at any attempt they may have had."""
        found = rows(self.db, "SELECT document_id, number, attempt FROM page ORDER BY document_id, number")
        chosen = self.chance.sample(found, min(len(found), 6))
        self._claim_pages([PageRef(d, n, a - self.chance.choice((0, 0, 1))) for d, n, a in chosen])

    def guess_documents(self) -> None:
        found = rows(self.db, "SELECT id, attempt FROM document ORDER BY id")
        chosen = [DocumentRef(*row) for row in self.chance.sample(found, min(len(found), 3))]
        self._claim_documents(self.chance.choice(("split", "assemble")), chosen)

    def tell(self) -> None:
        """Record some of what we hold, and something that we told already."""
        self.chance.shuffle(self.pages)
        told = [self.pages.pop() for _ in range(min(len(self.pages), self.chance.randint(1, 6)))]
        again = self.chance.sample(self.late, min(len(self.late), 2))
        outcomes = [self._outcome(page) for page in told + again]
        self.late = (self.late + told)[-50:]
        with self.db.write() as session:
            recorded = record(session, outcomes, assemble_as=self.chance.choice((self.worker, None)))
        self.assemblies += recorded.assemblies

    def split(self) -> None:
        if not self.splits:
            return
        claim = self.splits.pop(self.chance.randrange(len(self.splits)))
        numbers = list(range(1, self.chance.randint(1, 8) + 1))
        how = self.chance.random()
        if how < 0.15:
            self._finish(claim, State.FAILED)
        elif how < 0.3:
            with self.db.write() as session:
                if not claiming.release_document(session, claim, errors=1):
                    claiming.let_go(session, claim)
        elif how < 0.6:
            self._split_in_pieces(claim, numbers)
        else:
            with self.db.write() as session:
                found = [Split(claim.document.id, claim.attempt, len(numbers), numbers)]
                if not submitting.insert_and_seal(session, claim.worker, found):
                    claiming.let_go(session, claim)

    def assemble(self) -> None:
        if not self.assemblies:
            return
        claim = self.assemblies.pop()
        if self.chance.random() < 0.2:
            with self.db.write() as session:
                if not claiming.release_document(session, claim):
                    claiming.let_go(session, claim)
            return
        counts = rows(
            self.db, "SELECT succeeded, failed, canceled FROM document WHERE id = :d", d=claim.document.id
        )  # fmt: skip
        self._finish(claim, close_state(*counts[0]) if counts else State.FAILED)
        lifecycle.close(self.db, self.blobs, claim.document.job_id)

    def forget(self) -> None:
        """Claims whose answers were lost: the heartbeats find them."""
        for hand in (self.pages, self.splits, self.assemblies):
            if hand and self.chance.random() < 0.5:
                hand.pop()

    def beat(self) -> None:
        with self.db.write() as session:
            alive = workers.heartbeat(session, self.worker)
        if not alive:
            return self.die()
        with self.db.read() as session:
            held = workers.held_by(session, self.worker)
        ours = {(c.document.id, 0, c.attempt) for c in [*self.splits, *self.assemblies]}
        ours |= {(p.document.id, p.number, p.attempt) for p in self.pages}
        with self.db.write() as session:
            workers.release_held(session, self.worker, sorted(held - ours))
        return None

    def die(self) -> None:
        """Killed, and a successor in the slot; the dead one's last words come late."""
        self.late += self.pages
        self.pages, self.splits, self.assemblies = [], [], []
        self.worker = register(self.db, self.slot, capacity=16)

    # --- what the tick does

    def rescue(self) -> None:
        with self.db.write() as session:
            rescue.take_back_pages(session, MAX_CRASHES)
        with self.db.write() as session:
            rescue.take_back_documents(session, MAX_CRASHES)

    def clear(self) -> None:
        with self.db.write() as session:
            if ringing.dispatch_lock(session):
                ringing.clear_page_stamps(session, -1.0)
                ringing.clear_document_stamps(session, -1.0)

    def unring(self) -> None:
        refs = [ref for message in self.messages if isinstance(message, list) for ref in message]
        documents = [message[1] for message in self.messages if isinstance(message, tuple)]
        with self.db.write() as session:
            ringing.unring_pages(session, refs)
            ringing.unring_documents(session, documents)
        self.messages = []

    def fold(self) -> None:
        dispatch.fold(self.db)

    def close(self) -> None:
        dispatch.close_ended(self.db, self.blobs)

    # --- what users do

    def submit(self) -> None:
        submit(self.db, self.chance.randint(1, 6))

    def cancel(self) -> None:
        lifecycle.cancel(self.db, self._some_job())

    def retry(self) -> None:
        lifecycle.retry(self.db, self.blobs, self._some_job())

    def delete(self) -> None:
        deletion.delete(self.db, self.blobs, self._some_job())

    def _some_job(self) -> str:
        return self.chance.choice(rows(self.db, "SELECT id FROM job ORDER BY id"))[0]

    def purge(self) -> None:
        from jobs.store import ending

        with self.db.read() as session:
            deleted = ending.jobs_to_purge(session)
        for job in deleted:
            deletion.purge(self.db, self.blobs, job)

    # --- parts

    def _claim_pages(self, refs: Sequence[PageRef]) -> None:
        with self.db.write() as session:
            company = self.chance.choices(list(Company), (7, 2, 1))[0]
            self.pages += claiming.claim_pages(session, self.worker, refs, company=company)

    def _claim_documents(self, kind: str, refs: Sequence[DocumentRef]) -> None:
        with self.db.write() as session:
            if kind == "split":
                self.splits += claiming.claim_splits(session, self.worker, refs)
            else:
                self.assemblies += claiming.claim_assemblies(session, self.worker, refs)

    def _outcome(self, page: ClaimedPage) -> Outcome:
        draw = self.chance.random()
        if draw < 0.6:
            return Outcome(page, "succeeded")
        if draw < 0.75:
            return Outcome(page, "failed", error=PROBLEM, errors=1)
        return Outcome(page, "pending", errors=1, delay=self.chance.choice((0.0, 0.05)))

    def _split_in_pieces(self, claim: ClaimedDocument, numbers: list[int]) -> None:
        """Maybe only the first pieces; then the claim is lost and found by a heartbeat, or by rescue."""
        for number in numbers:
            with self.db.write() as session:
                ours = submitting.insert_pages(session, claim.document.id, claim.worker, claim.attempt, [number])
                if not ours:
                    claiming.let_go(session, claim)
                    return
            if self.chance.random() < 0.1:
                return
        with self.db.write() as session:
            submitting.seal(session, claim.document.id, claim.worker, claim.attempt, len(numbers))

    def _finish(self, claim: ClaimedDocument, state: State) -> None:
        error = None if state in (State.SUCCEEDED, State.PARTIAL) else PROBLEM
        with self.db.write() as session:
            closing.finish_documents(session, [Finish(claim, state, error is None, error)])
            claiming.let_go(session, claim)


WEIGHTS: dict[str, int] = {
    "listen": 30, "tell": 24, "split": 12, "assemble": 10, "ring": 8, "guess": 6, "guess_documents": 4, "beat": 6,
    "rescue": 5, "clear": 4, "fold": 3, "close": 3, "forget": 2, "die": 2, "unring": 1, "purge": 1, "retry": 4,
    "submit": 4, "cancel": 1,
}  # fmt: skip
RARE = ("delete", "cancel", "unring", "purge")
"""What each run must have seen: one of these by each process, half-way."""


def run(plan: Plan, start: Barrier, report: Any) -> None:
    """Take the steps of the plan; put (counts of steps, messages of errors) into the queue."""
    counts: Counter[str] = Counter()
    errors: list[str] = []
    writer = Writer(plan)
    start.wait(120)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    for number in range(plan.steps):
        name = writer.chance.choices(names, weights)[0]
        if number == plan.steps // 2:
            name = RARE[plan.seed % len(RARE)]
        counts[name] += 1
        errors += attempt(name, getattr(writer, name))
    writer.db.dispose()
    report.put((counts, errors))


def attempt(name: str, step: Callable[[], object]) -> list[str]:
    """What went wrong with a step: nothing may, but that somebody else deleted the job."""
    try:
        step()
    except Gone:
        return []
    except (DatabaseUnavailable, PagemillError) as error:
        return [f"{name}: {error!r} {error.__cause__!r}"]
    return []


def run_down(writer: Writer) -> None:
    """Finish all that is left, without mischief, until nothing more happens."""
    with writer.db.write() as session:
        session.connection().execute(text("UPDATE page SET ready_at = (SELECT created_at FROM document "
                                          "WHERE document.id = page.document_id)"))  # fmt: skip
    while not _all_ended(writer):
        writer.rescue()
        writer.clear()
        writer.ring()
        for message in writer.messages:
            _answer(writer, message)
        writer.messages = []
        writer.close()
    writer.purge()


def _answer(writer: Writer, message: Any) -> None:
    if isinstance(message, tuple):
        writer._claim_documents(*message[:1], [message[1]])
        for claim in writer.splits:
            with writer.db.write() as session:
                submitting.insert_and_seal(session, claim.worker, [Split(claim.document.id, claim.attempt, 2, [1, 2])])
        writer.splits = []
    else:
        for company in Company:
            with writer.db.write() as session:
                claimed = claiming.claim_pages(session, writer.worker, message, company=company)
            with writer.db.write() as session:
                record(session, [Outcome(page, "succeeded") for page in claimed])
    while writer.assemblies:
        writer.chance.seed(3)  # the first draw is above 0.2: it assembles
        writer.assemble()


def _all_ended(writer: Writer) -> bool:
    return not rows(writer.db, "SELECT 1 FROM job WHERE state IN ('queued', 'running') LIMIT 1")
