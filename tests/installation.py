"""A whole installation for a test: database, store, broker, and worker processes as `python -m workers`.

Timers run ten times faster than in production (PAGEMILL_TIME_FACTOR), so that rescue takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import orjson
from sqlalchemy import text

from jobs import lifecycle
from jobs.blobs import BlobStore, manifest_key, open_store, page_key, upload_key
from jobs.ids import new_document_id, new_job_id
from jobs.lifecycle import NewDocument
from jobs.models import FINAL, JobPublic
from jobs.options import EchoOptions, JobOptions
from jobs.settings import BlobSettings, DatabaseSettings, SecretSettings
from jobs.store import reading
from jobs.store.database import Database, open_database
from jobs.vault import Vault, open_vault
from tests.processes import Service, wait_until

REPOSITORY = Path(__file__).parent.parent
TIME_FACTOR = 10.0
SECRET = "a long secret for tests only"


@dataclass(frozen=True)
class Installation:
    """Addresses of the services, and what a test does with them."""

    root: Path
    database_url: str
    broker_url: str
    store: dict[str, str] = field(default_factory=dict)
    """Settings of the object store; a directory under `root` where empty."""
    settings: dict[str, str] = field(default_factory=dict)
    """Further PAGEMILL_… settings of workers."""

    def __post_init__(self) -> None:
        self.__dict__["db"] = self._open()
        self.__dict__["blobs"] = open_store(BlobSettings(**self._store_values()))
        self.__dict__["vault"] = open_vault(SecretSettings(secret_key=SECRET))

    db: Database = field(init=False)
    blobs: BlobStore = field(init=False)
    vault: Vault = field(init=False)

    def _open(self) -> Database:
        db = open_database(DatabaseSettings(database_url=self.database_url))
        db.migrate()
        return db

    def _store_values(self) -> dict[str, Any]:
        values = {name.removeprefix("PAGEMILL_").lower(): value for name, value in self.store.items()}
        return values or {"store_url": f"file:{self.root / 'objects'}"}

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a worker: nothing of ours but PATH."""
        values = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "default",
            "PAGEMILL_DATABASE_URL": self.database_url,
            "PAGEMILL_BROKER_URL": self.broker_url,
            "PAGEMILL_STORE_URL": f"file:{self.root / 'objects'}",
            "PAGEMILL_SECRET_KEY": SECRET,
            "PAGEMILL_ENGINE": "echo",
            "PAGEMILL_ECHO_STATE": str(self.root / "echo-state"),
            "PAGEMILL_TIME_FACTOR": str(TIME_FACTOR),
        }
        return values | self.store | self.settings | more

    def worker(self, **settings: str) -> WorkerService:
        return WorkerService(self, self.environment(**settings))

    def submit(
        self, *documents: bytes, echo: EchoOptions | None = None, media_type: str = "application/pdf", **options: Any
    ) -> str:
        """Put the documents and enter the job; returns its id."""
        job_id = new_job_id()
        new = [self._document(job_id, number, data, media_type) for number, data in enumerate(documents)]
        lifecycle.submit(
            self.db,
            job_id=job_id,
            options=JobOptions(echo=echo, **options),
            engine="echo",
            documents=new,
            vault=self.vault,
        )
        return job_id

    def _document(self, job_id: str, number: int, data: bytes, media_type: str) -> NewDocument:
        document_id = new_document_id()
        key = upload_key(datetime.now(UTC).date(), job_id, document_id)
        self.blobs.put(key, data)
        digest = hashlib.sha256(data).hexdigest()
        return NewDocument(document_id, f"document-{number}.pdf", key, media_type, len(data), digest)

    def job(self, job_id: str) -> JobPublic:
        with self.db.read() as session:
            return reading.get_job(session, job_id)

    def wait(self, job_id: str, timeout: float = 60.0) -> JobPublic:
        """The job when it has ended and its manifest is there."""
        wait_until(lambda: self.job(job_id).state in FINAL, f"{job_id} to end", timeout)
        wait_until(lambda: self.blobs.stat(manifest_key(job_id)) is not None, "job.json", timeout)
        return self.job(job_id)

    def wait_for_pages(self, job_id: str, count: int, timeout: float = 60.0) -> None:
        """Until so many pages of the job have succeeded."""
        wait_until(lambda: self.count(job_id)["succeeded"] >= count, f"{count} pages of {job_id}", timeout)

    def count(self, job_id: str) -> Counter[str]:
        """Pages by state, counted."""
        return Counter(state for _, _, state, _ in self.page_rows(job_id))

    def page_rows(self, job_id: str) -> list[tuple[str, int, str, int]]:
        """(document, number, state, attempt) of every page of the job."""
        with self.db.read() as session:
            rows = session.connection().execute(
                text(
                    "SELECT p.document_id, p.number, p.state, p.attempt FROM page p"
                    " JOIN document d ON d.id = p.document_id WHERE d.job_id = :job ORDER BY 1, 2"
                ),
                {"job": job_id},
            )
            return [(row[0], row[1], row[2], row[3]) for row in rows]

    def results(self, job_id: str) -> dict[tuple[str, int], str]:
        """The stored content of every succeeded page, under the key that its row names."""
        found = {}
        for document, number, state, attempt in self.page_rows(job_id):
            if state == "succeeded":
                stored = orjson.loads(self.blobs.get(page_key(job_id, document, number, attempt)))
                found[document, number] = stored["blocks"][0]["content"]
        return found

    def close(self) -> None:
        self.db.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WorkerService(Service):
    """`python -m workers` as a child of the test."""

    name = "worker"

    def __init__(self, installation: Installation, environment: dict[str, str]) -> None:
        super().__init__(0)
        self._environment = environment
        self._installation = installation

    def _command(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in self._environment.items()]
        return ["/usr/bin/env", "-i", *settings, sys.executable, "-m", "workers"]

    def _listens(self) -> bool:
        return True

    def _ready(self) -> bool:
        with self._installation.db.read() as session:
            rows = reading.list_workers(session)
        return any(row.pid == self.pid and row.state == "alive" for row in rows) and " serves " in self.output()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def wait(self, timeout: float = 60.0) -> int:
        """The exit status when it ends by itself."""
        assert self._process is not None
        return self._process.wait(timeout)


def ledger_errors(installation: Installation, job_id: str) -> list[str]:
    """What does not add up: counters against rows, attempts against stored results, states against children."""
    errors = []
    job = installation.job(job_id)
    with installation.db.read() as session:
        documents = reading.list_documents(session, job_id, limit=10_000)
    rows = installation.page_rows(job_id)
    for document in documents:
        states = Counter(state for owner, _, state, _ in rows if owner == document.id)
        counted = {name: states[name] for name in ("pending", "running", "succeeded", "failed", "canceled")}
        told = document.pages.model_dump()
        if counted | {"total": sum(states.values())} != told:
            errors.append(f"{document.id}: counters say {told}, rows {counted}")
        if document.state not in FINAL:
            errors.append(f"{document.id} is {document.state}")
    if job.pages.total != len(rows):
        errors.append(f"the job counts {job.pages.total} pages of {len(rows)}")
    for (document, number), content in installation.results(job_id).items():
        if content != f"page {number}":
            errors.append(f"{document}/{number} says {content!r}")
    return errors


