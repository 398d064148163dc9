"""What 2,000 waits cost those who do not wait: `GET /v1/jobs/{id}`, one after the other, alone and beside the crowd.

One API process, PostgreSQL with fsync. The crowd holds a connection each, half of them long polls for the end of a job,
half streams of events, ten of them for each of 200 jobs. 20 of the jobs change every second, which 100 streams tell. In
the end all jobs are canceled from outside, and the time until the last of the crowd knows is taken.
"""

from __future__ import annotations

import asyncio
import http.client
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from jobs import lifecycle
from jobs.store.database import Database
from tests.api_server import ApiServer
from tests.bench.machine import CpuMeter
from tests.processes import HOST
from tests.protocol import submit
from tests.services import Postgres

CROWD = 2000
JOBS = 200
CHANGING = 20
"""Jobs that change every second."""
REQUESTS = 1000
QUIET = 10.0
"""Seconds in which nothing but the crowd is there, to see what it costs by itself."""


def run() -> str:
    """A table of milliseconds."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 * CROWD, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres(fsync=True))
        api = ApiServer(postgres.create_database("bench"), store_url=f"file:{root / 'objects'}")
        database = api.database()
        stack.callback(database.dispose)
        database.migrate()
        stack.enter_context(api)
        jobs = [submit(database)[0] for _ in range(JOBS)]
        return asyncio.run(_Bench(api, database, jobs, postgres.pid).measure())


class _Bench:
    def __init__(self, api: ApiServer, database: Database, jobs: Sequence[str], postgres: int) -> None:
        self._api, self._database, self._jobs = api, database, jobs
        self._pids = {"api": [api.pid], "database": [postgres]}
        self._process = psutil.Process(api.pid)
        self._waiting = 0

    async def measure(self) -> str:
        alone = await asyncio.to_thread(self._latencies)
        before = self._held()
        crowd = [asyncio.create_task(self._wait(number)) for number in range(CROWD)]
        while self._waiting < CROWD:
            await asyncio.sleep(0.1)
        changing = asyncio.create_task(self._change())
        meter = CpuMeter(self._pids)
        await asyncio.sleep(QUIET)
        cpu = {name: seconds / QUIET * 100 for name, seconds in meter.read().items()}
        beside = await asyncio.to_thread(self._latencies)
        during = self._held()
        changing.cancel()
        with suppress(asyncio.CancelledError):
            await changing
        begun = time.perf_counter()
        await asyncio.to_thread(lambda: [lifecycle.cancel(self._database, job) for job in self._jobs])
        canceled = time.perf_counter()
        await asyncio.gather(*crowd)
        told = time.perf_counter()
        return "\n".join(
            [
                f"GET /v1/jobs/{{id}}, {REQUESTS} one after the other: median, 99 %, most, in milliseconds",
                f"{'alone':20} {_quantiles(alone)}",
                f"{f'beside {CROWD} waits':20} {_quantiles(beside)}",
                f"threads and MiB resident: {before} before, {during} beside the crowd",
                f"the crowd by itself, % of a core: {', '.join(f'{name} {used:.0f}' for name, used in cpu.items())}",
                f"{JOBS} jobs canceled in {canceled - begun:.2f} s; {told - canceled:.2f} s later all knew",
            ]
        )

    def _held(self) -> tuple[int, int]:
        return self._process.num_threads(), self._process.memory_info().rss >> 20

    def _latencies(self) -> list[float]:
        """Milliseconds, sorted."""
        taken = []
        connection = http.client.HTTPConnection(HOST, self._api.port)
        for number in range(REQUESTS):
            begun = time.perf_counter()
            connection.request("GET", f"/v1/jobs/{self._jobs[number % JOBS]}")
            answer = connection.getresponse()
            answer.read()
            taken.append((time.perf_counter() - begun) * 1000)
            assert answer.status == 200
        connection.close()
        return sorted(taken)

    async def _wait(self, number: int) -> None:
        """One of the crowd, until it knows of its job's end. Long polls whose time is over begin anew."""
        await asyncio.sleep(number * 0.004)  # 250 a second: the backlog of connections is bounded
        job, stream = self._jobs[number % JOBS], number % 20 >= 10
        place = f"/v1/jobs/{job}/events" if stream else f"/v1/jobs/{job}"
        request = f"GET {place} HTTP/1.1\r\nHost: {HOST}\r\nPrefer: wait=60\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection(HOST, self._api.port)
        writer.write(request)
        self._waiting += 1
        end = b"event: end" if stream else b'"state":"canceled"'
        told = b""
        while end not in told:
            piece = await reader.read(65536)
            assert piece, f"cut: {told[-200:]!r}"
            told = told[-100:] + piece
            if not stream and b'"state":"queued"' in told:
                told = b""
                writer.write(request)
        writer.close()

    async def _change(self) -> None:
        """Give some of the jobs another priority every second."""
        urgent = False
        while True:
            urgent = not urgent
            priority = "interactive" if urgent else "batch"
            for job in self._jobs[:CHANGING]:
                await asyncio.to_thread(lifecycle.prioritize, self._database, job, priority)
            await asyncio.sleep(1.0)


def _quantiles(taken: Sequence[float]) -> str:
    return f"{taken[len(taken) // 2]:.1f}  {taken[len(taken) * 99 // 100]:.1f}  {taken[-1]:.1f}"
