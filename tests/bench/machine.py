"""What was measured on, and CPU time of process trees."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

import psutil

CPU_ENGINE = ("celery", "kombu", "sqlalchemy", "psycopg", "rapidocr", "onnxruntime", "pypdfium2")


def describe(names: Sequence[str] = CPU_ENGINE) -> str:
    """The machine and the versions of the packages that matter, one line each."""
    cpu = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores of {cpu}, {memory:.0f} GiB, Python {platform.python_version()}\n"
        + ", ".join(f"{name} {version(name)}" for name in names)
        + f"\nload average before: {os.getloadavg()[0]:.2f}"
    )


def _cpuinfo() -> list[str]:
    with open("/proc/cpuinfo") as file:  # noqa: PTH123 - not a file of ours
        return file.readlines()


class CpuMeter:
    """CPU seconds of process trees between `start` and `read`, processes that ended in between included."""

    def __init__(self, pids: dict[str, list[int]]) -> None:
        self._pids = pids
        self._before = self._now()

    def read(self) -> dict[str, float]:
        after = self._now()
        return {name: after[name] - self._before[name] for name in self._pids}

    def _now(self) -> dict[str, float]:
        return {name: sum(map(_tree_seconds, pids)) for name, pids in self._pids.items()}


def _tree_seconds(pid: int) -> float:
    root = psutil.Process(pid)
    total = root.cpu_times().children_user + root.cpu_times().children_system
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)
