"""An installation to be filled: PostgreSQL with fsync, Valkey, an API process, workers with echo, a folder as store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from jobs.settings import DatabaseSettings
from jobs.store.database import Database, open_database
from tests.api_server import ApiServer
from tests.bench.scale.statements import SETTINGS, StatementLog
from tests.bench.soak import Parts, parts_of, tree
from tests.installation import Installation
from tests.services import Postgres, SeaweedFS, Valkey

BUCKET = "scans"
POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
"""Beside its defaults. Autovacuum has none but those."""


@dataclass(frozen=True)
class Site:
    postgres: Postgres
    valkey: Valkey
    api: ApiServer
    mill: Installation
    log: StatementLog
    parts: Parts
    """Whose memory is looked at."""
    seaweed: SeaweedFS | None = None

    def client(self) -> httpx.Client:
        """One that waits for whatever takes long here."""
        return httpx.Client(base_url=f"{self.api.url}/v1/", timeout=600)

    @property
    def objects(self) -> Path:
        return self.mill.root / "objects"


@contextmanager
def site(workers: int, *, s3: bool = False) -> Iterator[Site]:
    """`s3`: with a bucket beside, from which documents may come."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres(fsync=True, **POSTGRES, **SETTINGS))
        seaweed = stack.enter_context(SeaweedFS()) if s3 else None
        bucket = _bucket(seaweed) if seaweed else {}
        url = postgres.create_database("bench")
        settings = {"PAGEMILL_TIME_FACTOR": "1"} | {f"PAGEMILL_{name.upper()}": value for name, value in bucket.items()}
        mill = stack.enter_context(Installation(root, url, valkey.url, settings=settings))
        api = ApiServer(
            url, broker_url=valkey.url, store_url=f"file:{root / 'objects'}", max_files_per_job=100_000, **bucket
        )
        stack.enter_context(api)
        started = [stack.enter_context(mill.worker()) for _ in range(workers)]
        parts = parts_of(started) | {"API": tree(api), "Valkey": tree(valkey), "PostgreSQL": tree(postgres)}
        yield Site(postgres, valkey, api, mill, StatementLog(postgres.log), parts, seaweed)


@contextmanager
def database() -> Iterator[Database]:
    """An empty one with our tables."""
    with Postgres(fsync=True, **POSTGRES) as postgres:
        db = open_database(DatabaseSettings(database_url=postgres.create_database("bench")))
        db.migrate()
        yield db
        db.dispose()


def _bucket(seaweed: SeaweedFS) -> dict[str, str]:
    seaweed.create_bucket(BUCKET)
    return {
        "s3_endpoint": seaweed.url,
        "s3_access_key": seaweed.access_key,
        "s3_secret_key": seaweed.secret_key,
        "sources": f"s3://{BUCKET}/",
    }
