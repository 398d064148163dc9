"""Run the checks side by side, each under a time limit of its own: one that hangs or breaks is a finding itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from jobs.doctor.findings import Finding, NotChecked, error, skipped
from jobs.doctor.scene import Scene
from jobs.doctor.table import TABLE

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Check:
    """A function that tells of each of `ids` once, unless it cannot."""

    name: str
    ids: tuple[str, ...]
    look: Callable[[Scene], Iterator[Finding]]
    limit: float | None = None
    """Seconds it may take, where that is its own affair."""


@dataclass(slots=True)
class _Course:
    """A check while it runs. What it has told stands, whatever becomes of it."""

    check: Check
    told: list[Finding] = field(default_factory=list)
    why: str = "the check broke off"
    """Why what it has not told was not looked at."""

    def run(self, scene: Scene) -> None:
        try:
            for found in self.check.look(scene):
                self.told.append(found)  # one at a time: whoever stops waiting takes what is there
        except NotChecked as reason:
            self.why = str(reason)
        except Exception as failure:  # noqa: BLE001 - the edge: whatever a check dies of is told, and the others go on
            detail = " ".join(str(failure).split())
            self.told.append(error("check-failed", f"{type(failure).__name__}: {detail}"[:500], where=self.check.name))


def run(scene: Scene, checks: Sequence[Check], timeout: float) -> list[Finding]:
    """Every finding, in the order of the table. `timeout`: seconds of a check that has no limit of its own."""
    courses = [_Course(check) for check in checks]
    threads = [
        # A thread that hangs must not keep the process from ending.
        threading.Thread(target=course.run, args=(scene,), name=f"doctor-{course.check.name}", daemon=True)
        for course in courses
    ]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    found: list[Finding] = []
    for course, thread in zip(courses, threads, strict=True):
        limit = course.check.limit or timeout
        thread.join(max(0.0, begun + limit - time.monotonic()))
        found += _settled(course, limit, hangs=thread.is_alive())
    order = {id_: number for number, id_ in enumerate(TABLE)}
    # The longest first: one may be a part of another. What has two letters would black out half of every sentence.
    hidden = sorted({text for _, text in scene.secret_texts() if len(text) > 2}, key=len, reverse=True)
    return [_without(one, hidden) for one in sorted(found, key=lambda one: order[one.id])]


def _settled(course: _Course, limit: float, *, hangs: bool) -> list[Finding]:
    told = list(course.told)
    why = "the check hung" if hangs else course.why
    if hangs:
        told.append(error("check-hung", f"no end within {limit:g} s", where=course.check.name, limit=limit))
    seen = {one.id for one in told}
    return told + [skipped(id_, why) for id_ in course.check.ids if id_ not in seen]


def _without(found: Finding, secrets: Sequence[str]) -> Finding:
    """Libraries say anything in their errors, addresses with passwords included."""

    def hide(text: str | None) -> str | None:
        for secret in secrets:
            text = text and text.replace(secret, HIDDEN)
        return text

    clean = {"found": hide(found.found), "where": hide(found.where)}
    if isinstance(found.actual, str):
        clean["actual"] = hide(found.actual)
    return found.model_copy(update=clean)
