"""Celery tasks: views. Each checks its message and calls one stage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery, Task
from celery.worker.request import Request

from jobs import queue
from jobs.errors import PagemillError
from jobs.store.claiming import DocumentRef, PageRef
from jobs.store.webhooks import DeliveryRef

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stages:
    """What this worker does with messages."""

    recognize: Callable[[list[PageRef]], int]
    fetch: Callable[[list[DocumentRef]], int]
    split: Callable[[list[DocumentRef]], int]
    assemble: Callable[[list[DocumentRef]], int]
    purge: Callable[[str], bool]
    webhook: Callable[[list[DeliveryRef]], int]
    publish: Callable[[], int]


class Unacknowledged(Request):  # type: ignore[misc]
    """A message that nobody waits to have acknowledged (`jobs.queue.queue_named`).

    Celery would acknowledge it all the same, a moment later, and where the connection broke in that moment, kombu
    fails on the closed channel with an AttributeError that ends the worker.
    """

    def acknowledge(self) -> None:
        self.acknowledged = True


class Rung(Task):  # type: ignore[misc]
    """Base of our tasks."""

    Request = Unacknowledged


def add_tasks(app: Celery, stages: Stages) -> None:
    """Register the tasks on the app. A message is only a hint: a stage that fails here is rung again by rescue."""

    @app.task(name=queue.RECOGNIZE, base=Rung, shared=False)  # type: ignore[untyped-decorator]
    def recognize(pages: dict[str, list[list[int]]]) -> None:
        _guarded(queue.RECOGNIZE, lambda: stages.recognize(queue.page_refs(pages)))

    @app.task(name=queue.FETCH, base=Rung, shared=False)  # type: ignore[untyped-decorator]
    def fetch(documents: dict[str, int]) -> None:
        _guarded(queue.FETCH, lambda: stages.fetch([DocumentRef(d, int(a)) for d, a in documents.items()]))

    @app.task(name=queue.SPLIT, base=Rung, shared=False)  # type: ignore[untyped-decorator]
    def split(documents: dict[str, int]) -> None:
        _guarded(queue.SPLIT, lambda: stages.split([DocumentRef(d, int(a)) for d, a in documents.items()]))

    @app.task(name=queue.ASSEMBLE, base=Rung, shared=False)  # type: ignore[untyped-decorator]
    def assemble(documents: dict[str, int]) -> None:
        _guarded(queue.ASSEMBLE, lambda: stages.assemble([DocumentRef(d, int(a)) for d, a in documents.items()]))

    @app.task(name=queue.PURGE, base=Rung, shared=False)  # type: ignore[untyped-decorator]
    def purge(job: str) -> None:
        _guarded(queue.PURGE, lambda: stages.purge(job))

    @app.task(name=queue.WEBHOOK, base=Rung, shared=False)  # type: ignore[untyped-decorator]
    def webhook(deliveries: dict[str, int]) -> None:
        _guarded(queue.WEBHOOK, lambda: stages.webhook([DeliveryRef(d, int(a)) for d, a in deliveries.items()]))

    @app.task(name=queue.PUBLISH, base=Rung, shared=False)  # type: ignore[untyped-decorator]
    def publish() -> None:
        _guarded(queue.PUBLISH, stages.publish)


def _guarded(task: str, stage: Callable[[], Any]) -> None:
    """A part of the service that is away is no bug: one line, and rescue tries again."""
    try:
        stage()
    except PagemillError as error:
        log.warning("%s put off: %s", task, error, extra={"action": "task_put_off", "task": task, "code": error.code})
