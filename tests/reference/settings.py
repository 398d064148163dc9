"""docs/settings.md: every variable of jobs.settings.GROUPS."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from jobs.settings import GROUPS
from jobs.settings.group import MIB, Group
from tests.reference.readers import readers
from tests.reference.tables import code, table

_HEAD = """# Settings

<!-- Written by `make docs` from jobs/settings/; a test compares. -->

Environment variables of the processes. An unknown `PAGEMILL_…` variable, or a value out of its limits, ends the start
with a line that names it. Times are seconds, sizes bytes. *none*: the variable is absent. Secrets are never logged or
shown. "Commands" are those that work on database and store themselves; `pagemill run` and `pagemill up` hand their
environment on to the processes they start.

"""

_TITLES = {
    "BlobSettings": "Object store",
    "SecretSettings": "Secrets at rest",
    "LimitSettings": "Limits",
    "TimerSettings": "Timers",
    "VlSettings": "PaddleOCR-VL",
    "VllmSettings": "PaddleOCR-VL: resident vLLM",
    "OpenAiSettings": "PaddleOCR-VL: servers",
    "ApiSettings": "API",
    "OutboundSettings": "Addresses that users name",
    "AccessSettings": "What users may name",
    "InboxSettings": "Drop folders",
    "ClientSettings": "Client",
    "LogSettings": "Logs",
    "FlowerSettings": "Flower",
}

_NO_SECONDS = frozenset({
    "time_factor", "vl_temperature", "vl_top_p", "vl_repetition_penalty", "vllm_gpu_memory_utilization",
    "price_per_gpu_hour",
})  # fmt: skip
"""All other settings that are fractional numbers are times."""

_KINDS = {str: "text", int: "number", float: "number", bool: "true, false", Path: "path", SecretStr: "secret"}
_SIGNS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}


def render() -> str:
    who = readers()
    sections = (_section(owner, fields, who) for group in GROUPS for owner, fields in _owners(group))
    return _HEAD + "\n".join(sections)


def variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"PAGEMILL_{name.upper()}"


def _owners(group: type[Group]) -> Iterator[tuple[type[Group], dict[str, FieldInfo]]]:
    """A group and those it is made of, each with the fields that it declares itself."""
    for owner in group.__mro__:
        if issubclass(owner, Group) and owner is not Group:
            own = {name: field for name, field in group.model_fields.items() if name in owner.__annotations__}
            yield owner, own


def _section(owner: type[Group], fields: dict[str, FieldInfo], who: dict[str, tuple[str, ...]]) -> str:
    title = _TITLES.get(owner.__name__, owner.__name__.removesuffix("Settings"))
    about = " ".join((owner.__doc__ or "").split())
    found = (who[group.__name__] for group in GROUPS if issubclass(group, owner) and group.__name__ in who)
    reading = next(found, ("nobody",))
    rows = [
        (code(variable(name, field)), _default(name, field), _kind(name, field), field.description or "")
        for name, field in fields.items()
    ]
    head = f"## {title}\n\n{about} Read by: {', '.join(reading)}.\n\n"
    return head + table(("variable", "default", "value", "what it is"), rows)


def _default(name: str, field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "the machine's"
    if field.default is None:
        return "*none*"
    if field.default == "":
        return "*empty*"
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    if isinstance(field.default, int) and field.default >= MIB and not field.default % MIB:
        return f"{code(field.default)} ({field.default // MIB:,} MiB)"
    if isinstance(field.default, float) and field.default == int(field.default):
        return code(int(field.default))
    return code(field.default)


def _kind(name: str, field: FieldInfo) -> str:
    wanted = _bare(field.annotation)
    if typing.get_origin(wanted) is Literal:
        return ", ".join(map(code, typing.get_args(wanted)))
    kind = "seconds" if wanted is float and name not in _NO_SECONDS else _KINDS[wanted]
    bounds = [f"{sign} {getattr(bound, key):,}" for bound in field.metadata for key, sign in _bound(bound)]
    return ", ".join([kind, *bounds])


def _bound(constraint: object) -> Iterator[tuple[str, str]]:
    if type(constraint) in _SIGNS:
        yield _SIGNS[type(constraint)]


def _bare(annotation: Any) -> Any:
    """`int | None` -> `int`."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return next(part for part in typing.get_args(annotation) if part is not type(None))
    return annotation
