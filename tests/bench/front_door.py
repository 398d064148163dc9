"""200 connections that submit small jobs and poll them, against two API processes on PostgreSQL, with a worker.

Each client submits a document of one page and asks for its job until it has ended, then begins again; the pause between
its requests is what differs. Everything runs on the same cores: clients, both servers, database, broker and worker.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from jobs import keys
from jobs.models import FINAL, KeyLimits, Scope
from tests.api_server import ApiServer
from tests.bench.connection import Answer, Connection
from tests.bench.machine import CpuMeter
from tests.documents import pdf
from tests.installation import Installation
from tests.processes import HOST
from tests.services import Postgres, Valkey

CLIENTS = 200
SECONDS = 60.0
SERVERS = 2
LIMITED_KEYS = 20
LIMIT = 5
"""Requests per second of each limited key: 100 in all, where 200 clients want more."""
_FORM = {"Content-Type": "multipart/form-data; boundary=b"}
_BODY = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + pdf(1) + b"\r\n--b--\r\n"
_STATES = {state.value for state in FINAL}


@dataclass
class Record:
    """What came back: seconds by method, counts by status, and what nobody should see."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "POST": []})
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def note(self, method: str, seconds: float, answer: Answer) -> None:
        self.statuses[f"{method} {answer.status}"] += 1
        if answer.status < 400:
            self.seconds[method].append(seconds)
        elif answer.status != 429 or not _is_honest(answer):
            self.wrong[f"{method} {answer.status} {answer.body[:200]!r}"] += 1


def _is_honest(answer: Answer) -> bool:
    """A refusal that says why and when to come again."""
    return int(answer.headers.get("retry-after", 0)) >= 1 and json.loads(answer.body)["code"] == "rate_limited"


def run(seconds: float = SECONDS) -> str:
    """Three rounds: clients that wait a second between requests, clients that do not, and those with limited keys."""
    with ExitStack() as stack:
        door = _Door(stack)
        free = door.keys(1)
        limited = door.keys(LIMITED_KEYS, requests_per_second=LIMIT)
        door.load(free, 0.0, 3.0)  # warm: connections, caches, imports
        rounds = {
            "a second's pause": (free, 1.0),
            "no pause": (free, 0.0),
            f"no pause, {LIMITED_KEYS} keys of {LIMIT}/s": (limited, 0.0),
        }
        return "\n".join(f"{name}: {door.load(found, pause, seconds)}" for name, (found, pause) in rounds.items())


class _Door:
    def __init__(self, stack: ExitStack) -> None:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres(fsync=True))
        url = postgres.create_database("bench")
        self.mill = stack.enter_context(Installation(root, url, valkey.url, settings={"PAGEMILL_TIME_FACTOR": "1"}))
        self.servers = [
            ApiServer(url, auth="keys", broker_url=valkey.url, store_url=f"file:{root / 'objects'}")
            for _ in range(SERVERS)
        ]
        for server in self.servers:
            stack.callback(server.remove)
            server.start()
        worker = self.mill.worker()
        stack.callback(worker.remove)
        worker.start()
        self.pids = {
            "api": [server.pid for server in self.servers],
            "broker": [valkey.pid],
            "database": [postgres.pid],
            "worker": [worker.pid],
            "clients": [os.getpid()],
        }

    def keys(self, count: int, **limits: int) -> list[str]:
        scopes = [Scope.SUBMIT, Scope.READ]
        return [keys.create(self.mill.db, f"key {n}", scopes, KeyLimits(**limits))[1] for n in range(count)]

    def load(self, found: list[str], pause: float, seconds: float) -> str:
        record = Record()
        meter = CpuMeter(self.pids | {"clients": []})
        before, started = sum(os.times()[:2]), time.perf_counter()
        asyncio.run(_clients(self.servers, found, pause, time.monotonic() + seconds, record))
        passed = time.perf_counter() - started
        used = meter.read() | {"clients": sum(os.times()[:2]) - before}
        assert not record.wrong, record.wrong.most_common(5)
        return _told(record, passed, used)


async def _clients(servers: list[ApiServer], found: list[str], pause: float, until: float, record: Record) -> None:
    whose = itertools.cycle(found)
    async with asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            server = servers[number % len(servers)]
            tasks.create_task(_client(server.port, next(whose), pause, until, record))


async def _client(port: int, key: str, pause: float, until: float, record: Record) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    job: str | None = None
    async with Connection(HOST, port) as connection:
        while time.monotonic() < until:
            started = time.perf_counter()
            if job is None:
                method = "POST"
                answer = await connection.ask(method, "/v1/jobs", headers | _FORM, _BODY)
            else:
                method = "GET"
                answer = await connection.ask(method, f"/v1/jobs/{job}", headers)
            record.note(method, time.perf_counter() - started, answer)
            job = _next(job, answer)
            await asyncio.sleep(float(answer.headers.get("retry-after", pause)))


def _next(job: str | None, answer: Answer) -> str | None:
    """The job to ask for next; None: time for a new one."""
    if answer.status >= 400:
        return job
    told = json.loads(answer.body)
    return None if told["state"] in _STATES else told["id"]


def _told(record: Record, passed: float, used: dict[str, float]) -> str:
    count = sum(record.statuses.values())
    lines = [f"{count / passed:.0f} requests/s in {passed:.0f} s"]
    for method, found in record.seconds.items():
        found.sort()
        p50, p95, p99 = (found[min(len(found) - 1, int(len(found) * p))] * 1000 for p in (0.5, 0.95, 0.99))
        lines.append(f"  {method}: p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f}, most {found[-1] * 1000:.0f} ms")
    lines.append(f"  answers: {', '.join(f'{name}: {n}' for name, n in sorted(record.statuses.items()))}")
    lines.append(f"  CPU s: {', '.join(f'{name} {seconds:.1f}' for name, seconds in used.items())}")
    lines.append(f"  load average after: {os.getloadavg()[0]:.1f}")
    return "\n".join(lines)
