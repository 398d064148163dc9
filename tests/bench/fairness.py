"""How long jobs of 3 pages take with nothing else to do, and behind a job of 5,000 pages.

Echo pages that take a fixed time, so that the engine is the bottleneck as with a real one. PostgreSQL and Valkey, one
worker. One small job at a time, from its submission until it is closed; the large one runs during the whole of it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from jobs import lifecycle
from jobs.dispatch import WINDOW
from jobs.models import FINAL
from jobs.options import EchoOptions, Priority
from tests.documents import pdf
from tests.installation import Installation
from tests.services import Postgres, Valkey

CAPACITY = 16
SECONDS = 0.2
"""Of engine time a page takes."""
BACKLOG = 5000
SMALL = 3
JOBS = 12
PAGES = EchoOptions(seconds={"*": SECONDS})


def run() -> str:
    """Median, least and greatest latency by what else runs, and the ratio of the medians."""
    with _installation() as mill:
        _latency(mill, "batch")  # warm: connections, imports, the process that opens documents
        alone = sorted(_latency(mill, "batch") for _ in range(JOBS))
        backlog = mill.submit(pdf(BACKLOG), echo=PAGES)
        mill.wait_for_pages(backlog, 2 * CAPACITY)
        before, begun = mill.count(backlog)["succeeded"], time.perf_counter()
        batch = sorted(_latency(mill, "batch") for _ in range(JOBS))
        interactive = sorted(_latency(mill, "interactive") for _ in range(JOBS))
        rate = (mill.count(backlog)["succeeded"] - before) / (time.perf_counter() - begun)
        assert mill.job(backlog).state not in FINAL, "the backlog ended too early: the figures mean nothing"
        lifecycle.cancel(mill.db, backlog)
    return "\n".join(
        [
            f"jobs of {SMALL} pages of {SECONDS} s, capacity {CAPACITY}, {JOBS} of each; s, median (least to most)",
            _row("alone", alone, alone),
            _row(f"behind {BACKLOG:,} pages", batch, alone),
            _row("the same, interactive", interactive, alone),
            f"backlog beside them: {rate:.0f} pages/s; a full window of {WINDOW * CAPACITY} at that pace:"
            f" {WINDOW * CAPACITY / rate:.2f} s",
            f"load average after: {os.getloadavg()[0]:.2f}",
        ]
    )


@contextmanager
def _installation() -> Iterator[Installation]:
    settings = {"PAGEMILL_TIME_FACTOR": "1", "PAGEMILL_ENGINE_CAPACITY": str(CAPACITY)}
    with (
        tempfile.TemporaryDirectory() as root,
        Valkey() as valkey,
        Postgres(fsync=True) as postgres,
        Installation(Path(root), postgres.create_database("bench"), valkey.url, settings=settings) as mill,
        mill.worker(),
    ):
        yield mill


def _latency(mill: Installation, priority: Priority) -> float:
    """Seconds from the submission of a small job until it is closed."""
    data = pdf(SMALL)
    begun = time.perf_counter()
    job = mill.submit(data, echo=PAGES, priority=priority)
    while mill.job(job).state not in FINAL:
        time.sleep(0.01)
    return time.perf_counter() - begun


def _row(name: str, taken: list[float], alone: list[float]) -> str:
    ratio = median(taken) / median(alone)
    return f"{name:24} {median(taken):.2f} ({taken[0]:.2f} to {taken[-1]:.2f})   ratio {ratio:.2f}"
