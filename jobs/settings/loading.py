"""The one place that reads environment variables."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from pydantic import ValidationError

from jobs.errors import InvalidRequest
from jobs.placeholders import refuse_placeholders
from jobs.settings.access import AccessSettings, OutboundSettings
from jobs.settings.engines import EngineSettings
from jobs.settings.group import Group
from jobs.settings.http import ApiSettings, ClientSettings
from jobs.settings.inbox import InboxSettings
from jobs.settings.limits import LimitSettings, TimerSettings
from jobs.settings.stores import BlobSettings, BrokerSettings, DatabaseSettings, SecretSettings
from jobs.settings.watching import FlowerSettings, LogSettings, MetricsSettings
from jobs.settings.worker import WorkerSettings

GROUPS: tuple[type[Group], ...] = (
    DatabaseSettings, BrokerSettings, BlobSettings, SecretSettings, LimitSettings, TimerSettings, EngineSettings,
    WorkerSettings, ApiSettings, OutboundSettings, AccessSettings, InboxSettings, ClientSettings, LogSettings,
    FlowerSettings, MetricsSettings,
)  # fmt: skip

# Read by tests and tools, not by a group.
_OTHER = frozenset({"PAGEMILL_FAILPOINT"})


def known_variables() -> dict[str, type[Group]]:
    """Every environment variable and the group that reads it."""
    known: dict[str, type[Group]] = {}
    for group in GROUPS:
        for name, field in group.model_fields.items():
            alias = field.validation_alias
            known[alias if isinstance(alias, str) else f"PAGEMILL_{name.upper()}"] = group
    return known


S = TypeVar("S", bound=Group)


def load(group: type[S], **values: Any) -> S:
    """A group from the environment. Raises InvalidRequest naming the variable that is unknown, wrong, or a secret that
    is a placeholder."""
    known = known_variables()
    for variable in os.environ:
        if variable.startswith("PAGEMILL_") and variable not in known and variable not in _OTHER:
            raise InvalidRequest(f"unknown setting {variable}", where=variable)
    try:
        made = group(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = "PAGEMILL_" + "_".join(str(part) for part in first["loc"]).upper().removeprefix("PAGEMILL_")
        raise InvalidRequest(f"{where}: {first['msg'].removeprefix('Value error, ')}", where=where) from None
    refuse_placeholders(made)
    return made


def preset(**variables: str) -> None:
    """Variables that a library reads from the environment and cannot be told otherwise; what is set already stays."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def environment() -> dict[str, str]:
    """A copy of this process's environment: what a child process inherits before anything is set on top."""
    return dict(os.environ)
