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

# Read by tests and tools (a failpoint) and told to workers by who starts them (jobs/slots.py, jobs/latch.py), not by a
# group.
_OTHER = frozenset({"PAGEMILL_FAILPOINT", "PAGEMILL_SLOT_LOCK", "PAGEMILL_LATCH"})


def known_variables() -> dict[str, type[Group]]:
    """Every environment variable and the group that reads it."""
    known: dict[str, type[Group]] = {}
    for group in GROUPS:
        for name, field in group.model_fields.items():
            alias = field.validation_alias
            known[alias if isinstance(alias, str) else f"PAGEMILL_{name.upper()}"] = group
    return known


def unknown_variables() -> list[str]:
    """`PAGEMILL_…` variables of the environment that no group reads, by name."""
    known = known_variables()
    return sorted(
        name for name in os.environ if name.startswith("PAGEMILL_") and name not in known and name not in _OTHER
    )


S = TypeVar("S", bound=Group)


def load(group: type[S], **values: Any) -> S:
    """A group from the environment. Raises InvalidRequest naming the variable that is unknown, wrong, or a secret that
    is a placeholder."""
    for variable in unknown_variables():
        raise InvalidRequest(f"unknown setting {variable}", where=variable)
    found = examine(group, **values)
    if isinstance(found, list):
        raise found[0]
    refuse_placeholders(found)
    return found


def examine(group: type[S], **values: Any) -> S | list[InvalidRequest]:
    """A group from the environment, or what is wrong with its variables; unknown ones and placeholders not counted."""
    try:
        return group(**values)
    except ValidationError as error:
        return [_complaint(detail["loc"], detail["msg"]) for detail in error.errors()]


def _complaint(place: tuple[int | str, ...], message: str) -> InvalidRequest:
    where = "PAGEMILL_" + "_".join(str(part) for part in place).upper().removeprefix("PAGEMILL_")
    return InvalidRequest(f"{where}: {message.removeprefix('Value error, ')}", where=where)


def preset(**variables: str) -> None:
    """Variables that a library reads from the environment and cannot be told otherwise; what is set already stays."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def environment() -> dict[str, str]:
    """A copy of this process's environment: what a child process inherits before anything is set on top."""
    return dict(os.environ)
