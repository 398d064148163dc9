"""A whole installation for a test: database, store, broker, and worker processes as `python -m workers`.

Timers run ten times faster than in production (PAGEMILL_TIME_FACTOR), so that rescue takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import orjson
import psutil
from sqlalchemy import text

from jobs import lifecycle
from jobs.blobs import BlobStore, manifest_key, open_store, page_key, result_key, upload_key
from jobs.ids import new_document_id, new_job_id
from jobs.lifecycle import NewDocument
from jobs.models import FINAL, DocumentPublic, JobPublic, PagePublic, WorkerPublic
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
class Upload:
    """A file and what the door took it for."""

    data: bytes
    media_type: str = "application/pdf"


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
        (self.root / "tmp").mkdir(exist_ok=True)
        self.__dict__["db"] = self._open()
        self.__dict__["blobs"] = open_store(BlobSettings(**self._store_values()))
        self.__dict__["started"] = []
        self.__dict__["vault"] = open_vault(SecretSettings(secret_key=SECRET))

    db: Database = field(init=False)
    blobs: BlobStore = field(init=False)
    vault: Vault = field(init=False)
    started: list[WorkerService] = field(init=False)

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
            "TMPDIR": str(self.root / "tmp"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "default",
            "PYTHONFAULTHANDLER": "1",  # SIGABRT shows where a stuck one hangs
            "PAGEMILL_DATABASE_URL": self.database_url,
            "PAGEMILL_BROKER_URL": self.broker_url,
            "PAGEMILL_STORE_URL": f"file:{self.root / 'objects'}",
            "PAGEMILL_SECRET_KEY": SECRET,
            "PAGEMILL_ENGINE": "echo",
            "PAGEMILL_CACHE": "bypass",  # the same bytes come again and again and are meant to be read
            "PAGEMILL_ECHO_STATE": str(self.root / "echo-state"),
            "PAGEMILL_TIME_FACTOR": str(TIME_FACTOR),
        }
        return values | self.store | self.settings | more

    def worker(self, **settings: str) -> WorkerService:
        """A worker process, not yet started. `settings`: PAGEMILL_… of this one alone."""
        worker = WorkerService(self, self.environment(**settings))
        self.started.append(worker)
        return worker

    def submit(
        self,
        *documents: bytes | Upload,
        echo: EchoOptions | None = None,
        media_type: str = "application/pdf",
        engine: str = "echo",
        owner: str = "",
        **options: Any,
    ) -> str:
        """Put the documents and enter the job; returns its id."""
        job_id = new_job_id()
        uploads = [d if isinstance(d, Upload) else Upload(d, media_type) for d in documents]
        lifecycle.submit(
            self.db,
            job_id=job_id,
            options=JobOptions(echo=echo, **options),
            engine=engine,
            documents=[self._document(job_id, number, upload) for number, upload in enumerate(uploads)],
            vault=self.vault,
            owner=owner,
        )
        return job_id

    def _document(self, job_id: str, number: int, upload: Upload) -> NewDocument:
        document_id = new_document_id()
        key = upload_key(datetime.now(UTC).date(), job_id, document_id)
        self.blobs.put(key, upload.data)
        digest = hashlib.sha256(upload.data).hexdigest()
        return NewDocument(document_id, f"document-{number}.pdf", key, upload.media_type, len(upload.data), digest)

    def job(self, job_id: str) -> JobPublic:
        with self.db.read() as session:
            return reading.get_job(session, job_id)

    def documents(self, job_id: str) -> list[DocumentPublic]:
        """By position."""
        with self.db.read() as session:
            return reading.list_documents(session, job_id, limit=10_000)

    def pages(self, job_id: str) -> list[PagePublic]:
        """By document and number."""
        with self.db.read() as session:
            documents = reading.list_documents(session, job_id, limit=10_000)
            return [page for d in documents for page in reading.list_pages(session, d.id, limit=100_000)]

    def workers(self) -> list[WorkerPublic]:
        """Every incarnation that is not forgotten, oldest first."""
        with self.db.read() as session:
            return reading.list_workers(session)

    def markdown(self, job_id: str) -> list[str]:
        """document.md of every document that has one, by position."""
        found = []
        for document in self.documents(job_id):
            with self.db.read() as session:
                attempt = reading.result_attempt(session, document.id)
            if attempt is not None:
                found.append(self.blobs.get(result_key(job_id, document.id, attempt, "document.md")).decode())
        return found

    def manifest(self, job_id: str) -> Any:
        """job.json as a value."""
        return orjson.loads(self.blobs.get(manifest_key(job_id)))

    def wait(self, job_id: str, timeout: float = 60.0) -> JobPublic:
        """The job when it has ended and its manifest is there."""
        self.until(lambda: self.job(job_id).state in FINAL, f"{job_id} to end", timeout)
        self.until(lambda: self.blobs.stat(manifest_key(job_id)) is not None, "job.json", timeout)
        return self.job(job_id)

    def wait_for_pages(self, job_id: str, count: int, timeout: float = 60.0) -> None:
        """Until so many pages of the job have succeeded."""
        self.until(lambda: self.count(job_id)["succeeded"] >= count, f"{count} pages of {job_id}", timeout)

    def until(self, condition: Callable[[], object], what: str, timeout: float = 60.0) -> None:
        """As `wait_until`; the error shows what the workers said and what the database says of them."""
        try:
            wait_until(condition, what, timeout)
        except TimeoutError as error:
            logs = [f"--- worker {worker.directory.name}\n{worker.output()[-4000:]}" for worker in self.started]
            rows = [f"{row.id} {row.slot} {row.state} {row.pages_running} {row.detail}" for row in self.workers()]
            raise TimeoutError("\n".join([str(error), *rows, *logs])) from None

    def count(self, job_id: str) -> Counter[str]:
        """Pages by state, counted."""
        with self.db.read() as session:
            rows = session.connection().execute(
                text(
                    "SELECT p.state, count(*) FROM page p JOIN document d ON d.id = p.document_id"
                    " WHERE d.job_id = :job GROUP BY p.state"
                ),
                {"job": job_id},
            )
            return Counter({row[0]: row[1] for row in rows})

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
        ours = [row for row in rows if row.pid == self.pid and row.state == "alive"]
        return any(f"worker {row.id} serves" in self.output() for row in ours)

    def output(self) -> str:
        """Its whole log; empty when it was never started or is removed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def launch(self) -> Self:
        """Start without waiting: for a worker that is not expected to serve."""
        self._spawn()
        return self

    def incarnation(self) -> WorkerPublic:
        """The row under which this process is known now."""
        return [row for row in self._installation.workers() if row.pid == self.pid][-1]

    def tree(self) -> list[psutil.Process]:
        """The worker itself first, then its render processes."""
        return self._tree()

    def crash(self) -> list[psutil.Process]:
        """SIGKILL to the worker alone, as the kernel does; returns the processes it leaves behind."""
        assert self._process is not None
        _, *children = self._tree()
        self._process.kill()
        self._process.wait()
        return children

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

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
