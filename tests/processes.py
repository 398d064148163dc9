"""A child process tree that a test starts, freezes and kills, and that never outlives the test."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

HOST = "127.0.0.1"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0

# Below the ephemeral range (32768 and up), so that no outgoing connection takes the port between choice and use;
# SeaweedFS listens on port + 10,000 as well, which stays below it too.
# Test processes side by side (pytest-xdist) each choose from a share of their own.
_SHARES = 8
_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
PORTS = range(10_000, 22_000)[_SHARE::_SHARES]
GRPC_OFFSET = 10_000

# Becomes the service: asks the kernel to die with its parent, gives up root where told, executes. A fresh interpreter
# and no preexec_fn, because forking a process that has threads is a DeprecationWarning from Python 3.12 on.
_LAUNCH = """
import ctypes, os, sys
parent, uid, gid, *command = sys.argv[1:]
if int(uid) != os.geteuid():
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL; after setuid, which clears it
    if os.getppid() != int(parent):
        sys.exit("the parent is gone already")
os.execv(command[0], command)
"""


class ServiceError(RuntimeError):
    """A service did not start, or ended by itself. Carries the end of its log."""


_GIVEN: deque[int] = deque(maxlen=64)
"""What was given last and may not be open yet: one's gRPC port would else be another's own."""


def free_port(offsets: tuple[int, ...] = (0,)) -> int:
    """A port on which nothing listens, nor on the ports at these offsets from it; none of them is given again soon."""
    while True:
        port = random.choice(PORTS)
        block = {port + offset for offset in offsets}
        if block.isdisjoint(_GIVEN) and all(map(_is_free, block)):
            _GIVEN.extend(block)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], object], what: str, timeout: float = START_TIMEOUT) -> None:
    """Return as soon as the condition holds; TimeoutError naming `what` when it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.02)


class Service:
    """One child process tree with a directory. Not thread-safe.

    It never outlives the process that started it, not even by `kill -9`: the kernel kills it with its parent
    (PR_SET_PDEATHSIG, Linux). The kernel means the parent *thread*, hence `start` belongs to the main thread.
    """

    name = "service"
    stop_signal = signal.SIGTERM
    start_timeout = START_TIMEOUT

    def __init__(self, port: int) -> None:
        self.port = port
        self.directory = Path(tempfile.mkdtemp(prefix=f"pagemill-{self.name}-"))
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    # --- what a service says about itself

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ready(self) -> bool:
        """Whether it serves; False while it cannot yet."""
        raise NotImplementedError

    def _owner(self) -> tuple[int, int]:
        """uid and gid it runs under."""
        return os.geteuid(), os.getegid()

    # --- life

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Returns when it serves. Raises ServiceError with the end of the log when it does not."""
        assert not self.running, f"{self.name} runs already"
        self.begin()
        return self.await_ready()

    def begin(self) -> None:
        """Start it and look no further; `await_ready` is to follow."""
        assert threading.current_thread() is threading.main_thread(), "a service dies with the thread that started it"
        self._spawn()

    def await_ready(self) -> Self:
        """The second half of `start`."""
        try:
            wait_until(self._ready_or_dead, f"{self.name} to start", self.start_timeout)
        except BaseException as error:
            self.kill()
            if isinstance(error, TimeoutError):
                raise ServiceError(f"{error}\n{self._log_tail()}") from None
            raise
        return self

    def _spawn(self) -> None:
        uid, gid = self._owner()
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(uid), str(gid)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*launch, *self._command()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops its services
            )

    def _ready_or_dead(self) -> bool:
        if not self.running:
            assert self._process is not None
            raise ServiceError(f"{self.name} exited with {self._process.returncode}\n{self._log_tail()}")
        # Somebody else's server on our port would answer just as well while ours is about to give up.
        return self._listens() and self._ready()

    def _listens(self) -> bool:
        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        return any(c.status == psutil.CONN_LISTEN and c.laddr.port == self.port for c in connections)

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """Ask it to end; kill it when it does not. Data and ports stay for `restart`."""
        if self._process is None:
            return
        self.thaw()
        if self.running:
            self._process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and all its children; returns when they are gone."""
        if self._process is None:
            return
        tree = self._tree()
        for process in tree:
            _signal(process, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not any(alive(process) for process in tree), f"{self.name} to be gone")
        self._process = None
        self._frozen = False

    def freeze(self) -> None:
        """SIGSTOP to all of it: as a machine that hangs. Its sockets still accept connections."""
        for process in self._tree():
            _signal(process, signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            for process in self._tree():
                _signal(process, signal.SIGCONT)
        self._frozen = False

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same ports and data."""
        self.stop()
        self.start()

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def remove(self) -> None:
        """Stop it and delete its directory."""
        self.stop()
        shutil.rmtree(self.directory)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_: object) -> None:
        self.remove()


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def alive(process: psutil.Process) -> bool:
    # A dead grandchild stays a zombie where process 1 does not reap; it holds nothing any more.
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
