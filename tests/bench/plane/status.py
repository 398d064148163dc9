"""What it takes to ask for a job of a million pages, beside one of ten. Requests alternate; nothing else runs."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import httpx

from tests.bench.plane import backlog
from tests.bench.plane.stand import Stand, State

WARM = 20
PATHS = (
    "jobs/{}",
    "jobs/{}/documents?limit=10",
    "jobs/{}/documents?limit=10&state=queued&state=running",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Milliseconds of one answer of both jobs: medians of one round."""

    path: str
    small: float
    large: float

    @property
    def ratio(self) -> float:
        return self.large / self.small


def ask(stand: Stand, state: State, requests: int, rounds: int) -> tuple[int, list[list[Asked]]]:
    """Pages of the large job, and rounds of answers by path. The backlog of `state` becomes these two jobs."""
    large, small, pages = backlog.gather(stand.postgres, state.name)
    with ExitStack() as stack:
        client = stack.enter_context(stand.api(state, stack).client())
        return pages, [[_alternate(client, path, small, large, requests) for path in PATHS] for _ in range(rounds)]


def _alternate(client: httpx.Client, path: str, small: str, large: str, requests: int) -> Asked:
    taken: dict[str, list[float]] = {small: [], large: []}
    for number in range(WARM + requests):
        for job, times in taken.items():
            begun = time.perf_counter()
            client.get(path.format(job)).raise_for_status()
            if number >= WARM:
                times.append((time.perf_counter() - begun) * 1000)
    return Asked(path.format("…"), median(taken[small]), median(taken[large]))
