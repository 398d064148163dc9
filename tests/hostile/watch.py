"""Somebody who looks at process trees all the time: how much memory they took, and who is still there afterwards."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.processes import alive, wait_until

EVERY = 0.1
"""Seconds between two looks. The kernel keeps each process's own peak, so that nothing is missed in between but what a
process took in its last tenth of a second."""


@dataclass(slots=True)
class Peaks:
    """Most bytes of resident memory that one process had."""

    root: int = 0
    """The process that was started."""
    child: int = 0
    """Any of its children."""
    children: set[psutil.Process] = field(default_factory=set)
    """Every child that was ever seen."""


class Watch:
    """A thread that samples trees by name, until the block ends."""

    def __init__(self, **roots: int) -> None:
        self.peaks = {name: Peaks() for name in roots}
        self._roots = {name: psutil.Process(pid) for name, pid in roots.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def left_over(self) -> list[str]:
        """Children that outlived their parents; call it when those were asked to end."""
        children = [child for peaks in self.peaks.values() for child in peaks.children]
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not any(map(alive, children)), "the children to be gone", timeout=10.0)
        return [f"{child.pid}" for child in children if alive(child)]

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            for name, root in self._roots.items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._look(self.peaks[name], root)

    @staticmethod
    def _look(peaks: Peaks, root: psutil.Process) -> None:
        peaks.root = max(peaks.root, _peak(root))
        for child in root.children(recursive=True):
            peaks.children.add(child)
            peaks.child = max(peaks.child, _peak(child))


def _peak(process: psutil.Process) -> int:
    """Bytes. What the kernel saw at most (VmHWM) where it says so, else what there is now."""
    try:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return int(process.memory_info().rss)
    except (OSError, psutil.NoSuchProcess):
        return 0
