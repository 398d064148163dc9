"""The stages of a worker process and what feeds them: made once by workers/app.py, closed with its stack.

They close the other way round: recorder, assemblies, threads, files.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from celery import Celery

from jobs.blobs import BlobStore, Places
from jobs.blobs.buckets import own_places
from jobs.errors import EngineUnavailable
from jobs.hints import HintList
from jobs.inbox import Inbox, open_options
from jobs.metrics import Stage
from jobs.models import KeyGrants
from jobs.slots import HeldSlot
from jobs.store.database import Database
from jobs.store.recording import Recorded
from jobs.vault import open_vault
from workers.assemble import Assembler, AssemblyLine
from workers.config import Settings
from workers.deliver import LEASE as PURGE_LEASE
from workers.deliver import Purger
from workers.engines.base import Engine
from workers.fetch import THREADS as FETCH_THREADS
from workers.fetch import Fetcher
from workers.hands import Hands
from workers.inbox import LEASE, InboxWatch
from workers.listing import Lister, Listings, Reach
from workers.loop import EngineLoop
from workers.meter import Meter
from workers.originals import Originals
from workers.outbound import Outbound
from workers.pace import Pace
from workers.pages import RecentResults, ResultWriter
from workers.publish import Publisher
from workers.recognize import Reading, Recognizer
from workers.recorder import Recorder
from workers.render.lazy import LazyPool
from workers.retries import backoff_of
from workers.reuse import Reuser
from workers.scan import CLAIM, Scanner
from workers.sources import Sources
from workers.split import Splitter
from workers.tally import Tally
from workers.tasks import Stages
from workers.tick import Tick
from workers.webhooks import Courier

PATIENCE = 120.0
"""Seconds for which finished pages are kept while the store or the database is away (rule 12)."""
STORE_THREADS = 16
OPEN_THREADS = 4
"""Opening a page takes microseconds where its file is here; what takes longer, starting the processes or a disk that
hangs, holds up every page alike."""
PUBLISH_THREADS = 8
INSPECTORS = 2
"""Processes that open documents: one that takes its whole deadline leaves the other."""
WAIT_FOR_TURN = 3.0
"""Seconds a message waits for its turn: fewer than `rescue_every`, after which an unclaimed ring counts as lost."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker process has opened before its stages are wired."""

    settings: Settings
    db: Database
    blobs: BlobStore
    places: Places
    inboxes: tuple[Inbox, ...]
    slot: HeldSlot
    celery: Celery
    tick: Tick
    loop: EngineLoop
    hands: Hands
    pace: Pace
    meter: Meter
    stopping: threading.Event
    worker_id: Callable[[], str]
    on_engine_death: Callable[[EngineUnavailable], None]


class Wiring:
    """Wires the stages as it is made; what they hold is closed with `stack`."""

    def __init__(self, opened: Opened, engine: Engine | None, pool: LazyPool | None, stack: ExitStack) -> None:
        """`engine` and `pool`: None where this worker reads no pages, or its engine renders none. Raises
        InvalidRequest for a setting that cannot be used."""
        self._opened = opened
        self._stack = stack
        self.stages = self._build_stages(engine, pool)

    def _build_stages(self, engine: Engine | None, pool: LazyPool | None) -> Stages:
        opened = self._opened
        settings = opened.settings
        self._backoff = backoff_of(settings.timers, settings.worker)
        self._vault = open_vault(settings.secrets)
        self._sources = Sources(
            opened.blobs, self._scratch(), settings.worker.scratch_bytes, partial(opened.meter.stage, Stage.FETCH)
        )
        self._stack.callback(self._sources.close)
        recent = RecentResults()
        writer = ResultWriter(opened.blobs, recent, self._patience, opened.stopping)
        assembler = Assembler(
            opened.db, opened.blobs, writer, recent, self._backoff, opened.hands, self._threads("assemble"),
            opened.worker_id, settings.metrics.price, opened.meter,
        )  # fmt: skip
        self.recognizer = self._build_recognizer(engine, pool, writer, assembler) if engine else None
        self.listings = self._build_listings(assembler)
        return Stages(
            recognize=self.recognizer.run if self.recognizer else _refuse,
            fetch=self._build_fetcher(assembler).run,
            split=self._build_splitter(assembler).run,
            assemble=assembler.run,
            purge=self._build_purger().run,
            webhook=self._build_courier().run,
            publish=self._build_publisher().run,
        )

    def _build_purger(self) -> Purger:
        opened = self._opened
        purger = Purger(opened.db, opened.blobs, PURGE_LEASE / opened.settings.timers.time_factor)
        self._stack.callback(purger.close)
        return purger

    def _build_publisher(self) -> Publisher:
        opened = self._opened
        originals = Originals(opened.db, opened.places, opened.inboxes)
        threads = self._threads("publish", PUBLISH_THREADS)
        return Publisher(opened.db, opened.blobs, opened.places, originals, threads, opened.stopping)

    def watch_inboxes(self) -> None:
        """Where there are any, and this worker is one that reaches out."""
        opened = self._opened
        settings = opened.settings
        if not opened.inboxes or "deliver" not in settings.purposes:
            return
        scanner = Scanner(
            opened.db, opened.blobs, opened.places, opened.inboxes, settings.inbox, settings.limits,
            open_options(settings.inbox), settings.engine.name, self._vault,
            self._threads("inbox", settings.inbox.inbox_threads), CLAIM / settings.timers.time_factor,
        )  # fmt: skip
        hints = HintList(opened.celery, settings.broker.broker_prefix, settings.inbox.inbox_events_list)
        every, lease = (seconds / settings.timers.time_factor for seconds in (settings.inbox.inbox_sweep_every, LEASE))
        watch = InboxWatch(opened.db, scanner, hints, every=every, lease=lease)
        self._stack.callback(watch.stop)
        watch.start()

    @property
    def _patience(self) -> float:
        return PATIENCE / self._opened.settings.timers.time_factor

    def _threads(self, name: str, number: int = STORE_THREADS) -> ThreadPoolExecutor:
        threads = ThreadPoolExecutor(number, name)
        self._stack.callback(threads.shutdown)
        return threads

    def _build_fetcher(self, assembler: Assembler) -> Fetcher:
        opened = self._opened
        return Fetcher(
            opened.db, opened.blobs, opened.places, Outbound(opened.settings.outbound), self._reach,
            opened.settings.limits, self._backoff, opened.hands, self._threads("fetch", FETCH_THREADS),
            opened.stopping, opened.worker_id, on_fetched=opened.tick.wake, on_ended=assembler.close,
        )  # fmt: skip

    def _build_listings(self, assembler: Assembler) -> Listings:
        opened = self._opened
        settings = opened.settings
        granted = KeyGrants.model_validate(settings.access.listed)
        self._reach = Reach(granted, own_places(settings.blobs), settings.access.web_sources)
        self._reach.of(opened.db, "")  # a typo is told now
        lister = Lister(
            opened.db, opened.blobs, opened.places, settings.limits, self._reach, self._backoff,
            on_entered=opened.tick.wake, on_sealed=assembler.close, stopping=opened.stopping,
        )  # fmt: skip
        listings = Listings(lister)
        self._stack.callback(listings.stop)
        return listings

    def _build_courier(self) -> Courier:
        opened = self._opened
        timers = opened.settings.timers
        courier = Courier(
            opened.db, self._vault, Outbound(opened.settings.outbound),
            timeout=timers.scaled("webhook_timeout"), time_factor=timers.time_factor,
        )  # fmt: skip
        self._stack.callback(courier.close)
        return courier

    def _build_splitter(self, assembler: Assembler) -> Splitter:
        opened = self._opened
        settings = opened.settings
        self.inspections = LazyPool(INSPECTORS, None, settings.engine, settings.limits)
        self._stack.callback(self.inspections.close)
        return Splitter(
            opened.db, self.inspections, self._sources, self._vault, self._build_reuser(assembler), settings.limits,
            self._backoff, opened.hands, opened.worker_id, on_split=opened.tick.wake, on_ended=assembler.close,
            meter=opened.meter,
        )  # fmt: skip

    def _build_reuser(self, assembler: Assembler) -> Reuser:
        opened = self._opened
        return Reuser(
            opened.db, opened.blobs, opened.settings.limits, self._backoff, self._threads("copy"), opened.stopping,
            opened.worker_id, on_assemblies=assembler.assemble,
        )  # fmt: skip

    def _build_recognizer(
        self, engine: Engine, pool: LazyPool | None, writer: ResultWriter, assembler: Assembler
    ) -> Recognizer:
        opened = self._opened
        settings = opened.settings
        storing, opening = self._threads("store"), self._threads("open", OPEN_THREADS)
        line = AssemblyLine(assembler, opened.hands)
        self._stack.callback(line.stop)
        line.start()
        recorder = Recorder(
            opened.db, opened.worker_id, patience=self._patience, capacity=engine.capacity,
            on_assemblies=line.add, on_recorded=self._on_recorded, presence=opened.meter.presence,
        )  # fmt: skip
        self._stack.callback(recorder.stop)
        recorder.start()
        self._watch(engine)
        parts = Reading(
            opened.db, engine, pool, self._sources, self._vault, writer, recorder, opened.hands, opened.loop, storing,
            opening, settings.limits, self._backoff, settings.worker.max_crashes,
            WAIT_FOR_TURN / settings.timers.time_factor, opened.worker_id, opened.on_engine_death, opened.meter,
        )  # fmt: skip
        return Recognizer(parts)

    def _on_recorded(self, recorded: Recorded) -> None:
        self._opened.pace.add(sum(outcome.state != "pending" for outcome in recorded.kept))
        self._opened.meter.recorded(recorded)
        self._opened.tick.wake_soon()

    def _watch(self, engine: Engine) -> None:
        """An engine that dies while it has no page ends the worker as well."""

        async def watch() -> None:
            try:
                await engine.watch()
            except EngineUnavailable as error:
                self._opened.on_engine_death(error)

        watching = self._opened.loop.spawn(watch())
        self._stack.callback(watching.cancel)

    def _scratch(self) -> Path:
        """The slot's own directory: a new incarnation finds what a killed one left there, and no other worker does."""
        parent = self._opened.settings.worker.scratch or Path(tempfile.gettempdir())
        return parent / f"pagemill-sources-{os.getuid()}-{self._opened.slot.unique}"


def _refuse(_refs: object, _begun: object) -> Tally:
    raise EngineUnavailable("this worker serves no engine", where="PAGEMILL_QUEUES")
