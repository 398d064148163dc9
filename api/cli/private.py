"""What one `pagemill run` brings with it: Valkey, workers, database and store in a temporary folder that goes with it.

The workers are started first, behind a latch (jobs/latch.py): they take a second to import what they need, as long as
this command takes for that and for the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from api.cli import embedded
from api.cli.stack import Child, Signals, Stack
from jobs import latch
from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings, LimitSettings, TimerSettings, environment

_PREFIX = "pagemill-run-"
_ABANDONED = 60.0
"""Seconds after which a temporary folder that nobody holds counts as left behind by a killed run."""


class PrivateStack:
    """The processes of one run. `close` ends them and clears their folder away."""

    def __init__(self, engine: str, count: int, signals: Signals) -> None:
        """`count` workers, when they are started. A second one of `signals` hurries their end."""
        self.broker: Child | None = None
        self.ready = False
        """Whether a worker has its engine up, as far as who looks has said."""
        self._engine = engine
        self._count = count
        self._signals = signals
        self._clean = contextlib.ExitStack()
        self._stack = Stack(backoff_max=2.0)
        self._begun = False

    def begin(self) -> None:
        """Start the workers, which wait until `open`; once. Raises InvalidRequest, OSError, and leaves nothing then."""
        if self._begun:
            return
        try:
            self._folder = self._clean.enter_context(_private_folder())
            self._start_workers()
        except BaseException:
            self.close()
            raise
        self._begun = True

    def _start_workers(self) -> None:
        folder = self._folder
        self._port, self._password = embedded.free_port(), secrets.token_urlsafe(24)
        self.secret = secrets.token_urlsafe(32)
        self.broker_url = embedded.broker_url(self._port, self._password)
        self.database_url, self.store_url = embedded.sqlite_url(folder / "pagemill.db"), f"file:{folder / 'objects'}"
        self._latch = latch.Latch()
        self._clean.callback(self._latch.close)
        (folder / "tmp").mkdir()
        env = self._environment() | {
            "TMPDIR": str(folder / "tmp"),  # so that nothing of a worker stays behind
            "PAGEMILL_DATABASE_URL": self.database_url,
            "PAGEMILL_BROKER_URL": self.broker_url,
            "PAGEMILL_STORE_URL": self.store_url,
            "PAGEMILL_SECRET_KEY": self.secret,
            "PAGEMILL_ENGINE": self._engine,
            latch.VARIABLE: str(self._latch.descriptor),
        }
        for index in range(self._count):
            worker = embedded.worker(index, env, f"run-{index}", folder / "scratch", folder / "logs")
            self._stack.start(replace(worker, descriptors=(self._latch.descriptor,)))

    def start_broker(self) -> Child:
        """Valkey, which takes a moment to answer. Raises InvalidRequest where it is not installed."""
        folder = self._folder
        log = folder / "logs" / "valkey.log"
        self.broker = self._stack.start(
            embedded.valkey(folder / "valkey", self._port, self._password, log, durable=False)
        )
        return self.broker

    def open(self) -> None:
        """Database and broker are there: the workers go on."""
        self._latch.open()

    def watch(self, say: Callable[[str], None]) -> None:
        """Restart who died. Raises EngineUnavailable when a worker ends before any engine was up."""
        for child, status in self._stack.watch():
            if not self.ready and child is not self.broker:
                words = (child.last_lines(1) or ["it said nothing"])[0].strip()
                reason = words.removeprefix("pagemill worker: engine_unavailable: ")
                raise EngineUnavailable(f"the engine {self._engine} did not start: {reason}")
            say(f"{self._stack.describe(child, status)}; it is started again")

    def close(self) -> None:
        """Twice is as good as once."""
        last = [self.broker] if self.broker is not None else []
        self._stack.stop(last, lambda: self._signals.hurried, nudge=True)
        self._stack = Stack(backoff_max=2.0)
        self._clean.close()

    def _environment(self) -> dict[str, str]:
        """What is set about limits, timers and engines holds; where a server's database lies does not matter here."""
        kept = (LimitSettings, TimerSettings, EngineSettings)
        env = embedded.python_environment(embedded.without_settings(environment(), kept))
        if self._count > 1:
            env.setdefault("PAGEMILL_RENDER_PROCESSES", str(max(1, (os.cpu_count() or 1) // self._count)))
        return env


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A temporary folder of ours alone (mode 0700), gone at the end. Those of killed runs are cleared away."""
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{_PREFIX}*"):
        _clear_abandoned(left)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def _clear_abandoned(folder: Path) -> None:
    try:
        status = folder.lstat()
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < _ABANDONED:
            return
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # somebody's run is alive
    finally:
        os.close(held)
