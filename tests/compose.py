"""compose.yaml as Docker Compose reads it: variables, merges, `.env` and `env_file`, profiles, order of start.

Only what the file uses; where Docker Compose is installed, tests/acceptance/test_compose.py compares the two.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class ComposeError(Exception):
    """Compose would refuse the file with these words."""


def read_env(text: str) -> dict[str, str]:
    """The variables of a `.env` file."""
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items()}


# --- variables


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """`$X`, `${X}`, `${X:-d}`, `${X-d}`, `${X:?e}`, `${X?e}`, `${X:+r}`, `${X+r}` and `$$`, one inside another too."""
    out, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        out.append(text[at:dollar])
        value, at = _reference(text, dollar + 1, env)
        out.append(value)
    return "".join([*out, text[at:]])


def _reference(text: str, at: int, env: Mapping[str, str]) -> tuple[str, int]:
    """What stands for the reference whose `$` is just before, and where it ends."""
    if text.startswith("$", at):
        return "$", at + 1
    braced = text.startswith("{", at)
    name = _NAME.match(text, at + braced)
    if name is None:
        raise ComposeError(f"invalid interpolation format in {text!r}")
    if not braced:
        return env.get(name[0], ""), name.end()
    end = _closing(text, name.end())
    return _value(name[0], text[name.end() : end], env), end + 1


def _closing(text: str, at: int) -> int:
    """The brace that closes the one before."""
    depth = 1
    for index in range(at, len(text)):
        depth += text.startswith("${", index) - (text[index] == "}")
        if depth == 0:
            return index
    raise ComposeError(f"invalid interpolation format in {text!r}")


def _value(name: str, rest: str, env: Mapping[str, str]) -> str:
    filled, operator, argument = rest.startswith(":"), rest.removeprefix(":")[:1], rest.removeprefix(":")[1:]
    value = env.get(name)
    there = bool(value) if filled else value is not None
    if not operator:
        return value or ""
    if operator == "+":
        return interpolate(argument, env) if there else ""
    if there:
        return str(value)
    if operator == "-":
        return interpolate(argument, env)
    if operator == "?":
        raise ComposeError(f"required variable {name} is missing a value: {argument}")
    raise ComposeError(f"invalid interpolation format: {name}{rest}")


def variables(text: str) -> set[str]:
    """The names that a file refers to."""
    return set(re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)", text.replace("$$", "")))


# --- the file


@dataclass(frozen=True)
class Service:
    """One service, everything resolved. Durations in seconds."""

    name: str
    raw: Mapping[str, Any]
    environment: Mapping[str, str]

    @property
    def profiles(self) -> frozenset[str]:
        return frozenset(self.raw.get("profiles", ()))

    @property
    def command(self) -> list[str]:
        """Empty where the image's own is run."""
        command = self.raw.get("command", [])
        return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]

    @property
    def needs(self) -> dict[str, Mapping[str, Any]]:
        """`depends_on` by service."""
        return dict(self.raw.get("depends_on", {}))

    @property
    def health(self) -> list[str] | None:
        """The command of its health check."""
        check = self.raw.get("healthcheck", {})
        if check.get("disable") or "test" not in check:
            return None
        kind, *words = check["test"]
        return ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else [str(word) for word in words]

    @property
    def grace(self) -> int:
        """Between the stop signal and SIGKILL."""
        return seconds(self.raw.get("stop_grace_period", "10s"))

    @property
    def limits(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.raw.get("deploy", {}).get("resources", {}).get("limits", {})
        return found

    @property
    def mounts(self) -> list[str]:
        """Where something is mounted inside."""
        volumes = self.raw.get("volumes", [])
        return [v["target"] if isinstance(v, dict) else v.split(":")[1] if ":" in v else v for v in volumes]


@dataclass(frozen=True)
class File:
    """All services, and those that a profile brings up."""

    services: Mapping[str, Service]
    active: list[str]
    """What `docker compose up` starts, each after what it depends on."""


def load(path: Path, env: Mapping[str, str]) -> File:
    """Read a compose file. Raises ComposeError where Compose would refuse it."""
    content = _resolve(_parsed(path), env)
    services = {name: _service(name, raw, path.parent, env) for name, raw in content["services"].items()}
    chosen = set(filter(None, env.get("COMPOSE_PROFILES", "").split(",")))
    active = {name for name, service in services.items() if not service.profiles or service.profiles & chosen}
    return File(services, _ordered(services, active))


@cache
def _parsed(path: Path) -> Any:
    """As it stands there. Nobody changes it."""
    return yaml.safe_load(path.read_text())


def _resolve(node: Any, env: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return interpolate(node, env)
    if isinstance(node, dict):
        return {key: _resolve(value, env) for key, value in node.items()}
    return [_resolve(value, env) for value in node] if isinstance(node, list) else node


def _service(name: str, raw: dict[str, Any], folder: Path, env: Mapping[str, str]) -> Service:
    given: dict[str, str] = {}
    for file in raw.get("env_file", []):
        if (folder / file["path"]).exists():
            given |= read_env((folder / file["path"]).read_text())
        elif file.get("required", True):
            raise ComposeError(f"env file {file['path']} not found")
    for variable, value in raw.get("environment", {}).items():
        if value is not None:
            given[variable] = str(value)
        elif variable in env:
            given[variable] = env[variable]
    return Service(name, raw, given)


def _ordered(services: Mapping[str, Service], active: set[str]) -> list[str]:
    order: list[str] = []

    def visit(name: str) -> None:
        for needed, how in services[name].needs.items():
            if needed in active:
                visit(needed)
            elif how.get("required", True):
                raise ComposeError(f"service {name!r} depends on {needed!r}, which no profile starts")
        if name not in order:
            order.append(name)

    for name in services:
        if name in active:
            visit(name)
    return order


def seconds(duration: str) -> int:
    """`1m30s` -> 90."""
    parts = _DURATION.fullmatch(duration)
    assert parts is not None, duration
    hours, minutes, rest = (int(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + rest
