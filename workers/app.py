"""The composition root of a worker process: engine up once, engine down once.

Order of start: slot, engine (loaded and warm before anything is taken), row, stages, heartbeat, tick; then Celery's
consumer (workers/consumer.py). Whatever was opened is closed in the opposite order.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from jobs import dispatch
from jobs.blobs import Places, open_store
from jobs.blobs.buckets import own_places
from jobs.errors import EngineUnavailable
from jobs.hints import HintList
from jobs.ids import new_worker_id
from jobs.inbox import open_inboxes, open_options
from jobs.models import KeyGrants
from jobs.queue import Doorbell, make_app
from jobs.reuse import reader_of
from jobs.store import workers as worker_rows
from jobs.store.database import open_database
from jobs.store.workers import Registration
from jobs.vault import open_vault
from workers.assemble import Assembler, AssemblyLine
from workers.config import Settings
from workers.deliver import Purger
from workers.engines import build_engine
from workers.engines.base import Engine
from workers.fetch import THREADS as FETCH_THREADS
from workers.fetch import Fetcher
from workers.hands import Hands
from workers.inbox import LEASE, InboxWatch
from workers.incarnation import Incarnation
from workers.listing import Lister, Listings, Reach
from workers.loop import EngineLoop
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
from workers.slots import take_slot
from workers.sources import Sources
from workers.split import Splitter
from workers.tally import Tally
from workers.tasks import Stages
from workers.tick import Tick, rescue_rules
from workers.watchdog import Watchdog
from workers.webhooks import Courier

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds for which finished pages are kept while the store or the database is away (rule 12)."""
STORE_THREADS = 16
PUBLISH_THREADS = 8
INSPECTORS = 2
"""Processes that open documents: one that takes its whole deadline leaves the other."""
WAIT_FOR_TURN = 3.0
"""Seconds a message waits for its turn: fewer than `rescue_every`, after which an unclaimed ring counts as lost."""


class WorkerProcess:
    """Everything a worker process owns. Use as a context manager; entering starts it, leaving closes it."""

    def __init__(
        self,
        settings: Settings,
        on_engine_death: Callable[[EngineUnavailable], None],
        on_drain: Callable[[], None],
        on_stall: Callable[[float], None],
        on_memory: Callable[[int], None],
    ) -> None:
        """`on_engine_death` is called from the engine's loop and must end the process soon; `on_drain` from the
        heartbeat, again and again, and must let it finish what it holds. For the two others: workers/watchdog.py."""
        self.settings = settings
        self._on_stall, self._on_memory = on_stall, on_memory
        self._on_drain = on_drain
        self._on_engine_death = on_engine_death
        self._stack = ExitStack()
        self.stopping = threading.Event()
        """Set when we end: nobody is patient any more."""
        self.idle = threading.Event()
        """Set when nothing runs any more and closing begins."""
        self.closed = threading.Event()
        self.hands = Hands()
        self.pace = Pace()
        self.loop = EngineLoop()
        self.engine: Engine | None = None
        self.recognizer: Recognizer | None = None

    def __enter__(self) -> Self:
        """Raises EngineUnavailable, DatabaseUnavailable, InvalidRequest; what was opened is closed again."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self.idle.set()
        self._stack.close()
        self.closed.set()

    @property
    def worker_id(self) -> str:
        return self.incarnation.id

    def drain(self) -> None:
        """Claim nothing from now on. Waits for nobody, not even for the database that is to know it."""
        if self.recognizer is not None:
            self.recognizer.drain()
        threading.Thread(target=self.incarnation.set_state, args=("draining",), name="draining", daemon=True).start()

    def hand_back(self) -> None:
        """The grace time is over: give back what runs. Blocks until documents being opened are given up."""
        self.stopping.set()
        if self.recognizer is not None:
            self.recognizer.hand_back_all()
        self.inspections.close()

    def _start(self) -> None:
        settings = self.settings
        stack = self._stack
        self.db = open_database(settings.database)
        stack.callback(self.db.dispose)
        self.blobs = open_store(settings.blobs)
        self.inboxes = open_inboxes(settings.inbox, settings.blobs)
        self.places = Places(settings.blobs)
        stack.callback(self.places.close)
        self.slot = take_slot(settings.worker.host, settings.engine.device, settings.worker.slot, settings.scope)
        stack.callback(self.slot.release)
        pool = self._start_engine() if "recognize" in settings.purposes else None
        self._register()
        self.celery = make_app(settings.broker)
        stack.callback(self.celery.close)
        self.tick = Tick(
            self.db,
            self.blobs,
            Doorbell(self.celery),
            settings.timers,
            rescue_rules(settings.timers, settings.worker.max_crashes),
            lambda: self.worker_id,
            settings.limits,
            self._start_listings,
        )
        self.stages = self._build_stages(pool)
        stack.callback(self.incarnation.stop)
        self.incarnation.start()
        stack.callback(self.tick.stop)
        self.tick.start()
        self._watch_inboxes()
        if self.engine is not None:
            self._start_watchdog()

    def _start_watchdog(self) -> None:
        """Once the engine is warm: what it loads may keep its loop busy for long."""
        worker = self.settings.worker
        watchdog = Watchdog(
            self.loop.loop,
            stall=worker.stall_timeout,
            memory=worker.worker_memory,
            on_stall=self._on_stall,
            on_memory=self._on_memory,
        )
        self._stack.callback(watchdog.stop)
        watchdog.start()

    def _start_engine(self) -> LazyPool | None:
        """Load and warm up; where that fails, leave a row that says why this worker takes no work."""
        try:
            return self._load_engine()
        except EngineUnavailable as error:
            self._leave_reason(error)
            raise
        except Exception as error:
            # The edge of foreign code: whatever a model's libraries raise means that there is no engine.
            log.exception("the engine cannot start", extra={"action": "engine_failed"})
            unavailable = EngineUnavailable(f"{type(error).__name__}: {error}", where="PAGEMILL_ENGINE")
            self._leave_reason(unavailable)
            raise unavailable from error

    def _load_engine(self) -> LazyPool | None:
        settings = self.settings
        engine = build_engine(settings.engine)
        self._stack.callback(self.loop.stop)
        self.loop.start()
        self._stack.callback(engine.close)
        engine.start()
        self.loop.run(engine.warm_up())
        self.engine = engine
        if engine.page_half is None:
            return None
        processes = settings.engine.render_processes or len(os.sched_getaffinity(0))
        pool = LazyPool(processes, engine.page_half, settings.engine.without_secrets(), settings.limits)
        self._stack.callback(pool.close)
        if engine.renders_always:
            pool.start()
        return pool

    def _leave_reason(self, error: EngineUnavailable) -> None:
        registration = replace(self._registration(), engine=self.settings.engine.name, capacity=0)
        with self.db.write() as session:
            worker_rows.register(session, registration)
            worker_rows.set_state(session, registration.id, "stopped", str(error))

    def _registration(self) -> Registration:
        return Registration(
            id=new_worker_id(),
            host=self.settings.worker.host,
            slot=self.slot.name,
            pid=os.getpid(),
            engine=self.engine.info.name if self.engine else "",
            capacity=self.engine.capacity if self.engine else 0,
            reader=reader_of(self.engine.info, self.settings.engine, self.settings.limits) if self.engine else None,
        )

    def _register(self) -> None:
        self.incarnation = Incarnation(
            self.db,
            self._registration(),
            self.hands,
            every=self.settings.timers.scaled("heartbeat_every"),
            on_canceled=lambda documents: self.recognizer.cancel_documents(documents) if self.recognizer else None,
            on_taken=lambda holds: self.recognizer.drop(holds) if self.recognizer else None,
            on_replaced=lambda: self.recognizer.drop_all() if self.recognizer else None,
            on_drain=self._on_drain,
            pace=lambda: self.pace.measured(busy=bool(self.hands.holds())),
        )
        self.incarnation.register()
        # A predecessor in our slot is dead from now on; its pages need not wait for the next rescue (rule 6).
        dispatch.take_back(self.db, rescue_rules(self.settings.timers, self.settings.worker.max_crashes))
        self._stack.callback(lambda: self.incarnation.set_state("stopped"))

    def _build_stages(self, pool: LazyPool | None) -> Stages:
        """Wire the stages. They close the other way round: recorder, assemblies, threads, files."""
        settings = self.settings
        self._backoff = backoff_of(settings.timers, settings.worker)
        self._vault = open_vault(settings.secrets)
        self._sources = Sources(self.blobs, self._scratch(), settings.worker.scratch_bytes)
        self._stack.callback(self._sources.close)
        recent = RecentResults()
        writer = ResultWriter(self.blobs, recent, self._patience, self.stopping)
        assembler = Assembler(
            self.db, self.blobs, writer, recent, self._backoff, self.hands, self._threads("assemble"),
            lambda: self.worker_id,
        )  # fmt: skip
        self.recognizer = self._build_recognizer(self.engine, pool, writer, assembler) if self.engine else None
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
        purger = Purger(self.db, self.blobs)
        self._stack.callback(purger.close)
        return purger

    def _build_publisher(self) -> Publisher:
        originals = Originals(self.db, self.places, self.inboxes)
        threads = self._threads("publish", PUBLISH_THREADS)
        return Publisher(self.db, self.blobs, self.places, originals, threads, self.stopping)

    def _watch_inboxes(self) -> None:
        """Where there are any, and this worker is one that reaches out."""
        if not self.inboxes or "deliver" not in self.settings.purposes:
            return
        settings = self.settings
        scanner = Scanner(
            self.db, self.blobs, self.places, self.inboxes, settings.inbox, settings.limits,
            open_options(settings.inbox), settings.engine.name, self._vault,
            self._threads("inbox", settings.inbox.inbox_threads), CLAIM / settings.timers.time_factor,
        )  # fmt: skip
        hints = HintList(self.celery, settings.broker.broker_prefix, settings.inbox.inbox_events_list)
        every, lease = (seconds / settings.timers.time_factor for seconds in (settings.inbox.inbox_sweep_every, LEASE))
        watch = InboxWatch(self.db, scanner, hints, every=every, lease=lease)
        self._stack.callback(watch.stop)
        watch.start()

    @property
    def _patience(self) -> float:
        return PATIENCE / self.settings.timers.time_factor

    def _threads(self, name: str, number: int = STORE_THREADS) -> ThreadPoolExecutor:
        threads = ThreadPoolExecutor(number, name)
        self._stack.callback(threads.shutdown)
        return threads

    def _start_listings(self) -> None:
        self.listings.start()

    def _build_fetcher(self, assembler: Assembler) -> Fetcher:
        settings = self.settings
        return Fetcher(
            self.db, self.blobs, self.places, Outbound(settings.outbound), self._reach, settings.limits, self._backoff,
            self.hands, self._threads("fetch", FETCH_THREADS), self.stopping, lambda: self.worker_id,
            on_fetched=self.tick.wake, on_ended=assembler.close,
        )  # fmt: skip

    def _build_listings(self, assembler: Assembler) -> Listings:
        settings = self.settings
        granted = KeyGrants.model_validate(settings.access.listed)
        self._reach = Reach(granted, own_places(settings.blobs), settings.access.web_sources)
        self._reach.of(self.db, "")  # a typo is told now
        lister = Lister(
            self.db, self.blobs, self.places, settings.limits, self._reach, self._backoff, on_entered=self.tick.wake,
            on_sealed=assembler.close, stopping=self.stopping,
        )  # fmt: skip
        listings = Listings(lister)
        self._stack.callback(listings.stop)
        return listings

    def _build_courier(self) -> Courier:
        timers = self.settings.timers
        courier = Courier(
            self.db, self._vault, Outbound(self.settings.outbound),
            timeout=timers.scaled("webhook_timeout"), time_factor=timers.time_factor,
        )  # fmt: skip
        self._stack.callback(courier.close)
        return courier

    def _build_splitter(self, assembler: Assembler) -> Splitter:
        self.inspections = LazyPool(INSPECTORS, None, self.settings.engine, self.settings.limits)
        self._stack.callback(self.inspections.close)
        return Splitter(
            self.db, self.inspections, self._sources, self._vault, self._build_reuser(assembler), self.settings.limits,
            self._backoff, self.hands, lambda: self.worker_id, on_split=self.tick.wake, on_ended=assembler.close,
        )  # fmt: skip

    def _build_reuser(self, assembler: Assembler) -> Reuser:
        return Reuser(
            self.db, self.blobs, self.settings.limits, self._backoff, self._threads("copy"), self.stopping,
            lambda: self.worker_id, on_assemblies=assembler.assemble,
        )  # fmt: skip

    def _build_recognizer(
        self, engine: Engine, pool: LazyPool | None, writer: ResultWriter, assembler: Assembler
    ) -> Recognizer:
        threads = self._threads("store")
        line = AssemblyLine(assembler, self.hands)
        self._stack.callback(line.stop)
        line.start()
        recorder = Recorder(
            self.db, lambda: self.worker_id, patience=self._patience, on_assemblies=line.add,
            on_recorded=self._on_recorded,
        )  # fmt: skip
        self._stack.callback(recorder.stop)
        recorder.start()
        self._watch(engine)
        parts = Reading(
            self.db, engine, pool, self._sources, self._vault, writer, recorder, self.hands, self.loop, threads,
            self.settings.limits, self._backoff, self.settings.worker.max_crashes,
            WAIT_FOR_TURN / self.settings.timers.time_factor, lambda: self.worker_id, self._on_engine_death,
        )  # fmt: skip
        return Recognizer(parts)

    def _on_recorded(self, pages: int) -> None:
        self.pace.add(pages)
        self.tick.wake()

    def _watch(self, engine: Engine) -> None:
        """An engine that dies while it has no page ends the worker as well."""

        async def watch() -> None:
            try:
                await engine.watch()
            except EngineUnavailable as error:
                self._on_engine_death(error)

        watching = self.loop.spawn(watch())
        self._stack.callback(watching.cancel)

    def _scratch(self) -> Path:
        """The slot's own directory: a new incarnation finds what a killed one left there, and no other worker does."""
        parent = self.settings.worker.scratch or Path(tempfile.gettempdir())
        return parent / f"pagemill-sources-{os.getuid()}-{self.slot.unique}"


def _refuse(_refs: object, _begun: object) -> Tally:
    raise EngineUnavailable("this worker serves no engine", where="PAGEMILL_QUEUES")
