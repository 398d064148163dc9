"""Celery tasks: views. Each checks its message and calls one stage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery

from jobs import queue
from jobs.errors import PagemillError
from jobs.store.claiming import DocumentRef, PageRef

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stages:
    """What this worker does with messages."""

    recognize: Callable[[list[PageRef]], int]
    split: Callable[[list[DocumentRef]], int]
    assemble: Callable[[list[DocumentRef]], int]
    purge: Callable[[str], bool]


def add_tasks(app: Celery, stages: Stages) -> None:
    """Register the tasks on the app. A message is only a hint: a stage that fails here is rung again by rescue."""

    @app.task(name=queue.RECOGNIZE)  # type: ignore[untyped-decorator]
    def recognize(pages: dict[str, list[list[int]]]) -> None:
        _guarded(queue.RECOGNIZE, lambda: stages.recognize(queue.page_refs(pages)))

    @app.task(name=queue.SPLIT)  # type: ignore[untyped-decorator]
    def split(documents: dict[str, int]) -> None:
        _guarded(queue.SPLIT, lambda: stages.split([DocumentRef(d, int(a)) for d, a in documents.items()]))

    @app.task(name=queue.ASSEMBLE)  # type: ignore[untyped-decorator]
    def assemble(documents: dict[str, int]) -> None:
        _guarded(queue.ASSEMBLE, lambda: stages.assemble([DocumentRef(d, int(a)) for d, a in documents.items()]))

    @app.task(name=queue.PURGE)  # type: ignore[untyped-decorator]
    def purge(job: str) -> None:
        _guarded(queue.PURGE, lambda: stages.purge(job))


def _guarded(task: str, stage: Callable[[], Any]) -> None:
    """A part of the service that is away is no bug: one line, and rescue tries again."""
    try:
        stage()
    except PagemillError as error:
        log.warning("%s put off: %s", task, error, extra={"action": "task_put_off", "task": task, "code": error.code})
