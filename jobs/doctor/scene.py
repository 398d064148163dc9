"""What the checks look at: the settings as far as they can be read, and what the command was told."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from jobs.doctor.findings import NotChecked
from jobs.errors import InvalidRequest
from jobs.settings import GROUPS, EngineSettings, environment, examine, known_variables, unknown_variables

G = TypeVar("G")


@dataclass(frozen=True, slots=True)
class Trial:
    """The process that starts the engine and reads a page."""

    command: Sequence[str]
    environment: Mapping[str, str]
    timeout: float = 900.0
    """Seconds. A cold start of vLLM on a GPU takes minutes: weights from a hub, graphs, warm-up."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One run of the doctor. Checks only read it, from several threads."""

    groups: Mapping[type, Any]
    """Every group that can be read."""
    complaints: Sequence[InvalidRequest] = ()
    """What is wrong with the others."""
    unknown: Sequence[str] = ()
    """Variables that nobody reads."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The whole environment."""
    engine_given: bool = False
    """Whether the command names the engine: then it is meant to run here."""
    trial: Trial | None = None
    """None: the engine is not to be started."""

    @classmethod
    def look(cls, *, engine: str | None = None, device: str | None = None, trial: Trial | None = None) -> Self:
        """The scene of this process. What is given wins over the environment."""
        chosen = {"name": engine, "device": device}
        given = {name: value for name, value in chosen.items() if value is not None}
        groups: dict[type, Any] = {}
        complaints: dict[str, InvalidRequest] = {}
        for group in GROUPS:
            found = examine(group, **(given if group is EngineSettings else {}))
            if isinstance(found, list):
                complaints |= {str(complaint): complaint for complaint in found}
            else:
                groups[group] = found
        return cls(groups, tuple(complaints.values()), unknown_variables(), environment(), engine is not None, trial)

    def of(self, group: type[G]) -> G:
        """Raises NotChecked where its variables are wrong."""
        found = self.groups.get(group)
        if found is None:
            raise NotChecked("its settings cannot be read (config-value)")
        assert isinstance(found, group)
        return found

    @property
    def engine(self) -> EngineSettings:
        return self.of(EngineSettings)

    @property
    def on_gpu(self) -> bool:
        return self.engine.device != "cpu"

    def secret_texts(self) -> Iterator[tuple[str, str]]:
        """(variable, text) of all that must not be shown: secrets by their type, and passwords inside of addresses."""
        kept = secret_variables()
        for name, text in self.variables.items():
            if name.startswith("PAGEMILL_"):
                yield from ((name, password) for password in passwords_in(text))
                if name in kept:
                    yield name, text


def secret_variables() -> set[str]:
    """Variables whose values are secret by the type of their field."""
    found = set()
    for name, group in known_variables().items():
        for key, field_ in group.model_fields.items():
            own = field_.validation_alias or f"PAGEMILL_{key.upper()}"
            if own == name and "SecretStr" in str(field_.annotation):
                found.add(name)
    return found


def passwords_in(text: str) -> set[str]:
    """Passwords of all URLs in a setting (several are separated by `,` or `;`), as written and as meant."""
    found: set[str] = set()
    for part in text.replace(",", ";").split(";"):
        rest = part.partition("://")[2]
        login, at, _ = rest.rpartition("@")
        password = login.partition(":")[2]
        if at and password:
            found |= {password, unquote(password)}
    return found


def host_of(url: str) -> str:
    """The host of a URL, in lower case; empty where it has none, or is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_near(host: str) -> bool:
    """Whether it can only be this very machine: loopback, a socket, or no host at all."""
    name = host.strip("[]").lower()
    if name in ("", "localhost") or name.endswith(".localhost") or name.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
