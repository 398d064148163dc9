"""One render process as its parent sees it: spawn, ask, kill.

Started as a plain command and not by `multiprocessing`, whose spawn method runs the parent's main module again in every
child (a Celery or test runner that must not be) and leaves a resource tracker beside them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Literal

import psutil

from jobs.errors import EngineError
from jobs.settings import environment
from workers.render.messages import Answer, Failure, Release, Request
from workers.render.wire import Parcel, Wire, opened, parcel

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from workers.render.process import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
_REAP_SECONDS = 10.0

# How pdfium's and C++'s allocators end a process that gets no memory.
_ABORTS = frozenset({-signal.SIGABRT, -signal.SIGTRAP, -signal.SIGILL})
_SCARCE = 3
"""An abort is held for one for want of memory where the request had taken a third of what it may: what grows by
doubling asks for twice as much as it has while it has it. But not where the process had more than that before: then the
memory may be another's."""

Reason = Literal["crash", "deadline", "memory", "closed"]


def _environment() -> dict[str, str]:
    """Ours without settings and credentials: what opens strangers' files needs none of them."""
    return {name: value for name, value in environment().items() if not name.startswith(("PAGEMILL_", "AWS_"))}


@dataclass(frozen=True, slots=True)
class Death:
    """Why a render process is gone."""

    reason: Reason
    returncode: int | None
    resident: int | None = None
    """Bytes it had in memory when it ended for that."""

    def describe(self) -> str:
        if self.returncode is not None and self.returncode < 0:
            return f"the render process was ended by {_signal_name(-self.returncode)}"
        return f"the render process ended with exit code {self.returncode}"


class ChildDied(Exception):
    """The process died before it answered."""

    def __init__(self, death: Death) -> None:
        super().__init__(death.describe())
        self.death = death


@dataclass(frozen=True, slots=True)
class _Weight:
    """Bytes of resident memory."""

    own: int
    request: int
    limit: int


@dataclass(slots=True)
class _Busy:
    deadline: float
    before: int
    """Bytes of resident memory when the request was sent."""
    most: int = 0
    """Bytes of resident memory, at most, since then."""


class Child:
    """A render process. `ask`, `release` and `reap` belong to one thread; `check` and `kill` may be called by any.

    Must be created by a thread that lives as long as the child: Linux tells a child that its parent died when the
    thread that forked it ends.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # While it shuts down, with pages still being read, Celery gives all new sockets a timeout. These would be
            # non-blocking then, and a wait would be taken for a death.
            ours.setblocking(True)
            theirs.setblocking(True)
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), json.dumps(_import_path())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # the parent's stdout may be somebody's data
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the parent
                env=_environment(),
            )
            self._wire = Wire(ours.dup())
        self._seen = psutil.Process(self.pid)
        self._guard = threading.Lock()
        self._busy: _Busy | None = None
        self._verdict: tuple[Reason, int | None] | None = None
        self._weight: _Weight | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Whether it can be asked. False as soon as it is condemned, even where it still runs."""
        return self._verdict is None and self._process.poll() is None

    def weigh(self, request: int, beside: int) -> None:
        """It is ready: what it has in memory now is its own. From here on `check` kills it when it has more.

        `request`: bytes that a request may add, to which the process limits itself. `beside`: what else it may have.
        """
        own = self.resident() or 0
        self._weight = _Weight(own, request, own + request + beside)

    def ask(self, request: Request, seconds: float) -> Answer:
        """Send a request and wait for its answer. Raises ChildDied, also when `seconds` pass (see `check`)."""
        with self._guard:
            self._busy = _Busy(time.monotonic() + seconds, self.resident() or 0)
        try:
            self._wire.send(parcel(request))
            found = self._wire.receive()
        except (EOFError, OSError):
            raise ChildDied(self.reap()) from None
        finally:
            with self._guard:
                self._busy = None
        return _decoded(found)

    def release(self, tokens: tuple[int, ...]) -> None:
        """Let it forget pages."""
        try:
            self._wire.send(parcel(Release(tokens)))
        except OSError:
            return  # it is dead, and its pages with it

    def resident(self) -> int | None:
        """Bytes of resident memory; None when it is gone."""
        try:
            return int(self._seen.memory_info().rss)
        except psutil.Error:
            return None

    def check(self) -> None:
        """Kill it when the request it works on is over its deadline or its memory."""
        with self._guard:
            busy, weight = self._busy, self._weight
        if busy is None:
            return
        if time.monotonic() >= busy.deadline:
            self._condemn("deadline", None, busy)
        elif weight is not None:
            resident = self.resident() or 0
            busy.most = max(busy.most, resident)
            if resident > weight.limit:
                self._condemn("memory", resident, busy)

    def kill(self) -> None:
        """End it now; whoever waits in `ask` gets ChildDied with reason `closed`."""
        with self._guard:
            self._verdict = self._verdict or ("closed", None)
            self._process.kill()

    def _condemn(self, reason: Reason, resident: int | None, busy: _Busy) -> None:
        with self._guard:
            if self._busy is busy and self._verdict is None:  # else it answered meanwhile
                self._verdict = (reason, resident)
                self._process.kill()

    def reap(self) -> Death:
        """Make sure that it is gone and say why. Afterwards the object is of no use."""
        with self._guard:
            reason, resident = self._verdict or ("crash", None)
            busy = self._busy
        self._wire.close()
        try:
            # Its end of the socket may be closed a moment before it is dead.
            returncode = self._process.wait(timeout=1.0 if reason == "crash" else _REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            returncode = self._process.wait(timeout=_REAP_SECONDS)
        if reason == "crash" and busy is not None and self._starved(busy, returncode):
            return Death("memory", returncode, busy.most)
        return Death(reason, returncode, resident)

    def _starved(self, busy: _Busy, returncode: int) -> bool:
        if self._weight is None or returncode not in _ABORTS:
            return False
        enough = self._weight.request // _SCARCE
        return busy.before - self._weight.own < enough < busy.most - busy.before


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _import_path() -> list[str]:
    return [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - sys.path holds strings


def _decoded(found: Parcel) -> Answer:
    try:
        answer: Answer = opened(found)
    except Exception as error:  # noqa: BLE001 - the edge of a process: anything may be wrong with the class of a result
        return Failure(EngineError(f"the page half's result cannot be read: {type(error).__name__}: {error}"))
    return answer
