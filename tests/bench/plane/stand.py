"""Services, databases with backlogs, and one measured load after another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.models import FINAL
from jobs.options import EchoOptions, JobOptions
from jobs.store import reading
from tests.api_server import ApiServer
from tests.bench.machine import CpuMeter
from tests.bench.plane import backlog, counting
from tests.documents import pdf
from tests.installation import Installation, ledger_errors
from tests.services import Postgres, Valkey

PARTS = ("api", "broker", "database", "worker")
NOBODY = "nobody"
"""The engine of a backlog that no worker serves."""
FILES_PER_JOB = 100
IN_FLIGHT = "1"
"""Pages that those owners of the backlog who are served may have in flight, where its engine is the measured one."""


@dataclass(frozen=True, slots=True)
class State:
    """What waits beside the measured jobs."""

    pages: int
    engine: str
    """Whose pages they are: `echo` reads the measured ones too, `nobody` is served by no worker."""

    @property
    def name(self) -> str:
        return f"backlog_{self.pages}_{self.engine}"

    @property
    def beside(self) -> str:
        """Whose engine it is, in words."""
        return "another engine" if self.engine == NOBODY else "the same engine"


@dataclass(frozen=True, slots=True)
class Load:
    documents: int
    pages: int
    """Of each document."""
    seconds: float = 0.0
    """What a page takes of the engine, in the mean."""

    @property
    def what(self) -> str:
        return f"{self.pages}-page documents" if self.pages > 1 else "documents of one page"

    @property
    def options(self) -> JobOptions:
        """Pages take from half to one and a half of the mean, short ones and long ones mixed: else all that began
        together would end together, and be recorded together."""
        places = ((number * 37 % self.pages + 0.5) / self.pages for number in range(self.pages))
        seconds = {str(number): self.seconds * (0.5 + place) for number, place in enumerate(places, 1)}
        return JobOptions(priority="interactive", echo=EchoOptions(seconds=seconds) if self.seconds else None)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one load, for each page that was read meanwhile."""

    pages_per_second: float
    cpu: dict[str, float]
    """Milliseconds by part."""
    counts: dict[str, float]

    @property
    def cpu_in_all(self) -> float:
        return sum(self.cpu.values())


class Stand:
    """PostgreSQL (fsync on), Valkey, and an installation for each state."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root = root
        self._stack = stack
        self.valkey = stack.enter_context(Valkey())
        self.postgres = stack.enter_context(Postgres(fsync=True))
        self._watch = stack.enter_context(self.postgres.connect())
        self._redis = stack.enter_context(self.valkey.client())
        self._installations: dict[State, Installation] = {}

    def prepare(self, state: State) -> None:
        """A database with this backlog."""
        number = len(self._installations)
        root = self._root / state.name
        root.mkdir()
        url = self.postgres.create_database(state.name)
        settings = {"PAGEMILL_TIME_FACTOR": "1", "PAGEMILL_KEY_PAGES_IN_FLIGHT": IN_FLIGHT}
        installation = Installation(root, url, self.valkey.url_of(number), settings=settings)
        self._stack.callback(installation.close)
        self._installations[state] = installation
        backlog.fill(self.postgres, state.name, state.pages, state.engine)

    @contextmanager
    def served(self, state: State, **settings: str) -> Iterator[Serving]:
        """An API and a worker on this database, warm. `settings`: PAGEMILL_… of the worker."""
        installation = self._installations[state]
        with ExitStack() as stack:
            api = self.api(state, stack)
            worker = installation.worker(**settings)
            stack.callback(worker.remove)
            worker.start()
            pids = {
                "api": [api.pid],
                "broker": [self.valkey.pid],
                "database": [self.postgres.pid],
                "worker": [worker.pid],
            }
            serving = Serving(self, installation, api, pids)
            serving.run(Load(2, 20), check=False)  # connections, imports, caches
            yield serving

    def api(self, state: State, stack: ExitStack) -> ApiServer:
        installation = self._installations[state]
        store = f"file:{installation.root / 'objects'}"
        addresses = {"broker_url": installation.broker_url, "store_url": store}
        api = ApiServer(installation.database_url, **addresses, auth="open")  # though the backlog's owners have keys
        stack.callback(api.remove)
        return api.start()

    def count(self) -> Counter[str]:
        return counting.postgresql(self._watch) + counting.redis(self._redis)

    def statements(self, state: State, loads: Sequence[Load]) -> dict[Load, dict[str, float]]:
        """Statements for each page of each load, all but those that only frame a transaction, and transactions; nothing
        else is measured while they are logged."""
        with self.served(state) as serving:
            return {load: self._statements(state, load, serving) for load in loads}

    def _statements(self, state: State, load: Load, serving: Serving) -> dict[str, float]:
        counting.log_statements(self._watch, on=True)
        begin = self.postgres.log.stat().st_size
        pages = serving.pages(load)
        counting.log_statements(self._watch, on=False)
        with self.postgres.log.open(errors="replace") as log:
            log.seek(begin)
            found = counting.statements(log, state.name)
        frames = sum(found[word] for word in ("BEGIN", "COMMIT", "ROLLBACK"))
        return {"statements": (found.total() - frames) / pages, "transactions": found["BEGIN"] / pages}


@dataclass(frozen=True, slots=True)
class Serving:
    stand: Stand
    installation: Installation
    api: ApiServer
    pids: dict[str, list[int]]

    def run(self, load: Load, *, check: bool = True) -> Cost:
        """From the first byte that is submitted until the last job has ended."""
        port = self.stand.postgres.port
        before, talked, read = self.stand.count(), counting.connections(port), self._read()
        meter = CpuMeter(self.pids)
        begun = time.perf_counter()
        jobs = self._submit(load)
        self._wait(jobs)
        seconds = time.perf_counter() - begun
        cpu = meter.read()
        pages = self._read() - read
        counts = self.stand.count() - before
        counts["database_bytes"] = counting.passed(talked, counting.connections(port))
        for job in jobs if check else ():
            assert not ledger_errors(self.installation, job), "the ledger does not add up"
        return Cost(
            pages / seconds,
            {part: cpu[part] / pages * 1000 for part in PARTS},
            {name: number / pages for name, number in counts.items()},
        )

    def idle(self, seconds: float) -> float:
        """CPU milliseconds a second of all parts while nothing can be read."""
        meter = CpuMeter(self.pids)
        time.sleep(seconds)
        return sum(meter.read().values()) / seconds * 1000

    def pages(self, load: Load) -> int:
        """Run it and count the pages that were read, the backlog's too."""
        before = self._read()
        self._wait(self._submit(load))
        return self._read() - before

    def _submit(self, load: Load) -> list[str]:
        data, options = pdf(load.pages), load.options.model_dump_json(include={"priority", "echo"}, exclude_none=True)
        jobs = []
        with self.api.client() as client:
            for start in range(0, load.documents, FILES_PER_JOB):
                count = min(FILES_PER_JOB, load.documents - start)
                files = [("file", (f"{number}.pdf", data, "application/pdf")) for number in range(count)]
                response = client.post("jobs", files=files, data={"options": options})
                response.raise_for_status()
                jobs.append(str(response.json()["id"]))
        return jobs

    def _wait(self, jobs: list[str]) -> None:
        for job in jobs:
            while self._state(job) not in FINAL:
                time.sleep(0.05)

    def _state(self, job: str) -> str:
        with self.installation.db.read() as session:
            return str(reading.get_job(session, job).state)

    def _read(self) -> int:
        """Pages that have succeeded."""
        with self.stand.postgres.connect(self.installation.database_url.rpartition("/")[2]) as connection:
            row = connection.execute("SELECT coalesce(sum(succeeded), 0) FROM document").fetchone()
        assert row is not None
        return int(str(row[0]))
