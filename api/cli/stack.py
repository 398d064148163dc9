"""Child processes of one foreground command: started, watched, started again, ended.

One loop owns them (`Stack.watch`, called a few times a second), without threads: code of ours runs between the fork and
what is executed. Signals only set flags (`Signals`). A child is in a session of its own, so that Ctrl-C reaches this
process alone and the end has an order. On Linux the kernel kills a child whose parent died, and `end_leftovers` ends
on any system what a killed command left running.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TextIO

import orjson
import psutil
import typer

_PR_SET_PDEATHSIG = 1
_BACKOFF_FIRST = 1.0
_BACKOFF_MAX = 30.0
_STEADY = 60.0
"""Seconds after which a child counts as running well, and its next restart waits the first delay again."""
_TAIL_BYTES = 16 * 1024
_LINES_KEPT = 20
CANNOT_START = 1
"""Exit status of a process that never did anything: however long it tried, it did not run well."""
_PAUSE = 0.1
_NUDGE_EVERY = 0.1
"""Seconds between two signals to who is to end at once; two that come together may be taken for one."""
_GONE = (errno.EPIPE, errno.EIO)
"""What writing ends with where nobody reads the pipe, and where the terminal was closed."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a child is: a name for people, its argument list, its whole environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path | None
    """Where its output goes; None: into a pipe, to be read by `Child.output`."""
    cwd: Path | None = None
    grace: float = 10.0
    """Seconds it may take to end when asked."""
    final: frozenset[int] = frozenset()
    """Exit statuses after which it is not started again."""
    descriptors: tuple[int, ...] = ()
    """Open files that it inherits, under the same numbers."""


class Child:
    """One process of a Command at a time."""

    def __init__(self, command: Command, backoff_max: float = _BACKOFF_MAX) -> None:
        self.command = command
        self._backoff_max = backoff_max
        self.starts = 0
        self.failures = 0
        """Deaths in a row, none of which lived for `_STEADY`."""
        self.restart_at: float | None = None
        self.delay = 0.0
        """Seconds between the last death and the next start."""
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._begun = b""
        """What it wrote of a line that is not whole."""
        self._unread: list[str] = []
        """Last words of a process that is gone."""
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """From the main thread only: the kernel's promise to kill a child with its parent means the parent thread."""
        self._started = time.monotonic()
        self.restart_at = None
        self.starts += 1
        if self.command.log is None:
            self._process = self._spawn(subprocess.PIPE)
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)
            return
        self.command.log.parent.mkdir(parents=True, exist_ok=True)
        with self.command.log.open("ab") as log:
            self._process = self._spawn(log.fileno())

    def _spawn(self, output: int) -> subprocess.Popen[bytes]:
        command = self.command
        return subprocess.Popen(
            list(command.argv),
            env=dict(command.env),
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=command.descriptors,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - no threads run here
        )

    def output(self) -> list[str]:
        """The lines it wrote into its pipe since the last call, the last words of one that died too. Never waits."""
        found, self._unread = self._unread, []
        return found + self._read()

    def _read(self) -> list[str]:
        if self._process is None or self._process.stdout is None:
            return []
        whole = self._begun + _available(self._process.stdout.fileno())
        *lines, self._begun = whole.split(b"\n")
        if self._begun and (not self.running or len(self._begun) > _TAIL_BYTES):
            lines.append(self._begun)
            self._begun = b""
        found = [line.decode(errors="replace") for line in lines]
        self._said.extend(line for line in found if line.strip())
        return found

    def died(self) -> int | None:
        """The exit status of a process that ended and was not yet asked about; negative for a signal."""
        if self._process is None or self._process.poll() is None:
            return None
        status = self._process.returncode
        self.kill()
        self._process = None
        well = time.monotonic() - self._started > _STEADY and status != CANNOT_START
        self.failures = 0 if well else self.failures + 1
        delay = _BACKOFF_FIRST * 2 ** min(16, self.failures - 1) if self.failures else 0.0
        self.delay = min(self._backoff_max, delay)
        self.restart_at = None if status in self.command.final else time.monotonic() + self.delay
        return status

    def send(self, number: signal.Signals) -> None:
        if self.running and self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the process and whatever it started in its session, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._process.stdout is not None:
                self._unread += self._read()
                self._process.stdout.close()
                self._process.stdout = None

    def last_lines(self, count: int = 5) -> list[str]:
        """The end of its log, or of what was read from its pipe."""
        if self.command.log is None:
            return list(self._said)[-count:]
        try:
            with self.command.log.open("rb") as file:
                file.seek(max(0, self.command.log.stat().st_size - _TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return list(deque((line for line in lines if line.strip()), maxlen=count))


def _available(descriptor: int) -> bytes:
    """Everything that can be read at once."""
    found = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(descriptor, _TAIL_BYTES):
            found += piece
            if len(found) >= 64 * _TAIL_BYTES:  # one that never stops writing: others have their turn
                break
    return found


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a child does before it executes: ask the kernel to die with its parent (Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: after the fork nothing may be imported

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the kernel could promise
            os._exit(1)

    return ask


class Stack:
    """The children of one command, in the order of their start; ended in reverse."""

    def __init__(self, record: Path | None = None, backoff_max: float = _BACKOFF_MAX) -> None:
        self.children: list[Child] = []
        self._record = record
        self._backoff_max = backoff_max

    def start(self, command: Command) -> Child:
        child = Child(command, self._backoff_max)
        self.children.append(child)
        if command.log is not None:
            _rotate(command.log)
        child.start()
        self._write_record()
        return child

    def drop(self, child: Child) -> None:
        """End a child at once and forget it."""
        child.kill()
        self.children.remove(child)

    def watch(self) -> list[tuple[Child, int]]:
        """Note who died since the last call, start again who is due. Returns the dead with their exit status."""
        dead = []
        for child in self.children:
            status = child.died()
            if status is not None:
                dead.append((child, status))
            if child.restart_at is not None and time.monotonic() >= child.restart_at:
                child.start()
                self._write_record()
        return dead

    def stop(self, last: Sequence[Child], hurry: Callable[[], bool], *, nudge: bool = False) -> None:
        """End all of it: first everybody but `last` (the broker), then those; each has its own grace.

        `hurry()`: whether the user pressed Ctrl-C again; whoever is left is then killed. `nudge`: say SIGTERM again
        and again, which a worker takes for "do not even finish your pages".
        """
        first = [child for child in reversed(self.children) if child not in last]
        _end(first, hurry, nudge=nudge)
        _end(list(last), hurry, nudge=False)
        if self._record is not None:
            self._record.unlink(missing_ok=True)

    def describe(self, child: Child, status: int) -> str:
        """One line about a death."""
        how = f"ended by {_signal_name(-status)}" if status < 0 else f"ended with exit status {status}"
        lines = child.last_lines(1) if status > 0 else []  # who was killed had no time to say why
        why = f": {lines[0].strip()}" if lines else ""
        return f"{child.name} {how}{why}"

    def _write_record(self) -> None:
        if self._record is None:
            return
        rows = []
        for child in self.children:
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.running and child.pid is not None:
                    rows.append({"pid": child.pid, "started": psutil.Process(child.pid).create_time()})
        replace_file(self._record, orjson.dumps(rows))


def _end(children: Sequence[Child], hurry: Callable[[], bool], *, nudge: bool) -> None:
    started = told = time.monotonic()
    for child in children:
        child.restart_at = None
        child.send(signal.SIGTERM)
    while any(child.running for child in children) and not hurry():
        time.sleep(_PAUSE / 2)
        now = time.monotonic()
        waited = now - started
        if nudge and now - told > _NUDGE_EVERY:
            told = now
            for child in children:
                child.send(signal.SIGTERM)
        for child in children:
            if waited > child.command.grace:
                child.kill()
    for child in children:
        child.kill()


def end_leftovers(record: Path) -> int:
    """End the processes that a killed command recorded and left running. Returns how many there were."""
    try:
        rows = orjson.loads(record.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return 0
    leftovers = [process for row in rows for process in _recorded(row)]
    for process in leftovers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(leftovers, timeout=10)
    return len(leftovers)


def _recorded(row: dict[str, Any]) -> Iterable[psutil.Process]:
    """The process and its descendants, if it still is the one that was recorded: numbers are used again."""
    try:
        process = psutil.Process(int(row["pid"]))
        if abs(process.create_time() - float(row["started"])) < 2 and process.status() != psutil.STATUS_ZOMBIE:
            return [*process.children(recursive=True), process]
    except (psutil.Error, KeyError, TypeError, ValueError):
        pass
    return []


def say(line: str, stream: TextIO | None) -> None:
    """Nobody needs to listen: the children go on, and drain, when the reader of a pipe or the terminal has gone. What a
    full disk does not take is lost.
    """
    if stream is None:  # closed before we began
        return
    try:
        typer.echo(line, stream)
    except OSError as error:
        if error.errno in _GONE:
            # What follows, and what Python flushes when it ends, goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that is whole at any moment."""
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
    draft.replace(path)


def _rotate(log: Path) -> None:
    """Keep the log of the run before, start an empty one."""
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Signals:
    """SIGINT, SIGTERM and SIGHUP as a list that a loop looks at. Signals that were ignored (nohup) stay so."""

    _WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.received: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in self._WATCHED:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)

    @property
    def stopped(self) -> bool:
        return bool(self.received)

    @property
    def hurried(self) -> bool:
        """Asked twice."""
        return len(self.received) > 1

    @property
    def exit_code(self) -> int:
        """By the shell's custom: 130 after Ctrl-C."""
        return 128 + self.received[0] if self.received else 0
