"""docs/metrics.md: every metric of jobs.metrics.METRICS."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.metrics import METRICS, Metric
from tests.reference.tables import code, table

_HEAD = """# Metrics

<!-- Written by `make docs` from jobs/metrics.py; a test compares. -->

In Prometheus' format at `/metrics` of the metrics port (`PAGEMILL_METRICS_PORT`) of each API and worker process. Which
questions they answer: [monitoring.md](monitoring.md), [tuning.md](tuning.md). What the database says is the same from
every API server: take `max`. What a process counts begins at 0 with it and is its own part: take `sum` of `rate`.

"""

_SECTIONS = (
    ("What the database says", "Served by the API.", ("api",), "database"),
    ("What API servers do", "Of each process.", ("api",), "process"),
    ("What workers do", "Of each process.", ("worker",), "process"),
    ("What both do", "Of each process.", ("api", "worker"), "process"),
)
"""Heading, a sentence, who serves them, and where their numbers come from."""


def render() -> str:
    return _HEAD + "\n".join(_section(*section) for section in _SECTIONS if _those(*section[2:]))


def untold() -> list[str]:
    """Metrics that no section shows."""
    shown = {metric.name for section in _SECTIONS for metric in _those(*section[2:])}
    return [metric.name for metric in METRICS if metric.name not in shown]


def _those(served_by: Sequence[str], source: str) -> list[Metric]:
    return [m for m in METRICS if sorted(m.served_by) == sorted(served_by) and m.source == source]


def _section(title: str, about: str, served_by: Sequence[str], source: str) -> str:
    rows = [
        (code(metric.name), metric.kind, ", ".join(map(code, metric.labels)), metric.unit, metric.help)
        for metric in _those(served_by, source)
    ]
    return f"## {title}\n\n{about}\n\n" + table(("metric", "kind", "labels", "unit", "what it says"), rows)
