"""Echo through everything: HTTP submit, store, split, dispatch, Redis, claim, record, assemble, close.

The engine does nothing, so what is measured is what the queue itself costs. PostgreSQL runs with fsync on. The time
counts from the first byte of the first submit until the last job is closed. Jobs hold up to 100 documents.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from jobs.models import FINAL
from jobs.store import reading
from tests.api_server import ApiServer
from tests.bench.machine import CpuMeter
from tests.documents import pdf
from tests.installation import Installation, ledger_errors
from tests.services import Postgres, SeaweedFS, Valkey

FILES_PER_JOB = 100
WORKERS = 1
ROUNDS = 3


def run(*, documents: int, pages: int, s3: bool = False) -> str:
    """Rounds of the same load; returns a table of medians."""
    with ExitStack() as stack:
        bench = _Bench(stack, s3)
        bench.load(1, pages)  # warm: connections, caches, imports
        rounds = [bench.load(documents, pages) for _ in range(ROUNDS)]
    return _table(documents, pages, rounds)


class _Bench:
    def __init__(self, stack: ExitStack, s3: bool) -> None:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres(fsync=True))
        url = postgres.create_database("bench")
        store: dict[str, str] = {}
        if s3:
            seaweed = stack.enter_context(SeaweedFS())
            store = _variables(seaweed.settings(seaweed.create_bucket("bench")))
        factor = {"PAGEMILL_TIME_FACTOR": "1"}
        self.installation = stack.enter_context(Installation(root, url, valkey.url, store=store, settings=factor))
        names = {name.removeprefix("PAGEMILL_").lower(): value for name, value in store.items()}
        self.api = ApiServer(url, broker_url=valkey.url, **({"store_url": f"file:{root / 'objects'}"} | names))
        stack.callback(self.api.remove)
        self.api.start()
        workers = [self.installation.worker() for _ in range(WORKERS)]
        for worker in workers:
            stack.callback(worker.remove)
            worker.start()
        self.pids = {
            "api": [self.api.pid],
            "broker": [valkey.pid],
            "database": [postgres.pid],
            "worker": [worker.pid for worker in workers],
        }
        if s3:
            self.pids["s3"] = [seaweed.pid]

    def load(self, documents: int, pages: int) -> dict[str, float]:
        """Pages per second and CPU milliseconds per page by part."""
        data = pdf(pages)
        meter = CpuMeter(self.pids)
        started = time.perf_counter()
        with self.api.client() as client:
            jobs = [_submit(client, data, batch) for batch in _batches(documents)]
        submitted = time.perf_counter() - started
        self._wait(jobs)
        seconds = time.perf_counter() - started
        cpu = meter.read()
        for job in jobs:
            assert not ledger_errors(self.installation, job), "the ledger does not add up"
        count = documents * pages
        return {"pages/s": count / seconds, "submit s": submitted} | {
            f"{name} ms": used / count * 1000 for name, used in cpu.items()
        }

    def _wait(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            while self._state(job) not in FINAL:
                time.sleep(0.05)

    def _state(self, job: str) -> Any:
        with self.installation.db.read() as session:
            return reading.get_job(session, job).state


def _batches(documents: int) -> list[int]:
    """Documents per job."""
    return [min(FILES_PER_JOB, documents - start) for start in range(0, documents, FILES_PER_JOB)]


def _variables(settings: Any) -> dict[str, str]:
    values = settings.model_dump(exclude_defaults=True)
    return {
        f"PAGEMILL_{name.upper()}": value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        for name, value in values.items()
    }


def _submit(client: httpx.Client, data: bytes, count: int) -> str:
    parts = [("file", (f"{number}.pdf", data, "application/pdf")) for number in range(count)]
    response = client.post("jobs", files=parts)
    response.raise_for_status()
    job: str = response.json()["id"]
    return job


def _table(documents: int, pages: int, rounds: list[dict[str, float]]) -> str:
    lines = [
        f"{documents} documents of {pages} pages, {WORKERS} worker process, {len(rounds)} rounds; median (min to max)"
    ]
    for name in rounds[0]:
        values = sorted(r[name] for r in rounds)
        lines.append(f"{name:>12} {values[len(values) // 2]:8.2f}  ({values[0]:.2f} to {values[-1]:.2f})")
    lines.append(f"load average after: {os.getloadavg()[0]:.2f}")
    return "\n".join(lines)
