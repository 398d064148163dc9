"""Celery tasks: views. Each checks its message, calls one stage and says what came of it, in the log and to Flower."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery, Task
from celery.exceptions import Retry
from celery.worker.request import Request

from jobs import queue
from jobs.context import about
from jobs.errors import PagemillError
from jobs.store.claiming import DocumentRef, PageRef
from jobs.store.webhooks import DeliveryRef
from workers.tally import Tally

log = logging.getLogger(__name__)

_IDS = re.compile(r"(job|doc)_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Stages:
    """What this worker does with messages. What they return is shown by `str`; a number is how many were ours."""

    recognize: Callable[[list[PageRef], Callable[[], None]], Tally]
    """Calls the second when the pages' turn has come."""
    fetch: Callable[[list[DocumentRef]], int]
    split: Callable[[list[DocumentRef]], int]
    assemble: Callable[[list[DocumentRef]], int]
    purge: Callable[[str], bool]
    webhook: Callable[[list[DeliveryRef]], int]
    publish: Callable[[], int]


class Unacknowledged(Request):  # type: ignore[misc]
    """A message that nobody waits to have acknowledged (`jobs.queue.queue_named`), and that has begun when its stage
    says so.

    Celery would acknowledge it all the same, a moment later, and where the connection broke in that moment, kombu
    fails on the closed channel with an AttributeError that ends the worker.
    """

    def acknowledge(self) -> None:
        self.acknowledged = True

    def send_event(self, kind: str, **fields: Any) -> None:
        if kind == "task-started":
            # Only that a thread has taken it; it may wait for its turn there (`Recognizer.run`). Celery calls this in
            # the very thread that runs the task next.
            _thread.begin = lambda: Request.send_event(self, kind, **fields)
        else:
            super().send_event(kind, **fields)


_thread = threading.local()


def _begin() -> None:
    """Show the task of this thread as started."""
    begin, _thread.begin = getattr(_thread, "begin", None), None
    if begin is not None:
        begin()


class Rung(Task):  # type: ignore[misc]
    """Base of our tasks."""

    Request = Unacknowledged


class NotBegun(Retry):  # type: ignore[misc]
    """This worker had enough to do. Shown as a retry: the pages are rung again, for whoever is free."""

    def __repr__(self) -> str:
        return "not begun: this worker had enough to do"


class PutOff(Exception):
    """A part of the service is away: the task is a failure in Flower, with the error's code; rescue rings again."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True, repr=False)
class Said:
    """A task's result, which nobody keeps. Flower shows its `repr`."""

    text: str

    def __repr__(self) -> str:
        return self.text


_KIND = {"base": Rung, "bind": True, "shared": False, "throws": (PutOff,)}


def add_tasks(app: Celery, stages: Stages) -> None:
    """Register the tasks on the app. A message is only a hint: a stage that fails here is rung again by rescue."""

    @app.task(name=queue.RECOGNIZE, **_KIND)  # type: ignore[untyped-decorator]
    def recognize(self: Task, pages: dict[str, list[list[int]]]) -> Said:
        return _told(self, lambda: stages.recognize(queue.page_refs(pages), _begin), begins=True)

    @app.task(name=queue.FETCH, **_KIND)  # type: ignore[untyped-decorator]
    def fetch(self: Task, documents: dict[str, int]) -> Said:
        return _told(self, lambda: _count("begun", stages.fetch, _document_refs(documents)))

    @app.task(name=queue.SPLIT, **_KIND)  # type: ignore[untyped-decorator]
    def split(self: Task, documents: dict[str, int]) -> Said:
        return _told(self, lambda: _count("split", stages.split, _document_refs(documents)))

    @app.task(name=queue.ASSEMBLE, **_KIND)  # type: ignore[untyped-decorator]
    def assemble(self: Task, documents: dict[str, int]) -> Said:
        return _told(self, lambda: _count("assembled", stages.assemble, _document_refs(documents)))

    @app.task(name=queue.PURGE, **_KIND)  # type: ignore[untyped-decorator]
    def purge(self: Task, job: str) -> Said:
        return _told(self, lambda: "begun" if stages.purge(job) else "not begun: it is, or there is enough to do")

    @app.task(name=queue.WEBHOOK, **_KIND)  # type: ignore[untyped-decorator]
    def webhook(self: Task, deliveries: dict[str, int]) -> Said:
        refs = [DeliveryRef(d, int(a)) for d, a in deliveries.items()]
        return _told(self, lambda: _count("accepted", stages.webhook, refs))

    @app.task(name=queue.PUBLISH, **_KIND)  # type: ignore[untyped-decorator]
    def publish(self: Task) -> Said:
        return _told(self, lambda: f"published {stages.publish()}")


def _document_refs(documents: dict[str, int]) -> list[DocumentRef]:
    return [DocumentRef(document, int(attempt)) for document, attempt in documents.items()]


def _count(word: str, stage: Callable[[Any], int], refs: Sequence[Any]) -> str:
    """How many were ours; the others had changed hands by then, or ended."""
    ours = stage(refs)
    skipped = len(refs) - ours
    return f"{word} {ours}, skipped {skipped}" if skipped else f"{word} {ours}"


def _told(task: Task, stage: Callable[[], object], *, begins: bool = False) -> Said:
    """A part of the service that is away is no bug: one line, and rescue tries again. `begins`: the stage itself says
    when."""
    shown = str(task.request.get("kwargsrepr") or "")
    since = time.monotonic()
    if not begins:
        _begin()
    with about(**_ids(shown)):
        try:
            said = stage()
        except PagemillError as error:
            extra = {"action": "task_put_off", "task": task.name, "code": error.code}
            log.warning("%s put off: %s", task.name, error, extra=extra)
            raise PutOff(f"{error.code}: {error}") from None
        if isinstance(said, Tally) and said.busy:
            raise NotBegun
        extra = {"action": "task_done", "task": task.name, "seconds": round(time.monotonic() - since, 3)}
        log.info("%s %s: %s", task.name, shown, said, extra=extra)
    return Said(str(said))


def _ids(shown: str) -> dict[str, str]:
    """The job and the document of a message, where it is about one alone."""
    found: dict[str, set[str]] = {"job": set(), "document": set()}
    for match in _IDS.finditer(shown):
        found["job" if match[1] == "job" else "document"].add(match[0])
    return {name: next(iter(ids)) for name, ids in found.items() if len(ids) == 1}
