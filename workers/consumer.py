"""Celery's consumer around a worker process, and what signals do to it.

First SIGTERM or SIGINT: nothing new is claimed, what runs may finish within the grace time, the rest is handed back,
exit 0. A second one exits at once. A drain asked for in the database (`pagemill drain`) is a first SIGTERM without a
grace time; the signal that comes after it begins one. An engine that died ends the process with ENGINE_DIED once its
pages are back.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from celery import Celery
from celery.apps import worker as celery_worker
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from jobs.dispatch import WINDOW, chunk_size
from jobs.errors import EngineUnavailable
from jobs.queue import queue_named, recognize_queue
from jobs.readable import node_name
from workers.app import WorkerProcess
from workers.config import Settings
from workers.events import PacedConsumer
from workers.presence import Life
from workers.tasks import add_tasks
from workers.turns import full_messages, message_limit

log = logging.getLogger(__name__)

ENGINE_DIED = 70
"""Exit status of a worker whose engine died (EX_SOFTWARE); its supervisor starts it again."""
OVER_MEMORY = 75
"""Exit status of a worker that drained because it had too much memory (EX_TEMPFAIL)."""
STAGE_THREADS = 4
"""Threads beside those for pages: splits, assemblies, purges."""
HANDING_BACK = 10.0
"""Seconds that handing back may take after the engine died or the grace time ended."""
_LISTEN = 0.2
"""Seconds between two looks whether a drain has become urgent."""
LAST_WORD = 5.0
"""Seconds for a worker that leaves without order to say so in its row."""


class Consumer:
    """Runs one worker process to its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ending = threading.Lock()
        self._exit_code = 0
        self._process: WorkerProcess | None = None
        self._ready = threading.Event()
        self._draining = threading.Event()
        self._hurried = threading.Event()

    def run(self) -> int:
        """Blocks until told to end; returns the exit status. Raises what starting raises."""
        with WorkerProcess(self._settings, self._engine_died, self._drain, self._stalled, self._over_memory) as process:
            self._process = process
            self._consume(process)
        return self._exit_code

    def _consume(self, process: WorkerProcess) -> None:
        app = process.celery
        queues = queue_names(self._settings)
        app.conf.task_queues = [queue_named(name) for name in queues]
        add_tasks(app, process.wiring.stages)
        worker_shutting_down.connect(self._shutting_down, weak=False)
        worker_ready.connect(self._consuming, weak=False)
        setup_logging.connect(_keep_logging, weak=False)
        celery_worker.safe_say = _say_stacks_only
        engine = process.engine.info.name if process.engine else ""
        name = node_name(engine, process.slot.name, self._settings.worker.host)
        log.info("worker %s serves %s as %s", process.worker_id, ", ".join(queues), name, extra={"action": "ready"})
        worker = worker_class(app, process)(
            pool="threads",
            concurrency=thread_count(process.engine.capacity if process.engine else 0),
            queues=queues,
            hostname=name,
            without_gossip=True,
            without_mingle=True,
            task_events=True,
            quiet=True,
            consumer_cls=PacedConsumer,
        )
        worker.start()
        self._exit_code = self._exit_code or int(worker.exitcode or 0)

    def _consuming(self, **_: Any) -> None:
        """Celery's signal handlers are in place."""
        self._ready.set()
        if self._process is not None:
            self._process.monitor.live(Life.SERVING)

    def _drain(self) -> None:
        """From the heartbeat: somebody wants this worker to end, and not in haste."""
        if self._ready.is_set() and not self._draining.is_set() and not self._ending.locked():
            self._draining.set()
            log.info("asked to drain: ending after what is held", extra={"action": "drain"})
            os.kill(os.getpid(), signal.SIGTERM)

    def _over_memory(self, used: int) -> None:
        """From the watchdog: end as after a drain, with a status that has a supervisor start us again."""
        if not self._exit_code:
            limit = self._settings.worker.worker_memory
            log.error("%d bytes of memory, the limit is %s: draining", used, limit, extra={"action": "over_memory"})
            self._exit_code = OVER_MEMORY
        self._drain()

    def _stalled(self, seconds: float) -> None:
        """From the watchdog: nothing can be handed back, the loop would have to do it. As a death it counts for the
        pages that were inside (rule 7): one that does this each time must end some day."""
        log.critical("the engine's loop has stood still for %g s: ending", seconds, extra={"action": "stalled"})
        os._exit(ENGINE_DIED)

    def _shutting_down(self, **_: Any) -> None:
        """Celery heard the first signal; it stops consuming and waits for the threads."""
        _on_signals(self._hurry if self._draining.is_set() else _exit_at_once)
        threading.Thread(target=self._end, name="shutdown", daemon=True).start()

    def _end(self) -> None:
        process = self._process
        if process is None or not self._ending.acquire(blocking=False):
            return
        grace = self._settings.timers.scaled("grace")
        if not self._draining.is_set():
            log.info("told to end: what is held may take %g s", grace, extra={"action": "ending"})
        process.drain()
        while self._draining.is_set() and not self._hurried.is_set() and not process.idle.wait(_LISTEN):
            pass  # no grace time: pages and documents have deadlines of their own
        if not process.idle.wait(grace):
            log.warning("grace time of %g s is over, handing pages back", grace, extra={"action": "grace_over"})
            process.hand_back()
        if not process.closed.wait(HANDING_BACK):
            log.warning("something does not end, leaving it", extra={"action": "left"})
            _quit(process, 0, "something did not end within the grace time")

    def _hurry(self, _number: int, _frame: Any) -> None:
        """A signal while draining: from now on the grace time counts, and the next signal ends us."""
        _on_signals(_exit_at_once)
        self._hurried.set()

    def _engine_died(self, error: EngineUnavailable) -> None:
        """From the engine's loop: give everything back and leave."""
        if self._exit_code == ENGINE_DIED:
            return
        self._exit_code = ENGINE_DIED
        log.error("the engine died: %s", error, extra={"action": "engine_died"})
        threading.Thread(target=self._leave, args=(str(error),), name="engine-died", daemon=True).start()

    def _leave(self, reason: str) -> None:
        process = self._process
        if process is None:
            os._exit(ENGINE_DIED)
        process.drain()
        process.hand_back()
        deadline = threading.Event()
        waited = 0.0
        while process.hands.holds() and waited < HANDING_BACK:
            deadline.wait(0.05)
            waited += 0.05
        _quit(process, ENGINE_DIED, reason)


def queue_names(settings: Settings) -> list[str]:
    """Queues by purpose, the engine's own among them."""
    engine = recognize_queue(settings.engine.name)
    return [engine if purpose == "recognize" else purpose for purpose in settings.purposes]


def thread_count(capacity: int) -> int:
    """Threads for the messages being worked on, and those of `spare_threads`."""
    return message_limit(capacity) + spare_threads(capacity) if capacity else spare_threads(0)


def spare_threads(capacity: int) -> int:
    """Threads for this worker's share of the messages that wait (`Recognizer.run`), and for the other stages: however
    slow the pages are, a split finds a thread."""
    return (math.ceil(WINDOW * capacity / chunk_size(capacity)) if capacity else 0) + STAGE_THREADS


def worker_class(app: Celery, process: WorkerProcess) -> type[Any]:
    """Celery's worker, which takes no message from the broker while it has `max_concurrency` in hands
    (worker_disable_prefetch): here those it works on at the moment, or those that would fill the engine if they are
    more, and the spare ones. With all its threads it would have messages wait in it that another worker could begin.
    Counted from those at work alone, chores in all the spare ones would let it end them and take no further one."""
    capacity, recognizer = process.engine.capacity if process.engine else 0, process.wiring.recognizer

    def in_hands(_worker: Any) -> int:
        return spare_threads(capacity) + (max(recognizer.messages, full_messages(capacity)) if recognizer else 0)

    def ignore(_worker: Any, _value: object) -> None:
        """Celery sets it to None where nobody asks for autoscaling."""

    return type("Worker", (app.Worker,), {"max_concurrency": property(in_hands, ignore)})


def _quit(process: WorkerProcess, status: int, reason: str) -> NoReturn:
    """End without closing anything. The row says so if the database answers soon: it may be what we are stuck on."""
    note = threading.Thread(target=process.incarnation.set_state, args=("stopped", reason), daemon=True)
    note.start()
    note.join(LAST_WORD)
    os._exit(status)


def _on_signals(handler: Callable[[int, Any], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _exit_at_once(number: int, _frame: Any) -> None:
    os._exit(128 + number)


def _keep_logging(**_: Any) -> None:
    """Connected to `setup_logging`, so that Celery leaves our logging alone."""


_safe_say = celery_worker.safe_say


def _say_stacks_only(text: str, f: Any = sys.__stderr__) -> None:
    """Instead of Celery's `safe_say`: its words on a signal go to stdout whatever the format of logs is, and our own
    line says the same. All stacks of the process (SIGUSR1) go to stderr and stay."""
    if f is not sys.__stdout__:
        _safe_say(text, f)
