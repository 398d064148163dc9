"""Steps of the protocol, small enough that a test can put another one between any two of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from jobs import lifecycle
from jobs.blobs import NewObject
from jobs.blobs.local import LocalStore
from jobs.ids import new_document_id, new_job_id, new_worker_id
from jobs.lifecycle import NewDocument
from jobs.models import JobPublic, State
from jobs.options import JobOptions
from jobs.poison import Company
from jobs.store import claiming, reading, recording, rescue, submitting, workers
from jobs.store.claiming import ClaimedDocument, ClaimedPage, DocumentRef, PageRef
from jobs.store.closing import Finish, finish_documents
from jobs.store.database import Database
from jobs.store.recording import Outcome, Recorded
from jobs.store.submitting import Split
from jobs.store.workers import Registration
from tests.processes import wait_until

PROBLEM = {"type": "urn:pagemill:error:engine_error", "title": "t", "status": 422, "detail": "d",
           "code": "engine_error", "retryable": True}  # fmt: skip


def new_document(number: int = 0, **values: Any) -> NewDocument:
    id_ = new_document_id()
    given = {"name": f"{number}.pdf", "source_key": f"uploads/{id_}", "media_type": "application/pdf", "bytes": 10,
             "sha256": "0" * 64} | values  # fmt: skip
    return NewDocument(id_, **given)


def submit(
    db: Database,
    documents: int = 1,
    *,
    engine: str = "echo",
    options: JobOptions | None = None,
    owner: str = "",
) -> tuple[str, list[str]]:
    """A queued job: its id, and its documents' ids in ascending order."""
    job = new_job_id()
    new = [new_document(number) for number in range(documents)]
    lifecycle.submit(
        db, job_id=job, options=options or JobOptions(), engine=engine, documents=new, vault=None, owner=owner
    )
    return job, sorted(document.id for document in new)


def register(
    db: Database, slot: str | None = None, *, engine: str = "echo", capacity: int = 8, reader: str | None = None
) -> str:
    """A living worker, in a slot of its own unless told."""
    worker = new_worker_id()
    with db.write() as session:
        workers.register(session, Registration(worker, "host", slot or worker, 1, engine, capacity, reader))
    return worker


def document_refs(db: Database, documents: Sequence[str]) -> list[DocumentRef]:
    """What a message sent now would expect of these documents."""
    attempts = {row[0]: row[1] for row in rows(db, "SELECT id, attempt FROM document")}
    return [DocumentRef(document, attempts[document]) for document in documents]


def page_refs(db: Database, document: str, numbers: Sequence[int] | None = None) -> list[PageRef]:
    """What a message sent now would expect of these pages."""
    found = rows(db, "SELECT number, attempt FROM page WHERE document_id = :d ORDER BY number", d=document)
    return [PageRef(document, number, attempt) for number, attempt in found if numbers is None or number in numbers]


def claim_splits(db: Database, worker: str, documents: Sequence[str]) -> list[ClaimedDocument]:
    refs = document_refs(db, documents)
    with db.write() as session:
        return claiming.claim_splits(session, worker, refs)


def split(db: Database, worker: str, documents: Sequence[str], pages: int = 3) -> None:
    """Claim, insert and seal, so that all pages of these documents are pending."""
    claims = claim_splits(db, worker, documents)
    assert [claim.document.id for claim in claims] == sorted(documents)
    numbers = list(range(1, pages + 1))
    with db.write() as session:
        splits = [Split(claim.document.id, claim.attempt, pages, numbers) for claim in claims]
        assert submitting.insert_and_seal(session, worker, splits) == sorted(documents)


def claim(
    db: Database, worker: str, document: str, numbers: Sequence[int] | None = None, company: Company = Company.ANY
) -> list[ClaimedPage]:
    """Claim these pages, or all, as a message sent now would."""
    return claim_refs(db, worker, page_refs(db, document, numbers), company)


def claim_refs(db: Database, worker: str, refs: Sequence[PageRef], company: Company = Company.ANY) -> list[ClaimedPage]:
    with db.write() as session:
        return claiming.claim_pages(session, worker, refs, company=company)


def record(db: Database, outcomes: Sequence[Outcome], assemble_as: str | None = None) -> Recorded:
    with db.write() as session:
        return recording.record(session, outcomes, assemble_as=assemble_as)


def good(pages: Sequence[ClaimedPage]) -> list[Outcome]:
    return [Outcome(page, "succeeded") for page in pages]


def bad(pages: Sequence[ClaimedPage]) -> list[Outcome]:
    return [Outcome(page, "failed", error=PROBLEM, errors=1) for page in pages]


def back(pages: Sequence[ClaimedPage], **values: Any) -> list[Outcome]:
    return [Outcome(page, "pending", **values) for page in pages]


def read(db: Database, worker: str, document: str, *, failed: Sequence[int] = ()) -> list[ClaimedDocument]:
    """Read every page of a document; its assembly is claimed."""
    pages = claim(db, worker, document)
    ends = good([p for p in pages if p.number not in failed]) + bad([p for p in pages if p.number in failed])
    return record(db, ends, assemble_as=worker).assemblies


def claim_assemblies(db: Database, worker: str, documents: Sequence[str]) -> list[ClaimedDocument]:
    refs = document_refs(db, documents)
    with db.write() as session:
        return claiming.claim_assemblies(session, worker, refs)


def take_back(db: Database, max_crashes: int = 3) -> int:
    """One batch of everything that the dead hold."""
    with db.write() as session:
        pages = rescue.take_back_pages(session, max_crashes)
    with db.write() as session:
        return pages + rescue.take_back_documents(session, max_crashes)


def finish(db: Database, claims: Sequence[ClaimedDocument], state: State = State.SUCCEEDED) -> list[str]:
    good_ones = state in (State.SUCCEEDED, State.PARTIAL)
    error = None if good_ones else PROBLEM
    with db.write() as session:
        return finish_documents(session, [Finish(claim, state, good_ones, error) for claim in claims])


def through(db: Database, worker: str, document: str, *, pages: int = 2, failed: Sequence[int] = ()) -> None:
    """A document from queued to its end."""
    split(db, worker, [document], pages)
    state = State.SUCCEEDED if not failed else State.FAILED if len(failed) == pages else State.PARTIAL
    assert finish(db, read(db, worker, document, failed=failed), state) == [document]


def job_of(db: Database, job: str) -> JobPublic:
    with db.read() as session:
        return reading.get_job(session, job)


def rows(db: Database, sql: str, **values: Any) -> list[Any]:
    """What lies in the tables, past all of pagemill's own statements."""
    with db.read() as session:
        return list(session.connection().execute(text(sql), values))


def one(db: Database, sql: str, **values: Any) -> Any:
    """The only column of the only row."""
    [[value]] = rows(db, sql, **values)
    return value


def change(db: Database, sql: str, **values: Any) -> None:
    """Put a row into a state that only time or a disaster would bring."""
    with db.write() as session:
        session.connection().execute(text(sql), values)


def states(db: Database, document: str) -> list[str]:
    """The states of its pages, by number."""
    return [r[0] for r in rows(db, "SELECT state FROM page WHERE document_id = :d ORDER BY number", d=document)]


def is_sqlite(db: Database) -> bool:
    return db.engine.dialect.name == "sqlite"


def age_heartbeat(db: Database, worker: str) -> None:
    """As if it had been silent for ten minutes."""
    sqlite, postgresql = "strftime('%Y-%m-%d %H:%M:%f', 'now', '-600 seconds')", "now() - interval '10 minutes'"
    moment = sqlite if is_sqlite(db) else postgresql
    with db.write() as session:
        session.connection().exec_driver_sql(f"UPDATE worker SET heartbeat_at = {moment} WHERE id = '{worker}'")


# --- two at once ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beside:
    """A step on a thread of its own."""

    db: Database
    done: Future[Any]

    def waits(self) -> None:
        """Return when the step stands before a lock that somebody holds. It must not end before that is released.

        PostgreSQL tells us who waits. SQLite does not: there the transaction is the lock, so a moment must do; a step
        that did not wait would be found out by what it does, or by having ended.
        """
        if is_sqlite(self.db):
            threading.Event().wait(0.1)
        else:
            wait_until(lambda: self.done.done() or waiting(self.db), "a session that waits for a lock")
        assert not self.done.done(), f"did not wait: {self.done.exception() or self.done.result()}"

    def result(self) -> Any:
        return self.done.result(60)


def waiting(db: Database) -> int:
    """Sessions of this PostgreSQL database that wait for a lock."""
    return one(db, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                   "AND wait_event_type = 'Lock'")  # fmt: skip


@contextmanager
def beside(db: Database, step: Callable[[], Any]) -> Iterator[Beside]:
    """Run the step on another thread meanwhile; on leaving it has ended."""
    with ThreadPoolExecutor(1) as threads:
        yield Beside(db, threads.submit(step))


# --- stores that notice, and stores that break ------------------------------------------------------------------------


class Noticing(LocalStore):
    """A local store that tells of every write before and after it happens; what it tells may raise."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before: Callable[[str, str], None] = _ignore
        self.after: Callable[[str, str], None] = _ignore
        self.calls: list[tuple[str, str]] = []

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        new = NewObject(key, data, content_type)
        self._around("put", key, lambda: super(Noticing, self).put_all([new]))  # their `put` would ask ours

    def put_all(self, objects: Sequence[NewObject]) -> None:
        for new in objects:
            self.put(*new)

    def copy(self, source: str, target: str) -> None:
        self._around("copy", target, lambda: super(Noticing, self).copy(source, target))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._around("delete", key, lambda key=key: super(Noticing, self).delete([key]))

    def _around(self, verb: str, key: str, call: Callable[[], None]) -> None:
        self.before(verb, key)
        call()
        self.calls.append((verb, key))
        self.after(verb, key)


def _ignore(_verb: str, _key: str) -> None:
    pass


class Interrupted(Database):
    """A database that lets somebody else act after each of our commits."""

    def __init__(self, db: Database, after_commit: Callable[[], None]) -> None:
        super().__init__(db.engine)
        self._after_commit = after_commit

    @contextmanager
    def write(self) -> Iterator[Session]:
        with super().write() as session:
            yield session
        self._after_commit()
