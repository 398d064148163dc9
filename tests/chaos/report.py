"""What a run says afterwards: JSON for machines, a table for people."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson


@dataclass
class Happened:
    """A fault that was carried out."""

    number: int
    kind: str
    at: float
    """Seconds since the run began."""
    lasted: float
    recovery: float | None = None
    """From its end until the next page succeeded. None: the run was over before."""
    violations: list[str] = field(default_factory=list)


@dataclass
class Report:
    seed: int
    database: str
    command: str
    faults: list[Happened] = field(default_factory=list)
    jobs: int = 0
    pages: dict[str, int] = field(default_factory=dict)
    """Pages of the jobs that were not deleted, by state."""
    succeeded: int = 0
    """Pages that were seen to succeed, those of deleted jobs too."""
    looks: int = 0
    """How often the books were looked at while it ran."""
    missed: list[str] = field(default_factory=list)
    """Faults that did not come to happen: nobody passed the place where he would have died."""
    left_out: list[str] = field(default_factory=list)
    """Kinds that are not possible here."""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    kept: str | None = None

    @property
    def kinds(self) -> dict[str, list[Happened]]:
        found = defaultdict(list)
        for fault in self.faults:
            found[fault.kind].append(fault)
        return dict(sorted(found.items()))

    def json(self) -> bytes:
        by_kind = {kind: _numbers(faults) for kind, faults in self.kinds.items()}
        return orjson.dumps({**asdict(self), "kinds": by_kind}, option=orjson.OPT_INDENT_2)


def _numbers(faults: Sequence[Happened]) -> dict[str, Any]:
    times = [fault.recovery for fault in faults if fault.recovery is not None]
    return {
        "count": len(faults),
        "recovery_p50": quantile(times, 0.50),
        "recovery_p95": quantile(times, 0.95),
        "violations": sum(len(fault.violations) for fault in faults),
    }


def quantile(values: Sequence[float], share: float) -> float | None:
    """Between neighbours where it falls between them; None of nothing."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def table(reports: Sequence[Report]) -> str:
    """Faults by kind over all of these runs, as Markdown."""
    kinds: dict[str, list[Happened]] = defaultdict(list)
    for report in reports:
        for kind, faults in report.kinds.items():
            kinds[kind] += faults
    lines = ["| fault | times | recovery p50 | p95 | violations |", "|---|---|---|---|---|"]
    for kind, faults in sorted(kinds.items()):
        lines.append(_line(kind, _numbers(faults)))
    lines.append(_line(f"all {len(kinds)} kinds", _numbers([fault for faults in kinds.values() for fault in faults])))
    return "\n".join(lines)


def _line(name: str, numbers: dict[str, Any]) -> str:
    p50, p95 = (f"{value:.1f} s" if value is not None else "–" for value in
                (numbers["recovery_p50"], numbers["recovery_p95"]))  # fmt: skip
    return f"| `{name}` | {numbers['count']} | {p50} | {p95} | {numbers['violations']} |"


def told(report: Report) -> str:
    """The end of a run, for people."""
    lines = [
        f"{report.database}: {len(report.faults)} faults of {len(report.kinds)} kinds over {report.jobs} jobs,"
        f" {report.succeeded} pages succeeded, of those kept: {report.pages}; books looked at {report.looks} times;"
        f" {report.seconds:.0f} s",
        *([f"not possible here: {', '.join(report.left_out)}"] if report.left_out else []),
        *([f"did not happen: {', '.join(report.missed)}"] if report.missed else []),
        f"{len(report.violations)} violations",
        *report.violations[:50],
        f"repeat: {report.command}",
        *([f"kept: {report.kept}"] if report.kept else []),
    ]
    return "\n".join(lines)
