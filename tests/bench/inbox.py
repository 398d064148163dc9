"""A drop folder with many small objects: how fast they are taken, and what looking at them again costs.

Real SeaweedFS or a local folder, PostgreSQL with fsync or SQLite; one scanner in this process, eight threads. What the
servers spend on two cores is in the wall-clock times too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from jobs.blobs import Places, open_store
from jobs.inbox import open_inboxes
from jobs.options import JobOptions
from jobs.settings import BlobSettings, DatabaseSettings, InboxSettings, LimitSettings
from jobs.store.database import Database, open_database
from tests.services import Postgres, SeaweedFS
from workers.scan import Scanner, Sweep

PDF = b"%PDF-1.7\n" + bytes(2000)
THREADS = 8
ADDED = 10
"""Objects that are new in the last sweep."""


@dataclass(frozen=True)
class Timed:
    sweep: Sweep
    wall: float
    cpu: float
    """Of this process alone."""


def run(objects: int) -> str:
    """Objects taken a second; wall-clock and CPU seconds of a sweep that finds nothing new, and ten new ones."""
    lines = ["inbox      database      objects   put s   taken s   objects/s   sweep s   its CPU s   with 10 new s"]
    with tempfile.TemporaryDirectory() as root:
        for name, ground in (("folder", _folder), ("SeaweedFS", _bucket)):
            with ground(Path(root)) as (store, base), _database(name, Path(root)) as db:
                lines.append(_measure(name, db, store, base, objects))
                print(lines[-1], flush=True)
    return "\n".join(lines)


@contextmanager
def _folder(root: Path) -> Iterator[tuple[BlobSettings, str]]:
    (root / "drop" / "incoming").mkdir(parents=True)
    yield BlobSettings(store_url=f"file:{root / 'objects'}"), f"file:{root}/drop/"


@contextmanager
def _bucket(root: Path) -> Iterator[tuple[BlobSettings, str]]:
    with SeaweedFS() as seaweedfs:
        seaweedfs.create_bucket("bench")
        yield seaweedfs.settings("bench", "store"), "s3://bench/drop/"


@contextmanager
def _database(name: str, root: Path) -> Iterator[Database]:
    if name == "folder":
        yield _migrated(f"sqlite:///{root / 'bench.db'}")
        return
    with Postgres(fsync=True) as postgres:
        db = _migrated(postgres.create_database("bench"))
        yield db
        db.dispose()


def _migrated(url: str) -> Database:
    db = open_database(DatabaseSettings(database_url=url))
    db.migrate()
    return db


def _measure(name: str, db: Database, store: BlobSettings, base: str, objects: int) -> str:
    settings = InboxSettings(inbox=f"{base}incoming/", inbox_settle=0.0)
    [inbox] = open_inboxes(settings, store)
    places, blobs = Places(store), open_store(store)
    buckets, location = places.of(inbox.location), inbox.location
    with ThreadPoolExecutor(THREADS) as threads:
        scanner = Scanner(db, blobs, places, [inbox], settings, LimitSettings(), JobOptions(), "echo", None, threads)

        def put(number: int) -> None:
            buckets.put(location.bucket, f"{location.path}{number // 1000:03}/{number:06}.pdf", PDF)

        began = time.monotonic()
        list(threads.map(put, range(objects)))
        filled = time.monotonic() - began
        first = _timed(lambda: scanner.sweep(inbox))
        again = _timed(lambda: scanner.sweep(inbox))
        list(threads.map(put, range(objects, objects + ADDED)))
        more = _timed(lambda: scanner.sweep(inbox))
    assert (first.sweep.taken, again.sweep.taken, more.sweep.taken) == (objects, 0, ADDED)
    with db.read() as session:
        [taken, documents] = (
            session.connection()
            .execute(
                text("SELECT (SELECT count(*) FROM inbox_object WHERE state = 'submitted'), count(*) FROM document")
            )
            .one()
        )
    assert taken == documents == objects + ADDED
    blobs.close()
    places.close()
    kind = "sqlite" if name == "folder" else "postgresql"
    return (
        f"{name:10} {kind:11} {objects:9}  {filled:6.1f}   {first.wall:7.1f}   {objects / first.wall:9.0f}"
        f"   {again.wall:7.2f}   {again.cpu:9.2f}   {more.wall:13.2f}"
    )


def _timed(sweep: Callable[[], Sweep]) -> Timed:
    wall, cpu = time.monotonic(), time.process_time()
    found = sweep()
    return Timed(found, time.monotonic() - wall, time.process_time() - cpu)
