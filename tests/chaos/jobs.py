"""What runs while something is killed, and what must hold when it is over.

Faults come at moments drawn from a seed: CHAOS_SEED=n repeats a run as far as the machine allows.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psutil

from jobs.models import FINAL, State
from jobs.options import EchoOptions
from tests.documents import pdf
from tests.installation import Installation, WorkerService
from tests.ledger import assert_allowed, assert_exact
from tests.processes import alive, wait_until
from tests.soundness import unsound

SEED = int(os.environ.get("CHAOS_SEED", "1"))

SETTINGS = {
    "PAGEMILL_RENDER_PROCESSES": "1",
    "PAGEMILL_ENGINE_CAPACITY": "16",
    # Ten seconds of silence: a killed worker is known by its successor, and none is dead because the machine is busy.
    "PAGEMILL_HEARTBEAT_STALE": "100",
}
PAGES = 220
"""Of the ordinary load."""


class Chaos:
    """An installation, the workers of a test as their supervisor sees them, and its jobs."""

    def __init__(self, mill: Installation) -> None:
        self.mill = mill
        self.random = random.Random(SEED)
        self.jobs: list[str] = []
        self._workers: list[WorkerService] = []
        self._seen: set[psutil.Process] = set()

    def worker(self, **settings: str) -> WorkerService:
        """A worker that serves."""
        worker = self.mill.worker(**settings)
        self._workers.append(worker)
        worker.start()
        return worker

    def submit(self, *documents: bytes, **options: object) -> str:
        job_id = self.mill.submit(*documents, **options)
        self.jobs.append(job_id)
        return job_id

    def load(self) -> None:
        """Two jobs: many small documents whose pages take their time, and larger ones that are rendered."""
        self.submit(*[pdf(6)] * 20, echo=EchoOptions(seconds={"*": 0.15}))
        self.submit(pdf(60), pdf(40), echo=EchoOptions(render=True, seconds={"*": 0.05}))

    def done(self) -> int:
        """Pages of all jobs that have succeeded."""
        return sum(self.mill.count(job)["succeeded"] for job in self.jobs)

    def progress(self, share: float) -> None:
        """Wait until about this share of the ordinary load is done, and a page at least."""
        pages = max(1, int(PAGES * share * self.random.uniform(0.7, 1.3)))
        self.mill.until(lambda: self.done() >= pages, f"{pages} pages")

    def notice(self) -> None:
        """Remember every process of ours that lives now."""
        for worker in self._workers:
            if worker.running:
                self._seen.update(worker.tree())

    def revive(self) -> int:
        """What a supervisor does. Returns how many had ended."""
        ended = [worker for worker in self._workers if not worker.running]
        for worker in ended:
            worker.launch()
        return len(ended)

    def ended(self) -> bool:
        return all(self.mill.job(job).state in FINAL for job in self.jobs)

    def settle(self, states: Sequence[State] = ()) -> None:
        """Wait for every job and look whether all of it is as it must be; all workers run, or are revived. `states`:
        how the jobs must have ended where not all of them have succeeded."""
        for job in self.jobs:
            self.mill.wait(job, 90)
        wrong = [error for job in self.jobs for error in unsound(self.mill, job)]
        assert wrong == []
        assert_exact(self.mill.db)
        assert_allowed(self.mill.db)  # attempts only grew, and no page was committed twice
        expected = list(states) or [State.SUCCEEDED] * len(self.jobs)
        assert [self.mill.job(job).state for job in self.jobs] == expected

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers; nothing that ever belonged to them may be left."""
        self.notice()
        for worker in self._workers:
            worker.stop()
        if kind is None:
            wait_until(lambda: not any(map(alive, self._seen)), "every process to be gone", 10)
        for worker in self._workers:
            worker.remove()
