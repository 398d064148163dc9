"""What a process tells Prometheus, read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value

    @property
    def names(self) -> set[str]:
        return set(self._samples)

    def value(self, name: str, **labels: str) -> float:
        """Of all series that have these labels, added up; 0 of none."""
        wanted = set(labels.items())
        return sum(value for found, value in self._samples.get(name, {}).items() if wanted <= found)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Values by one label, added up over the others."""
        found: dict[str, float] = {}
        for labels, value in self._samples.get(name, {}).items():
            key = dict(labels)[label]
            found[key] = found.get(key, 0.0) + value
        return found

    def labels(self, name: str) -> list[Mapping[str, str]]:
        return [dict(labels) for labels in self._samples.get(name, {})]


def scrape(port: int) -> Scrape:
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
    answer.raise_for_status()
    return Scrape(answer.text)


def status(port: int, path: str) -> tuple[int, str]:
    """Status and words of /healthz or /readyz; 0 where nobody listens."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    except httpx.TransportError:
        return 0, ""
    return answer.status_code, answer.text.strip()
