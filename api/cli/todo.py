"""The files of a `pagemill run` that are still to be read, and what became of the others."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from api.cli.output import Recipe, Staging, Target, is_done, refuse_foreign
from api.cli.plan import Failure, Plan, Source
from api.cli.refusals import os_failure, problem_failure, refusal
from jobs.errors import OutputForbidden

LOOK = 0.2
"""Seconds of looking between two signs of life."""


@dataclass(slots=True)
class Tally:
    """What became of the files."""

    succeeded: int = 0
    partial: int = 0
    failed: int = 0
    done_before: int = 0
    pages: int = 0
    pages_failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    doubts: list[Failure] = field(default_factory=list)
    """Pages that were read, and not well."""

    @property
    def finished(self) -> int:
        return self.succeeded + self.partial + self.failed + self.done_before

    def fail(self, *failures: Failure) -> None:
        """One more file that failed, and why."""
        self.failed += 1
        self.failures += failures


class Todo:
    """The files of a plan that are still to be read, found out one at a time: each look may hash a large file."""

    def __init__(self, plan: Plan, out: Path, recipe: Recipe, force: bool, max_bytes: int, tally: Tally) -> None:
        self._ahead = deque(plan.sources)
        self._out = out
        self._recipe = recipe
        self._force = force
        self._max_bytes = max_bytes
        self._tally = tally
        self._next: Source | None = None

    def advance(self, seconds: float) -> None:
        """Look for the next file that needs reading, for about so long. Those done before, and those that no engine
        will ever see, are counted and passed by."""
        until = time.monotonic() + seconds
        while self._next is None and self._ahead:
            source = self._ahead.popleft()
            if self._is_done(source):
                self._tally.done_before += 1
            elif (failure := refusal(source.path, self._max_bytes) or self._taken(source)) is not None:
                self._tally.fail(failure)
            else:
                self._next = source
            if time.monotonic() > until:
                return

    def take(self) -> Source | None:
        """The file that `advance` found."""
        source, self._next = self._next, None
        return source

    @property
    def found(self) -> bool:
        return self._next is not None

    @property
    def left(self) -> int:
        return len(self._ahead) + self.found

    def _is_done(self, source: Source) -> bool:
        if self._force:
            return False
        try:
            return is_done(target_of(self._out, source), source.path, self._recipe)
        except OSError:
            return False  # it cannot be read now: opening it will say why

    def _taken(self, source: Source) -> Failure | None:
        """Why the results could not be written: told before hours are spent on them."""
        target = target_of(self._out, source)
        try:
            Staging(target).clear()
            refuse_foreign(target)
        except OutputForbidden as error:
            return problem_failure(str(source.path), error.problem())
        except OSError as error:
            return os_failure(str(error.filename or target.base), error, writing=True)
        return None


def target_of(out: Path, source: Source) -> Target:
    return Target(out / source.name)
