"""Figures as they come: one JSON object a line, so that a run that is cut short still tells what it has seen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class Journal:
    """Thread-safe. Every entry has its kind, the part of the run that it belongs to, and `t`: its seconds so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._part, self._begun = "", time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    def begin(self, part: str, **about: Any) -> None:
        self._part, self._begun = part, time.monotonic()
        self.note("begin", **about)

    @property
    def now(self) -> float:
        """Seconds since the part began."""
        return time.monotonic() - self._begun

    def note(self, kind: str, **values: Any) -> None:
        entry = {"kind": kind, "part": self._part, "t": round(self.now, 3), **values}
        with self._lock, self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def say(self, text: str) -> None:
        """For whoever watches it run."""
        print(f"{self.now:7.0f} s  {self._part}: {text}", flush=True)


def entries(path: Path, part: str) -> list[Entry]:
    """Those of a part, in the order in which they came; a line that was cut off is left out."""
    return [entry for entry in _lines(path) if entry["part"] == part]


def _lines(path: Path) -> Iterator[Entry]:
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
