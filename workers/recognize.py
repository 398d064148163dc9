"""Recognize: claim pages, read them all at once, store and record each as it ends.

Chunks of many documents are in flight together; a page that ends early makes room at once, and nothing waits for the
last page of a chunk but the message itself. What an engine raises decides what becomes of the page (rule 7):

    PageError, DocumentError   a value: the page fails, or is tried again later where the error is retryable
    StorageUnavailable, …      the page goes back, uncounted
    EngineUnavailable          the engine is dead: the page goes back with a crash, the worker ends
    NotTaken                   the same, but the page was never inside: no crash for it
    cancellation               the document was canceled (dropped), we stop (goes back), we are dead (dropped)
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from jobs import poison, tracing
from jobs.blobs import BlobMissing
from jobs.errors import (
    DocumentError,
    EngineError,
    EngineUnavailable,
    PageCrashed,
    PageError,
    PagemillError,
    PageRenderFailed,
    PageTimeout,
    ServiceError,
)
from jobs.metrics import Place, Stage
from jobs.poison import Company
from jobs.results import PageOutput
from jobs.settings import LimitSettings
from jobs.store import claiming, ringing
from jobs.store.claiming import ClaimedPage, PageRef
from jobs.store.database import Database
from jobs.store.recording import Outcome
from jobs.vault import Vault
from workers.bundles import Bundles
from workers.deadline import Deadline
from workers.engines.base import Engine, NotTaken
from workers.gate import Gate
from workers.hands import Hands, Hold, hold_of
from workers.loop import EngineLoop
from workers.meter import Meter
from workers.pages import ResultWriter, WorkerPage
from workers.presence import Stay
from workers.recorder import Recorder
from workers.render.lazy import LazyPool
from workers.retries import Backoff
from workers.sources import Sources
from workers.tally import Tally
from workers.trail import Trail, ids_of, on
from workers.turns import Turn, turns_for

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Reader = asyncio.Task[PageOutput | Outcome]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading pages needs; made once by the composition root."""

    db: Database
    engine: Engine
    pool: LazyPool | None
    sources: Sources
    vault: Vault | None
    writer: ResultWriter
    recorder: Recorder
    hands: Hands
    loop: EngineLoop
    threads: Executor
    """Where results are put. Nothing else may wait there: a finished page is kept by no other way."""
    opening: Executor
    """Where pages are opened."""
    limits: LimitSettings
    backoff: Backoff
    max_crashes: int
    wait_for_turn: float
    """Seconds a message waits while the engine has enough to do."""
    worker_id: Callable[[], str]
    on_engine_death: Callable[[EngineUnavailable], None]
    meter: Meter = field(default_factory=Meter)


@dataclass(slots=True)
class _Held:
    """A claimed page on its way through this worker."""

    page: ClaimedPage
    stay: Stay
    ended: Countdown
    begun: float = 0.0
    """When it was given to the recorder."""


class Countdown:
    """Waits until all pages of a message have ended, and knows how. Cheaper than a future for each."""

    def __init__(self, pages: Sequence[ClaimedPage], tally: Tally, turn: Turn) -> None:
        self.tally = tally
        self._turn = turn
        self.trail = Trail(pages)
        self._lock = threading.Lock()
        self._left = len(pages)
        self._zero = threading.Event()
        if not pages:
            self._zero.set()

    def down(self) -> None:
        self._turn.give_back()
        with self._lock:
            self._left -= 1
            if not self._left:
                self._zero.set()

    def wait(self) -> None:
        self._zero.wait()


class Recognizer:
    """Runs `recognize` messages. Thread-safe; one per worker process."""

    def __init__(self, parts: Reading) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._running: dict[Reader, ClaimedPage] = {}
        self._dropped: set[Reader] = set()
        self._gate = Gate()
        self._results = Bundles(parts.threads, self._store, size=parts.writer.bundle)
        self._presence = parts.meter.presence
        self._turns = turns_for(parts.engine.capacity, self._presence.full)
        self._draining = False
        self._handing_back = False

    def run(self, refs: Sequence[PageRef], begun: Callable[[], None] = lambda: None) -> Tally:
        """Claim and read these pages; returns what became of them when all have ended. `begun` is called when it is
        their turn. Raises DatabaseUnavailable.

        When enough pages are being worked on, this message waits a moment and is then taken back: another worker may be
        free, and none of them may keep a thread for as long as a slow page takes.
        """
        turn = self._turns.begin(len(refs), self._parts.wait_for_turn)
        if turn is None:
            self._unring(refs)
            return Tally(refs, busy=True)
        tally = Tally(refs)
        try:
            begun()
            self._run(tally, turn)
            return tally
        finally:
            turn.end()

    @property
    def messages(self) -> int:
        """Messages that have begun and not ended; those that wait for their turn are not among them."""
        return self._turns.begun

    def _unring(self, refs: Sequence[PageRef]) -> None:
        with self._parts.db.write() as session:
            ringing.unring_pages(session, list(refs))

    def _run(self, tally: Tally, turn: Turn) -> None:
        refs = tally.asked
        with self._gate.together():
            self._claim_and_read(refs, tally, turn)
        if tally.claimed == len(refs) or self._draining:
            return
        with self._parts.db.read() as session:
            suspects = claiming.suspects_among(session, refs)
        for company, party in poison.parties(suspects, self._parts.engine.capacity):
            with self._gate.alone():
                self._claim_and_read(party, tally, turn, company)

    def _claim_and_read(
        self, refs: Sequence[PageRef], tally: Tally, turn: Turn, company: Company = Company.ANY
    ) -> None:
        parts = self._parts
        if self._draining:
            self._unring(refs)
            return
        with self._presence.claiming():
            with parts.db.write() as session:
                claimed = claiming.claim_pages(session, parts.worker_id(), refs, company=company)
            self._presence.move(None, Place.CLAIMED, len(claimed))
        parts.hands.take(claimed)
        tally.claim(claimed)
        # Nobody's places, or those of pages that are read alone later, beside which there is nobody.
        turn.give_back(len(refs) - len(claimed))
        ended = Countdown(claimed, tally, turn)
        parts.loop.loop.call_soon_threadsafe(self._begin, claimed, ended)
        ended.wait()
        ended.trail.close()

    def drain(self) -> None:
        """Claim nothing from now on."""
        self._draining = True

    def cancel_documents(self, documents: set[str]) -> None:
        """Abort the pages of canceled documents in the engine; nothing is recorded for them but that we let go."""
        self._cancel(lambda page: page.document.id in documents, drop=False)

    def drop(self, holds: set[Hold]) -> None:
        """Abort pages that are no longer ours, and record nothing for them. Those that just ended are not touched."""
        self._cancel(lambda page: hold_of(page) in holds, drop=True)

    def hand_back_all(self) -> None:
        """Abort everything and give the pages back, uncounted; also those that were claimed a moment ago."""
        self._handing_back = True
        self._cancel(lambda _page: True, drop=False)

    def drop_all(self) -> None:
        """Abort everything and record nothing: the pages are no longer ours."""
        self._cancel(lambda _page: True, drop=True)

    def _cancel(self, chosen: Callable[[ClaimedPage], bool], *, drop: bool) -> None:
        with self._lock:
            tasks = [task for task, page in self._running.items() if chosen(page)]
            if drop:
                self._dropped.update(tasks)
        for task in tasks:
            self._parts.loop.loop.call_soon_threadsafe(task.cancel)

    # --- on the loop: reading

    def _begin(self, claimed: list[ClaimedPage], ended: Countdown) -> None:
        for page in claimed:
            held = _Held(page, Stay(self._presence), ended)
            if self._handing_back:
                held.stay.go(Place.STORING)
                self._record(Outcome(page, "pending"), held)
                continue
            task = asyncio.get_running_loop().create_task(self._read(held))
            with self._lock:
                self._running[task] = page
            task.add_done_callback(partial(self._end, held))

    async def _read(self, held: _Held) -> PageOutput | Outcome:
        """What the engine makes of the page, or how it ended otherwise. Never raises."""
        page = held.page
        with on(page), tracing.within(held.ended.trail.of(page)):
            return await self._result(page, held.stay)

    async def _result(self, page: ClaimedPage, stay: Stay) -> PageOutput | Outcome:
        try:
            return await self._recognize(page, stay)
        except TimeoutError:
            limit = self._parts.limits.page_timeout
            return self._failed(page, PageTimeout(f"not read within {limit:g} seconds", limit=limit))
        except asyncio.CancelledError:
            return Outcome(page, "pending")
        except EngineUnavailable as error:
            return self._engine_died(page, error)
        except (PageError, DocumentError) as error:
            return self._failed(page, error)
        except ServiceError as error:
            return self._put_off(page, error)
        except BlobMissing as error:
            return self._failed(page, PageRenderFailed(f"the source is gone from the store: {error}"))
        except Exception as error:
            log.exception("engine %s raised", self._parts.engine.info.name, extra={"action": "engine_error"})
            return self._failed(page, EngineError(f"{type(error).__name__}: {error}"))

    async def _recognize(self, page: ClaimedPage, stay: Stay) -> PageOutput:
        parts = self._parts
        engine = parts.engine
        deadline = Deadline(parts.limits.page_timeout)
        handle = WorkerPage(
            page, parts.pool, parts.sources, parts.vault, engine.default_dpi, parts.opening, deadline, stay,
            read_there=engine.reads_in_page_half,
        )  # fmt: skip
        stay.go(Place.ENGINE)
        try:
            async with deadline:
                with tracing.span("read", page.document.job_id) as span:
                    output = await engine.recognize(handle)
                    tracing.steps(span, output.result.timings)
                    return output
        finally:
            await handle.release()

    def _end(self, held: _Held, task: Reader) -> None:
        with self._lock:
            del self._running[task]
            dropped = task in self._dropped
            self._dropped.discard(task)
        if dropped or task.cancelled():
            held.stay.go(None)
            held.ended.tally.drop()
            self._settle(held)
            return
        result = task.result()
        held.stay.go(Place.STORING)
        if isinstance(result, Outcome):
            self._record(replace(result, spent=held.stay.spent), held)
        else:
            self._results.add((result, held))

    # --- on a thread of the store: keeping

    def _store(self, read: list[tuple[PageOutput, _Held]]) -> None:
        """From here on a cancel changes nothing: results are put and wait for their commit, whose guard decides."""
        begun = time.perf_counter()
        for output, held in read:
            self._parts.meter.read(output.result.timings, held.stay.inside)
        spans = [tracing.begin("store", held.page.document.job_id, held.ended.trail.of(held.page)) for _, held in read]
        failures = self._parts.writer.put_pages([(held.page, output) for output, held in read])
        for span in spans:
            tracing.end(span)
        seconds = time.perf_counter() - begun
        for (output, held), failure in zip(read, failures, strict=True):
            self._parts.meter.stage(Stage.STORE, seconds)
            self._record(replace(self._kept(held.page, output, failure), spent=held.stay.spent), held)

    def _kept(self, page: ClaimedPage, output: PageOutput, failure: Exception | None) -> Outcome:
        if failure is None:
            return Outcome(page, "succeeded")
        if isinstance(failure, ServiceError):
            return self._put_off(page, failure)
        name = output.result.engine.name
        with on(page):
            extra = {"action": "engine_error"}
            log.error("the result of engine %s cannot be kept", name, exc_info=failure, extra=extra)
        return self._failed(page, EngineError(f"{type(failure).__name__}: {failure}"))

    def _record(self, outcome: Outcome, held: _Held) -> None:
        """The recorder takes it on: it tells where the pages are that it has."""
        if outcome.error is not None:
            _tell(outcome)
        held.ended.tally.end(outcome)
        recording = held.ended.trail.decided(outcome)
        held.begun = time.perf_counter()
        self._parts.recorder.add(outcome, partial(self._recorded, held, recording))

    def _recorded(self, held: _Held, recording: Span | None) -> None:
        self._parts.meter.stage(Stage.RECORD, time.perf_counter() - held.begun)
        self._settle(held, recording)

    def _settle(self, held: _Held, recording: Span | None = None) -> None:
        held.ended.trail.settled(held.page, recording)
        self._parts.hands.put_down([held.page])
        held.ended.down()

    # --- what becomes of a page

    def _failed(self, page: ClaimedPage, error: PagemillError) -> Outcome:
        """A permanent error ends the page; a retryable one puts it off until it has had its tries."""
        problem = _problem(error.at(f"page {page.number}"))
        if not error.retryable or self._parts.backoff.exhausted(page.errors):
            return Outcome(page, "failed", error=problem, errors=1)
        return Outcome(page, "pending", error=problem, errors=1, delay=self._parts.backoff.after(page.errors))

    def _engine_died(self, page: ClaimedPage, error: EngineUnavailable) -> Outcome:
        """Back with the page, for which this counts as a crash where it was inside; the last one ends it."""
        self._parts.on_engine_death(error)
        if isinstance(error, NotTaken):
            return Outcome(page, "pending", error=_problem(error))
        limit = self._parts.max_crashes
        if page.crashes + 1 < poison.last_crash(limit):
            return Outcome(page, "pending", error=_problem(error), crashes=1)
        crashed = PageCrashed(
            f"{limit} engines or workers died while they read this page alone", limit=limit, actual=limit
        )
        return Outcome(page, "failed", error=_problem(crashed.at(f"page {page.number}")), crashes=1)

    def _put_off(self, page: ClaimedPage, error: PagemillError) -> Outcome:
        """A part of the service is away: back with the page, uncounted, for a while."""
        return Outcome(page, "pending", error=_problem(error), delay=self._parts.backoff.first)


def _problem(error: PagemillError) -> dict[str, object]:
    return error.problem().model_dump(exclude_none=True)


def _tell(outcome: Outcome) -> None:
    """A line about a page that failed or is tried again."""
    page, error = outcome.page, outcome.error or {}
    failed = outcome.state == "failed"
    action = "page_failed" if failed else "page_put_off"
    log.log(
        logging.WARNING if failed else logging.INFO, "page %d %s: %s", page.number,
        "failed" if failed else "is tried again", error.get("detail"),
        extra={"action": action, "code": error.get("code"), **ids_of(page)},
    )  # fmt: skip
