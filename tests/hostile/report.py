"""What became of many files, counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jobs.settings import MIB
from tests.hostile.ordeal import Ordeal, Verdict


@dataclass(slots=True)
class Report:
    """Figures of a run, in the order in which docs/reliability.md shows them."""

    files: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, verdicts: Sequence[Verdict]) -> None:
        self.files += len(verdicts)
        for verdict in verdicts:
            self.codes[verdict.code] += 1
            self.pages += verdict.page_codes
            self.faults += verdict.faults()

    def look(self, ordeal: Ordeal) -> None:
        """Add what happened to the processes; call it once, at the end of an ordeal."""
        self.faults += ordeal.faults()
        self.deaths += ordeal.deaths()
        peaks = ordeal.watch.peaks
        for name, told in (
            ("API", peaks["api"].root),
            ("worker", peaks["worker"].root),
            ("render process", peaks["worker"].child),
        ):
            self.peaks[name] = max(self.peaks.get(name, 0), told)

    def lines(self) -> Iterator[str]:
        yield f"files: {self.files}, by code: {_counted(self.codes)}"
        yield f"pages: {self.pages.total()}, by code: {_counted(self.pages)}"
        yield f"render processes that ended: {_counted(self.deaths) or 'none'}"
        yield "most memory: " + ", ".join(f"{name} {told // MIB} MiB" for name, told in self.peaks.items())
        yield f"time: {time.monotonic() - self.started:.0f} s"
        yield f"faults (crashes of a worker, hangs, left-over processes, wrong codes): {len(self.faults)}"
        yield from self.faults


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.most_common() if number)
