"""The sides of B4, all driven alike: pagemill, and the designs of `tests.bench.celery_designs`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.bench.celery_designs.apps import BROKER, READY
from tests.bench.celery_designs.documents import DATABASE, STORE, TABLE
from tests.bench.celery_designs.engine import MODEL, READINGS
from tests.bench.environments import environment
from tests.bench.modelled import Model
from tests.bench.modelled_worker import NAME, ModelledWorker
from tests.documents import pdf
from tests.installation import REPOSITORY, Installation, ledger_errors
from tests.processes import Service
from tests.services import Postgres, Valkey


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was submitted in one go."""

    key: Any
    """For the side that took it."""
    documents: int
    pages: int
    """Of all documents."""
    begun: float
    """Unix time."""
    cpu: float
    """Seconds of the submitter."""


class Side(Protocol):
    """One way to do it."""

    name: str
    readings: Path
    """Of the worker that was made last."""

    def worker(self, model: Model, **more: str) -> Service:
        """A worker with a fresh engine, not yet started."""

    def submit(self, documents: int, pages: int) -> Submitted:
        """So many documents of so many pages, in one submission."""

    def ends(self, submitted: Submitted) -> list[float]:
        """Unix times at which its documents ended, ascending; as many as it has only when there is nothing left."""

    def stored(self, submitted: Submitted) -> list[int]:
        """Numbers of the pages whose results can be read, of all its documents."""

    def check(self, submitted: Submitted) -> None:
        """Raises AssertionError where something of an ended submission is missing."""


class Pagemill:
    """The real worker around the modelled engine."""

    name = "pagemill"

    def __init__(self, stack: ExitStack, root: Path, postgres: Postgres, valkey: Valkey) -> None:
        url = postgres.create_database("pagemill")
        settings = {"PAGEMILL_TIME_FACTOR": "1"}
        self._mill = stack.enter_context(Installation(root, url, valkey.url_of(0), settings=settings))
        self._rows = stack.enter_context(_connect(url))
        self._root, self._workers = root, 0

    def worker(self, model: Model, **more: str) -> Service:
        self._workers += 1
        self.readings = self._root / f"readings-{self._workers}"
        return ModelledWorker(self._mill, model, self.readings, **more)

    def submit(self, documents: int, pages: int) -> Submitted:
        data = pdf(pages)
        begun, cpu = time.time(), time.process_time()
        job = self._mill.submit(*[data] * documents, engine=NAME)
        return Submitted(job, documents, documents * pages, begun, time.process_time() - cpu)

    def ends(self, submitted: Submitted) -> list[float]:
        """The last one ends when the job is closed."""
        rows = self._rows.execute(
            "SELECT extract(epoch FROM d.finished_at)::float8, extract(epoch FROM j.finished_at)::float8"
            " FROM document d JOIN job j ON j.id = d.job_id WHERE j.id = %s AND d.finished_at IS NOT NULL ORDER BY 1",
            (submitted.key,),
        ).fetchall()
        closed = rows[0][1] if rows else None
        ended = [row[0] for row in rows[: submitted.documents - 1]]
        return ended if closed is None else [*ended, closed]

    def stored(self, submitted: Submitted) -> list[int]:
        return [number for _, number, state, _ in self._mill.page_rows(submitted.key) if state == "succeeded"]

    def check(self, submitted: Submitted) -> None:
        errors = ledger_errors(self._mill, submitted.key)
        assert not errors, errors[:10]
        assert len(self.stored(submitted)) == submitted.pages


class Design:
    """One of the designs; `options`: of `celery worker`, `variables`: its own of the environment."""

    def __init__(
        self, name: str, module: str, options: str, *, environment: str = "", variables: Mapping[str, str] | None = None
    ) -> None:
        self.name, self._module, self._options = name, module, options
        self._environment, self._own, self._workers = environment, dict(variables or {}), 0

    def open(self, stack: ExitStack, root: Path, postgres: Postgres, broker: str) -> None:
        """`root`: an empty folder."""
        self._root, self._documents = root, 0
        self._python = str(environment(self._environment)) if self._environment else sys.executable
        url = postgres.create_database("design_" + root.name.replace("-", "_"))
        self._rows = stack.enter_context(_connect(url))
        self._rows.execute(TABLE)
        self._variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            BROKER: broker,
            DATABASE: _plain(url),
            STORE: str(root / "store"),
        } | self._own
        self._client = stack.enter_context(self._start_client())

    def _start_client(self) -> subprocess.Popen[str]:
        command = [self._python, "-m", "tests.bench.celery_designs.client", self._module]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._variables, cwd=self._root, stdin=pipe, stdout=pipe, text=True)

    def worker(self, model: Model, **more: str) -> Service:
        self._workers += 1
        self.readings = self._root / f"readings-{self._workers}"
        variables = self._variables | {MODEL: str(model), READINGS: str(self.readings)} | more
        app = f"tests.bench.celery_designs.{self._module}"
        return CeleryWorker([self._python, "-m", "celery", "-A", app, "worker", *self._options.split()], variables)

    def submit(self, documents: int, pages: int) -> Submitted:
        file = self._root / f"{pages}.pdf"
        if not file.exists():
            file.write_bytes(pdf(pages))
        ids = [f"doc{self._documents + number:05}" for number in range(documents)]
        self._documents += documents
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(json.dumps({"file": str(file), "documents": [(key, pages) for key in ids]}) + "\n")
        self._client.stdin.flush()
        answer = json.loads(self._client.stdout.readline())
        return Submitted(ids, documents, documents * pages, answer["begun"], answer["cpu"])

    def ends(self, submitted: Submitted) -> list[float]:
        rows = self._rows.execute(
            "SELECT extract(epoch FROM finished_at)::float8 FROM document"
            " WHERE id = ANY(%s) AND finished_at IS NOT NULL ORDER BY 1",
            (submitted.key,),
        )
        return [row[0] for row in rows]

    def stored(self, submitted: Submitted) -> list[int]:
        store = self._root / "store"
        return [int(path.stem) for key in submitted.key for path in (store / key / "pages").glob("*.json")]

    def check(self, submitted: Submitted) -> None:
        assert len(self.stored(submitted)) == submitted.pages
        for key in submitted.key:
            assembled = json.loads((self._root / "store" / key / "document.json").read_bytes())
            numbers = [page["number"] for page in assembled["pages"]]
            assert numbers == list(range(1, submitted.pages // submitted.documents + 1)), numbers


class CeleryWorker(Service):
    """`celery worker` as a child of the benchmark."""

    name = "celery"

    def __init__(self, command: list[str], variables: Mapping[str, str]) -> None:
        super().__init__(0)
        self._words = command
        self._variables = variables

    def _command(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in self._variables.items()]
        # Quiet, and without talk among workers: each costs CPU that one worker does not need.
        return ["/usr/bin/env", "-i", *settings, *self._words, "-l", "WARNING", "--without-gossip", "--without-mingle"]

    def _listens(self) -> bool:
        return True

    def _ready(self) -> bool:
        return READY in self.log.read_text(errors="replace")


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(_plain(url), autocommit=True)


def _plain(url: str) -> str:
    """Without SQLAlchemy's name of the driver."""
    return url.replace("postgresql+psycopg:", "postgresql:", 1)
