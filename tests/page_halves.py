"""Page halves that do harm, for the tests of the render pool. They run in its render processes."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from workers.engines.base import RenderedPage


class Faulty:
    """Does what its methods say. Files given by path are how a test sees and steers it."""

    def __init__(self, engine: EngineSettings) -> None:
        self.engine = engine
        self._leak: list[bytearray] = []

    def start(self) -> None:
        pass

    def size(self, page: RenderedPage) -> tuple[int, int]:
        return page.pixels.size

    def pid(self, page: RenderedPage) -> int:
        return os.getpid()

    def warnings(self, page: RenderedPage) -> list[str]:
        return [warning.code for warning in page.warnings]

    def echo(self, page: RenderedPage, value: Any) -> Any:
        return value

    def device(self, page: RenderedPage) -> str:
        return self.engine.device

    def hang(self, page: RenderedPage, started: str | None = None) -> None:
        if started is not None:
            Path(started).write_text(str(os.getpid()))
        while True:
            time.sleep(60)

    def hang_in_c(self, page: RenderedPage, started: str) -> None:
        """With the interpreter's lock held: no thread of this process runs any more."""
        Path(started).write_text(str(os.getpid()))
        ctypes.PyDLL(None).pause()

    def wait_for(self, page: RenderedPage, started: str, go: str) -> str:
        """Says that it runs, and runs until the test lets it go."""
        Path(started).touch()
        while not Path(go).exists():
            time.sleep(0.01)
        return "went"

    def log(self, page: RenderedPage, path: str) -> None:
        with Path(path).open("a") as file:
            file.write(f"{page.number}\n")

    def segfault(self, page: RenderedPage) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def die_once(self, page: RenderedPage, mark: str) -> str:
        if not Path(mark).exists():
            Path(mark).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    def allocate(self, page: RenderedPage) -> None:
        hoard = []
        while True:
            hoard.append(bytearray(16 * 1024 * 1024))

    def allocate_unlimited(self, page: RenderedPage) -> None:
        """As on a system without RLIMIT_DATA."""
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.allocate(page)

    def leak(self, page: RenderedPage, size: int) -> None:
        self._leak.append(bytearray(size))

    def scatter(self, page: RenderedPage, size: int) -> int:
        """Leave the C heap full of holes, `size` bytes of them in all; returns the resident bytes before that."""
        heap, block = ctypes.CDLL(None), 64 * 1024  # smaller than what is mapped by itself
        heap.malloc.restype, heap.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        before = psutil.Process().memory_info().rss
        blocks = []
        for _ in range(size // block):
            blocks.append(heap.malloc(block))
            heap.malloc(2048)  # stays, so that no hole reaches the heap's end
        for at in blocks:
            ctypes.memset(at, 1, block)
        for at in blocks:
            heap.free(at)
        return int(before)

    def need(self, page: RenderedPage, size: int) -> int:
        return len(bytearray(size))

    def grow_and_abort_once(self, page: RenderedPage, size: int, mark: str) -> str:
        """As a library that gets no more memory: it has taken `size` bytes for so long that anybody saw it."""
        hoard = bytearray(b"x") * size
        if Path(mark).exists():
            return f"survived with {len(hoard)}"
        Path(mark).touch()
        time.sleep(1.0)
        os.abort()

    def raise_value_error(self, page: RenderedPage) -> None:
        raise ValueError("no such thing")

    def unpicklable(self, page: RenderedPage) -> Any:
        return lambda: None

    def modules(self, page: RenderedPage) -> list[str]:
        import sys

        return sorted(sys.modules)


class NoStart(Faulty):
    def start(self) -> None:
        raise EngineUnavailable("the model file is missing")


class DiesAtStart(Faulty):
    def start(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class StartsOnce(Faulty):
    """Starts while the file named by the `device` setting is there."""

    def start(self) -> None:
        if not Path(self.engine.device).exists():
            raise RuntimeError("the card fell off the bus")
