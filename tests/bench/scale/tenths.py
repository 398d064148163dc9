"""What a journal's samples and calls say of each tenth of a load. Pure: lists of entries go in, numbers come out."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.bench.scale.journal import Entry
from tests.bench.scale.statements import Times

PARTS = 10


def edges(samples: Sequence[Entry], count: str, total: int, begun: float) -> list[float]:
    """Seconds at which a tenth, two, … of `total` were counted, between two samples by the straight line; `begun` is
    the first. Fewer than eleven where the run was cut short."""
    found = [begun]
    before, at = 0, begun
    for sample in samples:
        now = int(sample[count])
        while len(found) <= PARTS and now > before and now * PARTS >= total * len(found):
            wanted = total * len(found) / PARTS
            found.append(at + (float(sample["t"]) - at) * max(0.0, wanted - before) / (now - before))
        if sample["t"] > begun:
            before, at = now, float(sample["t"])
    return found


def within(entries: Sequence[Entry], begin: float, end: float) -> list[Entry]:
    return [entry for entry in entries if begin < entry["t"] <= end]


def nearest(samples: Sequence[Entry], at: float) -> Entry:
    return min(samples, key=lambda sample: abs(sample["t"] - at))


def spread(calls: Sequence[Entry], name: str) -> tuple[float, float] | None:
    """Median and 99th percentile of the milliseconds of these calls; None where there are none."""
    times = sorted(call["ms"] for call in calls if call["name"] == name)
    if not times:
        return None
    return median(times), times[min(len(times) - 1, len(times) * 99 // 100)]


def taken(samples: Sequence[Entry]) -> Times:
    """All that was logged of each statement in these samples."""
    found: Times = {}
    for sample in samples:
        for name, (count, total) in sample["statements"].items():
            before = found.get(name, (0, 0.0))
            found[name] = (before[0] + count, before[1] + total)
    return found
