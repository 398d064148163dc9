"""`pagemill up`: the whole service on one machine, in one foreground command."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import orjson
import typer

from api.auth import Doorkeeper
from api.broker import broker_state
from api.cli import embedded
from api.cli.metrics_ports import VARIABLE, first_port
from api.cli.options import Engine
from api.cli.report import counted
from api.cli.stack import Child, Signals, Stack, end_leftovers, replace_file, say
from jobs.errors import DatabaseUnavailable, InvalidRequest
from jobs.models import WorkerState
from jobs.settings import (
    ApiSettings,
    DatabaseSettings,
    EngineSettings,
    FlowerSettings,
    MetricsSettings,
    TimerSettings,
    environment,
    load,
)
from jobs.store import reading
from jobs.store.database import Database, open_database

DATA = Path("pagemill-data")
_FLOWER_PORT = 5555
_ROUND = 0.2
_LOOK_EVERY = 1.0
_FLOWER_PATIENCE = 20.0


def up(
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Of the API; 8470 or another free one by default.")
    ] = None,
    engine: Engine = None,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of everything that is kept.")] = DATA,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Worker processes.")] = 1,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Without Flower, the view of the workers.")] = False,
) -> None:
    """Run the whole service here: Valkey, API, workers and Flower, until Ctrl-C.

    Killed in the middle, it goes on where it was when it is started again.
    PAGEMILL_DATABASE_URL, PAGEMILL_BROKER_URL and PAGEMILL_STORE_URL, where
    set, take the place of the embedded parts.

    Examples:

      pagemill up

      pagemill up --port 9000 --engine rapidocr --data /srv/pagemill --workers 2
    """
    with Signals() as signals, _held(data) as folder:
        ended = end_leftovers(folder / "children.json")
        if ended:
            _say(f"ended what an earlier pagemill up had left running ({ended})")
        service = Service(folder, signals, engine, workers)
        try:
            service.start(port, with_flower=not no_flower)
            service.watch()
        finally:
            service.stop()
    raise typer.Exit(signals.exit_code if signals.hurried else 0)


def _say(line: str) -> None:
    """In `pagemill up | tee log` Ctrl-C ends the reader first, and the workers drain all the same."""
    say(line, sys.stdout)


@dataclass(frozen=True, slots=True)
class Ports:
    """Remembered between runs, so that bookmarks stay good."""

    api: int = 0
    flower: int = 0
    broker: int = 0

    @classmethod
    def read(cls, path: Path) -> Ports:
        try:
            value = orjson.loads(path.read_bytes())
            return cls(*(int(value[name]) for name in ("api", "flower", "broker")))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()


class Service:
    """Start, watch, stop."""

    def __init__(self, folder: Path, signals: Signals, engine: str | None, workers: int) -> None:
        self._folder = folder
        self._signals = signals
        self._inherited = environment()
        self._engine = engine or load(EngineSettings).name
        # More than the one only where somebody says so: workers elsewhere may share the database.
        self._engines = self._inherited.get("PAGEMILL_ENGINES", self._engine)
        self._api = load(ApiSettings, engine=self._engine, engines=self._engines)
        self._grace = load(TimerSettings).scaled("grace")
        self._count = workers
        self._metrics = load(MetricsSettings)
        self._stack = Stack(record=folder / "children.json")
        self._broker: Child | None = None
        self._database: Database | None = None
        self._workers: dict[str, Child] = {}
        self._told: dict[str, str] = {}
        """Per worker, the last thing said about it."""

    # --- starting

    def start(self, asked_port: int | None, *, with_flower: bool) -> None:
        folder, logs = self._folder, self._folder / "logs"
        self._check_metrics_ports()
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        remembered = Ports.read(folder / "ports.json")
        api_port = self._api_port(asked_port, remembered.api)
        flower_port = embedded.free_port((remembered.flower, _FLOWER_PORT)) if with_flower else remembered.flower
        settings = self._embedded_settings()
        broker_port = remembered.broker
        if "PAGEMILL_BROKER_URL" not in self._inherited:
            broker_port, settings["PAGEMILL_BROKER_URL"] = self._start_broker(remembered.broker)
        ports = {"api": api_port, "flower": flower_port, "broker": broker_port}
        replace_file(folder / "ports.json", orjson.dumps(ports))
        self._database = open_database(load(DatabaseSettings, database_url=settings["PAGEMILL_DATABASE_URL"]))
        self._database.migrate()
        Doorkeeper(self._database, self._api.auth, self._api.api_host).check_start()
        if self._signals.stopped:
            return
        env = embedded.python_environment(self._inherited) | settings
        api = self._stack.start(embedded.api_server(env, self._api.api_host, api_port, logs))
        self._start_workers(env, logs)
        login = self._flower_login()
        flower = self._stack.start(embedded.flower(env, flower_port, login, logs)) if with_flower else None
        self._announce(api, api_port, flower, flower_port, login)

    def _embedded_settings(self) -> dict[str, str]:
        """What the children are told beyond what is set already."""
        given = self._inherited
        settings = {
            "PAGEMILL_DATABASE_URL": given.get("PAGEMILL_DATABASE_URL")
            or embedded.sqlite_url(self._folder / "pagemill.db"),
            "PAGEMILL_STORE_URL": given.get("PAGEMILL_STORE_URL") or f"file:{self._folder / 'objects'}",
        }
        settings["PAGEMILL_SECRET_KEY"] = given.get("PAGEMILL_SECRET_KEY") or _secret(self._folder / "secret.key")
        settings["PAGEMILL_ENGINE"] = self._engine
        settings["PAGEMILL_ENGINES"] = self._engines
        return settings

    def _start_broker(self, remembered: int) -> tuple[int, str]:
        """Valkey on its old port where that is free. It is a doorbell: damaged files of it are thrown away."""
        folder = self._folder / "valkey"
        for last_try in (False, True):
            port = embedded.free_port(() if last_try else (remembered,))
            password = secrets.token_urlsafe(24)
            url = embedded.broker_url(port, password)
            ready = partial(_broker_answers, url)
            command = embedded.valkey(folder, port, password, self._folder / "logs" / "valkey.log", durable=True)
            child = self._broker = self._stack.start(command)
            try:
                embedded.wait_for(child, ready, 20, lambda: self._signals.stopped)
            except embedded.ServiceDidNotStart as error:
                if last_try:
                    raise
                _say(f"{error.detail}; trying again with an empty one (nothing is lost)")
                self._stack.drop(child)
                shutil.rmtree(folder, ignore_errors=True)
            else:
                break
        return port, url

    def _start_workers(self, env: dict[str, str], logs: Path) -> None:
        if self._count > 1:
            share = max(1, (os.cpu_count() or 1) // self._count)
            env = {"PAGEMILL_RENDER_PROCESSES": str(share)} | env
        # The slot names this data folder: another one beside it, on the same database, has workers of its own.
        mark = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:8]
        for index in range(self._count):
            slot = f"up-{mark}-{index}"
            if self._count == 1:
                slot = self._inherited.get("PAGEMILL_SLOT", slot)
            command = embedded.worker(index, env, slot, self._folder / "scratch", logs, grace=self._grace + 10)
            self._workers[command.name] = self._stack.start(command)

    def _api_port(self, asked: int | None, remembered: int) -> int:
        """An asked-for port must be free; otherwise the one of last time, the usual one, or any."""
        explicit = asked
        if explicit is None and "PAGEMILL_API_PORT" in self._inherited:
            explicit = self._api.api_port
        if explicit is None:
            return embedded.free_port((remembered, self._api.api_port))
        if explicit == 0:
            return embedded.free_port()
        if not embedded.port_is_free(explicit, self._api.api_host):
            raise InvalidRequest(f"port {explicit} is in use by another program", where="--port", actual=explicit)
        return explicit

    def _metrics_ports(self) -> dict[str, int]:
        """By process, as `embedded` hands them out; empty where there is no listener or the system chooses."""
        first = first_port(self._inherited.get(VARIABLE), 1 + self._count, "processes")
        names = ("api", *(f"worker-{index}" for index in range(self._count)))
        return {name: first + place for place, name in enumerate(names)} if first else {}

    def _check_metrics_ports(self) -> None:
        """Before anything starts: a worker whose port is taken would be started again and again."""
        host = self._metrics.metrics_host
        for name, port in self._metrics_ports().items():
            if not embedded.port_is_free(port, host):
                raise InvalidRequest(
                    f"{name} cannot serve metrics on port {port} of {host}: another program has it, or {host} is no "
                    "address of this machine",
                    where=VARIABLE,
                    actual=port,
                )

    def _say_metrics(self) -> None:
        """Where each process tells its own."""
        if self._metrics.metrics_port is None:
            return
        shown, host = self._metrics_ports(), self._metrics.metrics_host
        near = f"[{host}]" if ":" in host else host
        for index, (name, port) in enumerate(shown.items()):
            _say(f"  {'metrics' if not index else '':7}  http://{near}:{port}/metrics  {name}")
        if not shown:
            _say("  metrics  on any free ports; each log says its own")

    def _flower_login(self) -> str:
        """Asked for by whoever looks: the one that is set, or one made once for this folder."""
        given = load(FlowerSettings).login or self._inherited.get("FLOWER_BASIC_AUTH")
        return given or f"pagemill:{_secret(self._folder / 'flower.key', 12)}"

    def _announce(self, api: Child, api_port: int, flower: Child | None, flower_port: int, login: str) -> None:
        host = self._api.api_host
        near = embedded.LOOPBACK if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
        address = f"http://{f'[{near}]' if ':' in near else near}:{api_port}"
        stopped = lambda: self._signals.stopped  # noqa: E731
        if not embedded.wait_for(api, lambda: _answers(f"{address}/v1/health/live"), 60, stopped):
            return
        _say(f"pagemill is up; its data lies in {self._folder}")
        _say(f"  API      {address}")
        _say(f"  OpenAPI  {address}/v1/openapi.json")
        if flower is not None:
            view = f"http://{embedded.LOOPBACK}:{flower_port}"
            try:
                if embedded.wait_for(flower, lambda: _answers(f"{view}/healthcheck"), _FLOWER_PATIENCE, stopped):
                    _say(f"  Flower   {view}  {self._how_to_log_in(login)}")
            except embedded.ServiceDidNotStart as error:
                _say(f"  Flower   {error.detail}")  # a view, not a part: the work goes on without it
        self._say_metrics()
        _say(f"  logs     {self._folder / 'logs'}")
        _say("Ctrl-C ends it.")

    def _how_to_log_in(self, login: str) -> str:
        """The password that we made is told, as the folder is the user's own; one that was set is not."""
        made = login.startswith("pagemill:") and (self._folder / "flower.key").exists()
        return f"(login pagemill, password {login.partition(':')[2]})" if made else "(with the login that is set)"

    # --- watching

    def watch(self) -> None:
        """Until a signal: start again who dies, say what happens."""
        looked = 0.0
        while not self._signals.stopped:
            for child, status in self._stack.watch():
                self._told.pop(child.name, None)
                _say(f"{self._stack.describe(child, status)}; starts again in {child.delay:.0f} s")
            if time.monotonic() - looked > _LOOK_EVERY:
                looked = time.monotonic()
                self._tell_about_workers()
            time.sleep(_ROUND)

    def _tell_about_workers(self) -> None:
        """Say once when a worker has its engine up, or why it takes no work."""
        assert self._database is not None
        try:
            with self._database.read() as session:
                rows = {row.pid: row for row in reading.list_workers(session)}
        except DatabaseUnavailable as error:
            self._tell("database", error.detail)
            return
        self._told.pop("database", None)
        for name, child in self._workers.items():
            row = rows.get(child.pid or 0)
            if row is None:
                continue
            if row.detail:
                self._tell(name, f"takes no work: {row.detail}")
            elif row.state == WorkerState.ALIVE:
                self._tell(name, f"is ready: {row.engine}, up to {counted(row.capacity, 'page')} at a time")

    def _tell(self, name: str, line: str) -> None:
        if self._told.get(name) != line:
            self._told[name] = line
            _say(f"{name} {line}")

    # --- stopping

    def stop(self) -> None:
        if self._stack.children:
            _say("stopping: workers finish the pages they hold; Ctrl-C again ends everything at once")
        self._stack.stop([self._broker] if self._broker is not None else [], lambda: self._signals.hurried)
        if self._database is not None:
            self._database.dispose()


def _broker_answers(url: str) -> bool:
    return broker_state(url) == "ok"


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False


def _secret(path: Path, size: int = 32) -> str:
    """Of so many random bytes, made once: the key for secrets at rest, without which the passwords of waiting documents
    are lost, and Flower's password."""
    if not path.exists():
        replace_file(path, secrets.token_urlsafe(size).encode())
    return path.read_text().strip()


@contextlib.contextmanager
def _held(data: Path) -> Iterator[Path]:
    """The data folder, made and held for one `up`. The kernel lets go of it however this process ends."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = data.resolve()
        lock = os.open(folder / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidRequest(f"the data folder cannot be used: {error.strerror}", where=str(data)) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise InvalidRequest(
                f"another pagemill up (process {holder}) uses this data folder", where=str(folder)
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield folder
    finally:
        os.close(lock)


def running(data: Path) -> dict[str, str]:
    """The settings of the parts of the `up` that holds this folder; empty where none does."""
    try:
        lock = os.open(data / "up.lock", os.O_RDONLY)
    except OSError:
        return {}
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        return {}
    finally:
        os.close(lock)
    folder = data.resolve()
    settings = {
        "PAGEMILL_DATABASE_URL": embedded.sqlite_url(folder / "pagemill.db"),
        "PAGEMILL_STORE_URL": f"file:{folder / 'objects'}",
        "PAGEMILL_API_PORT": str(Ports.read(folder / "ports.json").api),
    }
    with contextlib.suppress(OSError):  # no such files: that part was brought by a variable
        settings["PAGEMILL_SECRET_KEY"] = (folder / "secret.key").read_text().strip()
    with contextlib.suppress(OSError):
        settings["PAGEMILL_BROKER_URL"] = embedded.broker_of(folder / "valkey")
    return settings
