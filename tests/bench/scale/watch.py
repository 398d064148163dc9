"""What is looked at while a load runs: progress, sizes, memory, statements; and what a user waits for meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
import psycopg

from tests.bench.beside import Beside
from tests.bench.scale.journal import Journal
from tests.bench.scale.site import Site
from tests.bench.soak import MIB, private

_PROGRESS = """SELECT count(*), coalesce(sum(CASE WHEN sealed THEN 1 ELSE 0 END), 0), coalesce(sum(total), 0),
                      coalesce(sum(succeeded + failed + canceled), 0),
                      coalesce(sum(CASE WHEN finished_at IS NULL THEN 0 ELSE 1 END), 0) FROM document"""
_SIZES = """SELECT coalesce(t.relname || ' ' || i.relname, c.relname), pg_table_size(c.oid)
            FROM pg_class c LEFT JOIN pg_index x ON x.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = x.indrelid
            LEFT JOIN pg_class i ON i.oid = x.indexrelid
            WHERE coalesce(t.relname, c.relname) IN ('page', 'document', 'job') AND c.relkind IN ('r', 'i')"""
_ALL = "SELECT pg_database_size(current_database())"
_DEAD = "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE relname IN ('page', 'document')"
_LOG = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pagemill'"
SYNCS = 5
Calls = Callable[[], Mapping[str, str]]
"""Paths below /v1/ by name, as they are at that moment."""


class Watch(Beside):
    """Notes a `sample` every so many seconds, from a thread. Use as a context manager."""

    def __init__(self, site: Site, journal: Journal, every: float) -> None:
        super().__init__()
        self._site, self._journal, self._every = site, journal, every
        self._told = 0.0
        self.latest: dict[str, int] = {}
        """Documents, those split, pages, pages done, documents done."""

    def _run(self) -> None:
        with self._site.postgres.connect("bench") as connection, self._site.valkey.client() as valkey:
            self._sample(connection, valkey)
            while not self._end.wait(self._every):
                self._sample(connection, valkey)
            self._sample(connection, valkey)

    def _sample(self, connection: psycopg.Connection[Any], valkey: Any) -> None:
        names = ("documents", "split", "pages", "done", "finished")
        row = connection.execute(_PROGRESS).fetchone() or ()
        self.latest = {name: int(number) for name, number in zip(names, row, strict=True)}
        (log,) = connection.execute(_LOG).fetchone() or (0,)
        (everything,) = connection.execute(_ALL).fetchone() or (0,)
        (connections,) = connection.execute(_CONNECTIONS).fetchone() or (0,)
        self._journal.note(
            "sample",
            **self.latest,
            sizes={name: int(size) for name, size in connection.execute(_SIZES)},
            dead={name: int(count) for name, count in connection.execute(_DEAD)},
            wal=int(log),
            database=int(everything),
            connections=int(connections),
            sync=round(sync(self._site.mill.root) * 1000, 2),
            cpu=round(sum(map(cpu_seconds, self._site.parts.values())), 2),
            redis=int(valkey.info("memory")["used_memory"]),
            memory={name: round(sum(map(private, found())) / MIB, 1) for name, found in self._site.parts.items()},
            statements=self._site.log.read(),
            vacuums=dict(self._site.log.vacuums),
        )
        if time.monotonic() - self._told > 10 * self._every:
            self._told = time.monotonic()
            self._journal.say(", ".join(f"{number:,} {name}" for name, number in self.latest.items()))


class Probe(Beside):
    """Calls the API again and again, one call after the other, and notes what each took. Use as a context manager."""

    def __init__(self, site: Site, journal: Journal, calls: Calls, pause: float = 0.1) -> None:
        super().__init__()
        self._site, self._journal, self._calls, self._pause = site, journal, calls, pause
        self.phase = ""
        """Noted with each call."""

    def _run(self) -> None:
        with self._site.client() as client:
            while not self._end.is_set():
                for name, path in self._calls().items():
                    self._call(client, name, path)
                    if self._end.wait(self._pause):
                        return
                self._end.wait(self._pause)

    def _call(self, client: httpx.Client, name: str, path: str) -> None:
        phase, begun = self.phase, time.perf_counter()
        response = client.get(path)
        took = (time.perf_counter() - begun) * 1000
        self._journal.note(
            "call", name=name, phase=phase, ms=round(took, 2), status=response.status_code, bytes=len(response.content)
        )


def sync(folder: Path) -> float:
    """Seconds that it takes to make a small file durable there, the median of some: what the disk itself does."""
    taken = []
    for number in range(SYNCS):
        path, begun = folder / f"sync-{number}", time.perf_counter()
        with path.open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        taken.append(time.perf_counter() - begun)
        path.unlink()
    return median(taken)


def cpu_seconds(found: Callable[[], list[psutil.Process]]) -> float:
    """Of these processes, and of children of theirs that have ended."""
    total = 0.0
    for process in found():
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def stored(folder: Path) -> dict[str, int]:
    """Files below a folder, their bytes, and the bytes of their blocks."""
    files = sizes = blocks = 0
    pending = [folder]
    while pending:
        for path in pending.pop().iterdir():
            if path.is_dir():
                pending.append(path)
                continue
            found = path.stat()
            files, sizes, blocks = files + 1, sizes + found.st_size, blocks + 512 * found.st_blocks
    return {"files": files, "bytes": sizes, "on_disk": blocks}
