"""Every process of a run: database, broker, store, proxies before them, API server, workers and their supervisor."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from api.client import Client
from jobs.errors import DatabaseUnavailable
from tests.api_server import ApiServer
from tests.chaos.disk import Disk
from tests.chaos.failing import VARIABLE
from tests.chaos.proxy import Proxies
from tests.installation import SECRET, TIME_FACTOR, Installation, WorkerService
from tests.ledger import watch
from tests.processes import HOST, Service, alive, free_port, wait_until
from tests.services import Postgres, SeaweedFS, Valkey

WORKERS = 3
BREATH = 0.05
REVIVE_EVERY = 0.5
"""Seconds between two starts of the same process: what a supervisor's back-off would be."""
SETTINGS = {
    "PAGEMILL_RENDER_PROCESSES": "1",
    "PAGEMILL_ENGINE_CAPACITY": "16",
    "PAGEMILL_HEARTBEAT_STALE": "40",  # 4 s: on two busy cores nobody falls silent for so long
    "PAGEMILL_GRACE": "50",
    "PAGEMILL_PAGE_TIMEOUT": "8",
    "PAGEMILL_S3_TIMEOUT": "3",
    "PAGEMILL_DATABASE_BUSY_TIMEOUT": "3",
}
MAX_CONNECTIONS = 80


class ChaosWorker(WorkerService):
    """A worker in a slot of its own that can be told where to die, and to live in the future."""

    def __init__(self, mill: Installation, number: int) -> None:
        self.failpoint = mill.root / f"failpoint-{number}"
        self.metrics = free_port()
        """The port of its listener, the same for whoever comes to life in its place."""
        settings = {"PAGEMILL_SLOT": f"slot-{number}", "PAGEMILL_METRICS_PORT": str(self.metrics)}
        super().__init__(mill, mill.environment(**settings) | {VARIABLE: str(self.failpoint)})
        mill.started.append(self)
        self.mill = mill
        self.ahead = 0
        self.begins = 0

    def _command(self) -> list[str]:
        *command, _module = super()._command()
        skew = []
        if self.ahead:
            skew = [f"LD_PRELOAD={faketime()}", f"FAKETIME=+{self.ahead}s", "DONT_FAKE_MONOTONIC=1"]
        return [*command[:2], *skew, *command[2:], "tests.chaos.failing"]

    def serves(self) -> bool:
        """Whether it is known to, under whichever name; nobody knows while the database is away."""
        if not self.running:
            return False
        try:
            states = [row.state for row in self.mill.workers() if row.pid == self.pid]
        except DatabaseUnavailable:
            return False
        return "alive" in states and " serves " in self.log.read_text(errors="replace")[self.begins :]

    def _spawn(self) -> None:
        self.begins = self.log.stat().st_size if self.log.exists() else 0
        super()._spawn()


class ChaosApi(ApiServer):
    def launch(self) -> None:
        """Start without waiting."""
        self._spawn()


def faketime() -> Path | None:
    """The library that moves a process's clock; None where it is not installed."""
    spec = importlib.util.find_spec("libfaketime")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    return found if found.exists() else None


class Stage:
    """Use as a context manager, from the main thread: children die with the thread that started them."""

    def __init__(self, root: Path, database: str) -> None:
        """`database`: postgres or sqlite; `root`: an empty folder for everything that is looked at afterwards."""
        self.root = root
        self.database = database
        self._stack = ExitStack()
        self._seen: set[psutil.Process] = set()
        self._held: set[Service] = set()
        self._started: dict[Service, float] = {}
        self._noticed = 0.0

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        enter = self._stack.enter_context
        self.disk = enter(Disk())
        self.postgres: Postgres | None = None
        if self.database == "postgres":
            with _temporary(self.disk.path):
                options = {"max_connections": str(MAX_CONNECTIONS), "max_wal_size": "96MB", "min_wal_size": "32MB"}
                self.postgres = enter(Postgres(**options))
            direct = self.postgres.create_database("chaos")
        else:
            direct = f"sqlite:///{self.disk.path / 'pagemill.db'}"
        self.valkey = enter(Valkey(persistent=True))
        self.s3 = enter(SeaweedFS())
        self._open_proxies(direct)
        self.mill = enter(
            Installation(self.root, direct, self.valkey.url, self._store(self.s3.url), SETTINGS | self._through())
        )
        watch(self.mill.db)
        self._open_processes()

    def _open_proxies(self, direct: str) -> None:
        self.proxies = self._stack.enter_context(Proxies())
        self.to_valkey = self.proxies.add(self.valkey.port)
        self.to_s3 = self.proxies.add(self.s3.port)
        self.to_database = self.proxies.add(self.postgres.port) if self.postgres else None
        self.database_url = direct
        if self.postgres and self.to_database:
            self.database_url = direct.replace(f":{self.postgres.port}/", f":{self.to_database.port}/")

    def _store(self, endpoint: str) -> dict[str, str]:
        return {
            "PAGEMILL_STORE_URL": f"s3://{self.s3.create_bucket('chaos')}",
            "PAGEMILL_S3_ENDPOINT": endpoint,
            "PAGEMILL_S3_ACCESS_KEY": self.s3.access_key,
            "PAGEMILL_S3_SECRET_KEY": self.s3.secret_key,
        }

    def _through(self) -> dict[str, str]:
        """What a process that stands behind the proxies is told."""
        return {
            "PAGEMILL_DATABASE_URL": self.database_url,
            "PAGEMILL_BROKER_URL": f"redis://{HOST}:{self.to_valkey.port}/0",
            "PAGEMILL_S3_ENDPOINT": f"http://{HOST}:{self.to_s3.port}",
        }

    def _open_processes(self) -> None:
        settings = self._store("") | SETTINGS | self._through()
        told = {name.removeprefix("PAGEMILL_").lower(): value for name, value in settings.items()}
        self.api_metrics = free_port()
        self.api = ChaosApi(time_factor=TIME_FACTOR, secret_key=SECRET, metrics_port=self.api_metrics, **told)
        self._stack.callback(self.api.remove)
        self.client = Client(self.api.url)
        self._stack.callback(self.client.close)
        self.workers = [ChaosWorker(self.mill, number) for number in range(WORKERS)]
        for worker in self.workers:
            self._stack.callback(worker.remove)
        for service in (self.api, *self.workers):
            service.start()

    # --- the supervisor

    @property
    def revived(self) -> list[Service]:
        return [self.api, *self.workers]

    @contextmanager
    def holding(self, *services: Service) -> Iterator[None]:
        """Nobody starts these again meanwhile."""
        self._held.update(services)
        try:
            yield
        finally:
            self._held.difference_update(services)

    def supervise(self) -> None:
        """Start again what has ended; called all the time."""
        now = time.monotonic()
        for service in self.revived:
            if not service.running and service not in self._held and now - self._started.get(service, 0) > REVIVE_EVERY:
                self._started[service] = now
                service.launch()
        if now - self._noticed > REVIVE_EVERY:
            self._noticed = now
            self.notice()

    def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Supervise until the condition holds; False when it did not in time."""
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends:
                return False
            self.supervise()
            time.sleep(BREATH)
        return True

    def wait(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def notice(self) -> None:
        """Remember every process of ours that lives now."""
        for service in self.revived:
            if service.running:
                self._seen.update(service._tree())

    def calm(self) -> None:
        """Whatever a fault left: clear weather, everything runs."""
        self.proxies.clear()
        self.disk.clear()
        for service in (self.valkey, self.s3, self.postgres):
            if service is not None:
                service.thaw()
                if not service.running:
                    service.start()
        for worker in self.workers:
            worker.thaw()

    def end(self) -> list[str]:
        """Workers and API end in good order; what does not, and what is left of them."""
        self.notice()
        wrong = []
        for worker in self.workers:
            worker.failpoint.unlink(missing_ok=True)
            status = worker.terminate() if self.until(worker.serves, 30) else None
            if status != 0:
                wrong.append(f"{worker.directory.name} ended with {status} when told to")
        self.api.stop()
        try:
            wait_until(lambda: not any(map(alive, self._seen)), "every process to be gone", 10)
        except TimeoutError:
            wrong += [f"left over: {process}" for process in self._seen if alive(process)]
        return wrong

    def logs(self) -> dict[str, Path]:
        """What each process said, by a name for it."""
        services = {"api": self.api, "valkey": self.valkey, "s3": self.s3, "postgres": self.postgres}
        services |= {f"worker-{number}": worker for number, worker in enumerate(self.workers)}
        return {name: service.log for name, service in services.items() if service is not None}


@contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Directories of services made meanwhile lie in this folder."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
