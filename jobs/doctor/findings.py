"""What the doctor can find: one finding, the report, and the table of ids with what each means (docs/doctor.md)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict

from jobs.doctor.table import TABLE, Area

ExitStatus = Literal[0, 1, 3]
"""Of the command: 0 no errors and no warnings, 1 errors, 3 warnings only; 2 is wrong usage, as everywhere."""


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and will cost something some day."""
    ERROR = "error"
    """Something does not work, or what was acknowledged can be lost."""
    SKIPPED = "skipped"
    """Not looked at; `found` says why."""


class Finding(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    area: Area
    level: Level
    found: str
    """What was seen, in a sentence; of one that was skipped, why."""
    where: str | None = None
    """The setting, file or address it is about."""
    limit: int | float | str | None = None
    actual: int | float | str | None = None
    do: str | None = None
    """What to do, of warnings and errors."""


class Report(BaseModel):
    """All that the doctor found, as `pagemill doctor --json` writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    host: str
    status: ExitStatus
    counts: dict[Level, int]
    findings: tuple[Finding, ...]


class NotChecked(Exception):
    """Why the rest of a check cannot be looked at: what it has not told by then is skipped with these words."""


Value = int | float | str | None


class Facts(TypedDict, total=False):
    """What a finding tells beyond its sentence."""

    where: str | None
    limit: Value
    actual: Value
    do: str | None


def finding(id_: str, level: Level, found: str, **facts: Unpack[Facts]) -> Finding:
    """A finding with its area, and with the remedy of the table where none better is given."""
    known = TABLE[id_]
    remedy = (facts.get("do") or known.do) if level in (Level.WARNING, Level.ERROR) else None
    return Finding(
        id=id_,
        area=known.area,
        level=level,
        found=found,
        where=facts.get("where"),
        limit=facts.get("limit"),
        actual=facts.get("actual"),
        do=remedy,
    )


def ok(id_: str, found: str, **facts: Unpack[Facts]) -> Finding:
    return finding(id_, Level.OK, found, **facts)


def warning(id_: str, found: str, **facts: Unpack[Facts]) -> Finding:
    return finding(id_, Level.WARNING, found, **facts)


def error(id_: str, found: str, **facts: Unpack[Facts]) -> Finding:
    return finding(id_, Level.ERROR, found, **facts)


def skipped(id_: str, why: str) -> Finding:
    return finding(id_, Level.SKIPPED, why)


def exit_status(findings: list[Finding]) -> ExitStatus:
    levels = {found.level for found in findings}
    if Level.ERROR in levels:
        return 1
    return 3 if Level.WARNING in levels else 0


def report(version: str, host: str, findings: list[Finding]) -> Report:
    counts = {level: sum(found.level is level for found in findings) for level in Level}
    return Report(version=version, host=host, status=exit_status(findings), counts=counts, findings=tuple(findings))
