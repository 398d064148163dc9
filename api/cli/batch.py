"""The main loop of `pagemill run`: files through the real queue, a bounded number at a time.

Each file is a job. At most `WINDOW` of them exist at once, whatever the number of files: their sources and results lie
in the temporary store only between submitting and fetching.
"""

from __future__ import annotations

import contextlib
import errno
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from api.cli.bars import OpenDocument, Progress
from api.cli.doubts import doubts
from api.cli.output import Staging
from api.cli.plan import Failure, Source
from api.cli.refusals import os_failure, problem_failure
from api.cli.report import document_failures
from api.cli.todo import Tally, Todo, target_of
from jobs import deletion, lifecycle
from jobs.blobs import BlobStore, job_prefix, result_key, upload_key
from jobs.errors import NotFound, OutputForbidden, PagemillError, Problem, StorageFull
from jobs.ids import new_document_id, new_job_id
from jobs.intake import IncomingFile
from jobs.lifecycle import NewDocument
from jobs.models import FINAL, DocumentPublic, JobPublic, PageState, State
from jobs.options import JobOptions
from jobs.settings import LimitSettings
from jobs.store import reading
from jobs.store.database import Database
from jobs.vault import Vault

WINDOW = 64
"""Documents open at once: as many as an engine may have pages in flight."""
WINDOW_BYTES = 1 << 30
"""Bytes of open sources beyond which no further one is opened."""
_PIECE = 1 << 20
_TURN = 0.2
"""Seconds of opening files before the open ones are looked at again."""


@dataclass(slots=True)
class _Open:
    source: Source
    bytes: int
    pages: int = 0
    done: int = 0


@dataclass(slots=True)
class _Entering:
    """A document in the store whose job is about to be entered, until that is known to have happened."""

    source: Source
    job_id: str
    document: NewDocument
    tried: bool = False
    """Whether a submit ended without an answer: the job may exist."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a batch stands on."""

    database: Database
    blobs: BlobStore
    limits: LimitSettings
    vault: Vault


class Batch:
    """Call `step` until it says that everything is done."""

    def __init__(self, todo: Todo, out: Path, options: JobOptions, engine: str, tally: Tally) -> None:
        self._todo = todo
        self._out = out
        self._options = options
        self._engine = engine
        self._tally = tally
        self._open: dict[str, _Open] = {}
        self._entering: _Entering | None = None
        self._pages_per_document = 1.0

    def step(self, ground: Ground, stopped: Callable[[], bool]) -> bool:
        """One round: fetch what is finished, open what there is room for. True when nothing is left."""
        self._look(ground, stopped)
        self._fill(ground, stopped)
        return not self._open and self._entering is None and not self._todo.left

    def progress(self, note: str = "") -> Progress:
        tally, opened = self._tally, list(self._open.values())
        unsplit = sum(1 for document in opened if not document.pages)
        open_pages = sum(document.pages - document.done for document in opened)
        waiting = self._todo.left + (self._entering is not None)
        return Progress(
            documents=tally.finished + len(opened) + waiting,
            finished=tally.finished,
            failed=tally.failed + tally.partial,
            pages=tally.pages + sum(document.done for document in opened),
            pages_ahead=open_pages + (unsplit + waiting) * self._pages_per_document,
            open=[OpenDocument(d.source.name, d.pages, d.done) for d in opened],
            note=note,
        )

    # --- opening

    def _fill(self, ground: Ground, stopped: Callable[[], bool]) -> None:
        until = time.monotonic() + _TURN
        self._enter(ground)
        while self._has_room() and not stopped() and time.monotonic() < until:
            self._todo.advance(until - time.monotonic())
            source = self._todo.take()
            if source is None:
                return
            self._submit(ground, source, stopped)

    def _has_room(self) -> bool:
        taken = sum(document.bytes for document in self._open.values())
        return len(self._open) < WINDOW and (not self._open or taken < WINDOW_BYTES)

    def _submit(self, ground: Ground, source: Source, stopped: Callable[[], bool]) -> None:
        job_id = new_job_id()
        document = self._take_in(ground, source, job_id, stopped)
        if document is None:
            return
        if document.error is not None:
            self._fail(source, [problem_failure(str(source.path), document.error.problem())])
            return
        self._entering = _Entering(source, job_id, document)
        self._enter(ground)

    def _enter(self, ground: Ground) -> None:
        """Make a job of the document that waits for one. After DatabaseUnavailable it still waits."""
        entering = self._entering
        if entering is None:
            return
        if not (entering.tried and _exists(ground, entering.job_id)):
            entering.tried = True
            lifecycle.submit(
                ground.database,
                job_id=entering.job_id,
                options=self._options,
                engine=self._engine,
                documents=[entering.document],
                vault=ground.vault,
            )
        self._open[entering.job_id] = _Open(entering.source, entering.document.bytes)
        self._entering = None

    def _take_in(self, ground: Ground, source: Source, job_id: str, stopped: Callable[[], bool]) -> NewDocument | None:
        """The file into the store. None when it cannot be read (counted as failed) or the user stops the run."""
        document_id = new_document_id()
        key = upload_key(datetime.now(UTC).date(), job_id, document_id)
        name = source.name.encode(errors="replace").decode()
        incoming = IncomingFile(ground.blobs, key, document_id, name, ground.limits.max_file_bytes)
        try:
            if not stat.S_ISREG(source.path.stat().st_mode):
                raise OSError(errno.EINVAL, "this is no regular file")
            with source.path.open("rb") as file:
                while piece := file.read(_PIECE):
                    incoming.write(piece)
                    if incoming.error is not None:
                        break
                    if stopped():
                        incoming.abort(KeyboardInterrupt())
                        return None
            return incoming.close(b"")
        except OSError as error:
            incoming.abort(error)
            self._fail(source, [os_failure(str(source.path), error)])
            return None

    # --- fetching

    def _look(self, ground: Ground, stopped: Callable[[], bool]) -> None:
        if not self._open:
            return
        with ground.database.read() as session:
            jobs = reading.list_jobs(session, limit=2 * WINDOW)
        for job in jobs:
            opened = self._open.get(job.id)
            if opened is None or stopped():
                continue
            opened.pages = job.pages.total
            opened.done = job.pages.succeeded + job.pages.failed
            if job.state in FINAL:
                self._fetch(ground, job, opened.source)

    def _fetch(self, ground: Ground, job: JobPublic, source: Source) -> None:
        """Write the results beside each other under OUT, count the document, forget the job."""
        database = ground.database
        with database.read() as session:
            document = reading.list_documents(session, job.id, limit=1)[0]
            attempt = reading.result_attempt(session, document.id)
        failures = _failures(ground, job, document, source)
        unwritten = self._write(ground, document, attempt, source) if attempt is not None else []
        del self._open[job.id]
        self._count(document, unwritten or failures, source, written=not unwritten)
        with contextlib.suppress(PagemillError):  # the store goes when the run ends
            deletion.delete(database, ground.blobs, job.id)

    def _write(self, ground: Ground, document: DocumentPublic, attempt: int, source: Source) -> list[Failure]:
        """Why the results could not be written, if so. Raises StorageFull."""
        base = target_of(self._out, source).base
        try:
            self._publish(ground, document, attempt, source)
        except OutputForbidden as error:
            return [problem_failure(str(source.path), error.problem())]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"no space left for {base}") from error
            return [os_failure(str(error.filename or base), error, writing=True)]
        return []

    def _count(self, document: DocumentPublic, failures: list[Failure], source: Source, *, written: bool) -> None:
        self._tally.pages += document.pages.succeeded + document.pages.failed
        self._tally.pages_failed += document.pages.failed
        if document.state is State.SUCCEEDED and not failures:
            self._tally.succeeded += 1
        elif document.state is State.PARTIAL and written:
            self._tally.partial += 1
            self._tally.failures += failures
        else:
            self._fail(source, failures)
        read = self._tally.succeeded + self._tally.partial + self._tally.failed
        self._pages_per_document = max(1.0, self._tally.pages / read)

    def _publish(self, ground: Ground, document: DocumentPublic, attempt: int, source: Source) -> None:
        blobs = ground.blobs
        with Staging(target_of(self._out, source)) as staging:
            for filename, path in (("document.md", staging.markdown), ("document.json", staging.json)):
                blobs.download(result_key(document.job_id, document.id, attempt, filename), path)
            for key, name in _figures(ground, document):
                blobs.download(key, staging.figure(name))
            found = doubts(str(source.path), staging.json)
            staging.publish()
        self._tally.doubts += found

    # --- failing

    def _fail(self, source: Source, failures: list[Failure]) -> None:
        detail = "The document ended without a result and without a reason"
        self._tally.fail(*(failures or [Failure(str(source.path), "internal_error", detail)]))


# --- what the database says


def _exists(ground: Ground, job_id: str) -> bool:
    try:
        with ground.database.read() as session:
            reading.get_job(session, job_id)
    except NotFound:
        return False
    return True


def _figures(ground: Ground, document: DocumentPublic) -> Iterator[tuple[str, str]]:
    """Key and name of each figure of the attempts that count; a page read twice has left others beside them."""
    prefix = f"{job_prefix(document.job_id)}{document.id}/figures/"
    winners: set[str] | None = None
    for blob in ground.blobs.list(prefix):
        if winners is None:
            with ground.database.read() as session:
                finished = reading.all_finished_pages(session, document.id)
                winners = {f"{p.number}.{p.attempt}" for p in finished if p.state is PageState.SUCCEEDED}
        attempt, _, name = blob.key.removeprefix(prefix).partition("/")
        if attempt in winners:
            yield blob.key, name


def _failures(ground: Ground, job: JobPublic, document: DocumentPublic, source: Source) -> list[Failure]:
    """The document's own error, or its failed pages by what ails them."""
    with ground.database.read() as session:
        pages = reading.all_finished_pages(session, document.id) if document.pages.failed else ()
        failed = [
            (page.number, Problem.model_validate(page.error))
            for page in pages
            if page.state is PageState.FAILED and page.error is not None
        ]
    return document_failures(str(source.path), failed, document.error or job.error)
