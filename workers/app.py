"""The composition root of a worker process: engine up once, engine down once.

Order of start: the listener for metrics, slot, engine (loaded and warm before anything is taken), row, stages
(workers/wiring.py), heartbeat, tick; then Celery's consumer (workers/consumer.py). Whatever was opened is closed in the
opposite order.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from jobs import dispatch
from jobs.blobs import Places, open_store
from jobs.errors import DatabaseUnavailable, EngineUnavailable
from jobs.ids import new_worker_id
from jobs.inbox import open_inboxes
from jobs.queue import Doorbell, make_app
from jobs.reuse import reader_of
from jobs.settings import environment
from jobs.slots import HANDED, take_slot
from jobs.store import workers as worker_rows
from jobs.store.database import open_database
from jobs.store.workers import Registration
from workers.config import Settings
from workers.engines import build_engine
from workers.engines.base import Engine
from workers.hands import Hands
from workers.incarnation import Incarnation
from workers.loop import EngineLoop
from workers.meter import Meter
from workers.monitor import Monitor
from workers.pace import Pace
from workers.presence import Life
from workers.recognize import Recognizer
from workers.render.lazy import LazyPool
from workers.tick import Tick, rescue_rules
from workers.watchdog import Watchdog
from workers.wiring import Opened, Wiring

log = logging.getLogger(__name__)


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
        self.meter = Meter(reads="recognize" in settings.purposes)
        self.monitor = Monitor(settings.metrics, self.meter, settings.timers.scaled("heartbeat_stale"))
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
        self.monitor.live(Life.DRAINING)
        if self.recognizer is not None:
            self.recognizer.drain()
        threading.Thread(target=self.incarnation.set_state, args=("draining",), name="draining", daemon=True).start()

    def hand_back(self) -> None:
        """The grace time is over: give back what runs. Blocks until documents being opened are given up."""
        self.stopping.set()
        if self.recognizer is not None:
            self.recognizer.hand_back_all()
        self.wiring.inspections.close()

    def _start(self) -> None:
        settings = self.settings
        stack = self._stack
        stack.callback(self.monitor.stop)
        self.monitor.start()
        self.db = open_database(settings.database)
        stack.callback(self.db.dispose)
        with suppress(DatabaseUnavailable):  # it may be back when the engine is up
            self.db.require_schema()
        self.blobs = open_store(settings.blobs)
        self.inboxes = open_inboxes(settings.inbox, settings.blobs)
        self.places = Places(settings.blobs)
        stack.callback(self.places.close)
        who = settings.worker
        self.slot = take_slot(who.host, settings.engine.device, who.slot, settings.scope, environment().get(HANDED))
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
            settings.metrics.price,
        )
        self.wiring = Wiring(self._opened(), self.engine, pool, stack)
        self.recognizer = self.wiring.recognizer
        stack.callback(self.incarnation.stop)
        self.incarnation.start()
        stack.callback(self.tick.stop)
        self.tick.start()
        self.wiring.watch_inboxes()
        if self.engine is not None:
            self._start_watchdog()

    def _start_listings(self) -> None:
        self.wiring.listings.start()

    def _who(self) -> dict[str, str]:
        info = self.engine.info if self.engine else None
        return {
            "worker": self.worker_id,
            "host": self.settings.worker.host,
            "slot": self.slot.name,
            "engine": info.name if info else "",
            "model": info.model if info else "",
        }

    def _opened(self) -> Opened:
        return Opened(
            self.settings, self.db, self.blobs, self.places, self.inboxes, self.slot, self.celery, self.tick, self.loop,
            self.hands, self.pace, self.meter, self.stopping, lambda: self.worker_id, self._engine_died,
        )  # fmt: skip

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
        self.monitor.watchdog = watchdog

    def _engine_died(self, error: EngineUnavailable) -> None:
        self.monitor.live(Life.BROKEN, str(error))
        self._on_engine_death(error)

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
        self.monitor.has_engine(engine, settings.engine)
        if engine.page_half is None:
            return None
        processes = settings.engine.render_processes or len(os.sched_getaffinity(0))
        pool = LazyPool(processes, engine.page_half, settings.engine.without_secrets(), settings.limits)
        self._stack.callback(pool.close)
        if engine.renders_always:
            pool.start()
        return pool

    def _leave_reason(self, error: EngineUnavailable) -> None:
        self.monitor.live(Life.BROKEN, str(error))
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
            on_beat=self.monitor.beat,
        )
        self.incarnation.register()
        self.monitor.beat()
        self.meter.who = self._who
        # A predecessor in our slot is dead from now on; its pages need not wait for the next rescue (rule 6).
        dispatch.take_back(self.db, rescue_rules(self.settings.timers, self.settings.worker.max_crashes))
        self._stack.callback(lambda: self.incarnation.set_state("stopped"))
