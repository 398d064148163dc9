"""A whole service around modelled engines: PostgreSQL with fsync, Valkey, a directory, worker processes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import text

from jobs import lifecycle
from jobs.models import FINAL
from tests.bench.modelled import Model, Reading
from tests.bench.modelled_worker import NAME, ORDER, ModelledWorker
from tests.bench.service import stretch
from tests.bench.service.stretch import Account
from tests.installation import Installation
from tests.processes import HOST, free_port
from tests.services import Postgres, Valkey

LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Document:
    """A file of which the first pages are read."""

    data: bytes
    pages: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A job once through the service."""

    seconds: float
    """From submit until it is closed."""
    reading: float
    """From the first page in an engine until it is closed."""
    order: list[int]
    """Numbers of its pages in the order in which they came into the first engine."""


class Plant:
    """The services run until `stack` ends; workers are added one by one."""

    def __init__(self, stack: ExitStack, model: Model, *, render: bool = False) -> None:
        self.model, self._render, self._stack = model, render, stack
        self._root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey, postgres = stack.enter_context(Valkey()), stack.enter_context(Postgres(fsync=True))
        url = postgres.create_database("bench")
        self.mill = stack.enter_context(Installation(self._root, url, valkey.url))
        self._paths: list[Path] = []
        self._ports: list[int] = []
        self._begins: list[int] = []
        """Where in the files of readings what came after the last `rest` begins."""
        self._client = stack.enter_context(httpx.Client())

    @property
    def workers(self) -> int:
        return len(self._paths)

    def add_worker(self) -> None:
        number, port = len(self._paths), free_port()
        path = self._root / f"readings-{number}"
        settings = {"PAGEMILL_METRICS_PORT": str(port), "PAGEMILL_SLOT": str(number), ORDER: str(self._orders(number))}
        worker = ModelledWorker(self.mill, self.model, path, render=self._render, **settings)
        self._stack.callback(worker.remove)
        worker.start()
        self._paths.append(path)
        self._ports.append(port)
        self._begins.append(0)

    def submit(self, documents: Sequence[Document]) -> str:
        """One job; returns its id."""
        pages = {document.pages for document in documents}
        assert len(pages) == 1, "one job reads the same pages of each"
        return self.mill.submit(*(document.data for document in documents), engine=NAME, pages=f"1-{pages.pop()}")

    def read(self, documents: Sequence[Document]) -> Passed:
        """With one worker."""
        self.rest()
        begun, before = time.monotonic(), len(self._order())
        job = self.submit(documents)
        while self.mill.job(job).state not in FINAL:
            time.sleep(LOOK_EVERY)
        ended = time.monotonic()
        first = self.first_in(begun)
        counts, wanted = self.mill.count(job), sum(document.pages for document in documents)
        assert counts == {"succeeded": wanted}, counts
        assert first is not None
        return Passed(ended - begun, ended - first, self._order()[before:])

    def _orders(self, number: int) -> Path:
        return self._root / f"order-{number}"

    def _order(self) -> list[int]:
        """Numbers of the pages in the order in which they came into the first engine."""
        return [int(line) for line in self._orders(0).read_text().split()]

    def first_in(self, since: float) -> float | None:
        """When the first page came into any engine."""
        firsts = [stretch.first_in(readings, since) for readings in self.readings()]
        return min((first for first in firsts if first is not None), default=None)

    def readings(self) -> list[list[Reading]]:
        """The meters of every engine since the last `rest`."""
        return [stretch.load(*at) for at in zip(self._paths, self._begins, strict=True)]

    def accounts(self) -> list[Account]:
        """What every worker says of its engine so far."""
        return [Account.parse(self._client.get(f"http://{HOST}:{port}/metrics").text) for port in self._ports]

    def waiting(self, job: str) -> int:
        """Pages that no worker has taken yet; a document that is not split yet counts as one."""
        with self.mill.db.read() as session:
            found = session.connection().execute(
                text(
                    "SELECT coalesce(sum(CASE WHEN sealed THEN pending ELSE 1 END), 0) FROM document WHERE job_id = :j"
                ),
                {"j": job},
            )
            return int(found.scalar_one())

    def cancel(self, job: str) -> None:
        """End the job and wait until every engine is empty."""
        lifecycle.cancel(self.mill.db, job)
        self.rest()

    def rest(self) -> None:
        """Until nothing is in any engine, nor on its way out of one."""
        self._until(lambda: all(readings and not readings[-1].running for readings in self.readings()))
        self._until(lambda: all(not worker.pages_running for worker in self.mill.workers()))
        self._begins = [path.stat().st_size for path in self._paths]

    @staticmethod
    def _until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "the engines do not come to rest"
            time.sleep(LOOK_EVERY)
