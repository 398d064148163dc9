"""The load: jobs submitted all the time, some of them canceled, deleted, retried or moved in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api.client import Upload
from jobs import lifecycle
from jobs.errors import NotFound, PagemillError, RequestError
from jobs.models import FINAL
from jobs.options import JobOptions
from tests.chaos.plans import JobPlan
from tests.chaos.stage import Stage
from tests.documents import pdf

OPEN_JOBS = 24
"""Submitted and not ended at once."""
PAUSE = 0.05
GIVE_UP = 200
"""Tries of an operation; retry waits for the end of its job."""


@dataclass(frozen=True)
class _Due:
    submissions: int
    job: str
    plan: JobPlan
    tries: int = 0


class Load(threading.Thread):
    """Submits the plans in their order. `accepted` names the job of each plan that was acknowledged."""

    def __init__(self, stage: Stage, plans: tuple[JobPlan, ...], open_jobs: Callable[[], int]) -> None:
        super().__init__(name="load", daemon=True)
        self._stage, self._plans, self._open_jobs = stage, plans, open_jobs
        self.plans = {plan.number: plan for plan in plans}
        self.accepted: dict[int, str] = {}
        self.pages = 0
        """Submitted and acknowledged."""
        self.done: dict[str, str] = {}
        """Operations that were carried out, by job."""
        self.allowed = 0
        """Pages that may be submitted by now: faults and load keep step."""
        self.error: BaseException | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._files = stage.root / "documents"
        self._files.mkdir()

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.error = error
            raise

    def _run(self) -> None:
        due: list[_Due] = []
        for count, plan in enumerate(self._plans):
            while self._has_enough() and not self._stopping.is_set():
                self._stopping.wait(PAUSE)
            job = self._until_accepted(plan)
            if job is None:
                return
            if plan.operation:
                due.append(_Due(count + plan.after, job, plan))
            due = self._operate(due, count)
        while due and not self._stopping.wait(PAUSE):
            due = self._operate(due, len(self._plans) + 10)

    def _has_enough(self) -> bool:
        return self.pages >= self.allowed or self._open_jobs() >= OPEN_JOBS

    def stop(self) -> None:
        self._stopping.set()

    def submit(self, plan: JobPlan) -> str | None:
        """One more job, from any thread: of a fault that is a page."""
        with self._lock:
            self.plans[plan.number] = plan
        return self._until_accepted(plan)

    def _until_accepted(self, plan: JobPlan) -> str | None:
        """Again and again until somebody says yes. An answer that was lost makes a second job of the same plan."""
        while not self._stopping.is_set():
            try:
                job = self._send(plan)
            except PagemillError as error:
                if isinstance(error, RequestError):
                    raise
                self._stopping.wait(0.2)
                continue
            with self._lock:
                self.accepted[plan.number] = job
                self.pages += plan.pages
            return job
        return None

    def _send(self, plan: JobPlan) -> str:
        options = {
            "metadata": {"plan": plan.number},
            "priority": "interactive" if plan.interactive else "batch",
            "echo": plan.echo,
        }
        files = [self._file(pages) for pages in plan.documents]
        if plan.through_api:
            uploads = [Upload(path, f"{number}.pdf") for number, path in enumerate(files)]
            return self._stage.client.submit(uploads, JobOptions(engine="echo", **options)).id
        return self._stage.mill.submit(*[path.read_bytes() for path in files], **options)

    def _file(self, pages: int) -> Path:
        path = self._files / f"{pages}.pdf"
        if not path.exists():
            path.write_bytes(pdf(pages))
        return path

    def _operate(self, due: list[_Due], count: int) -> list[_Due]:
        """Carry out what is due; returns what is still to be done."""
        left = []
        for item in due:
            if item.submissions > count:
                left.append(item)
            elif not self._operated(item) and item.tries < GIVE_UP:
                left.append(_Due(item.submissions, item.job, item.plan, item.tries + 1))
        return left

    def _operated(self, item: _Due) -> bool:
        mill, client = self._stage.mill, self._stage.client
        try:
            match item.plan.operation:
                case "cancel":
                    client.cancel(item.job)
                case "delete":
                    client.delete(item.job)
                case "prioritize":
                    client.prioritize(item.job, "batch" if item.plan.interactive else "interactive")
                case "retry":
                    if mill.job(item.job).state not in FINAL:
                        return False
                    lifecycle.retry(mill.db, mill.blobs, item.job)
        except NotFound:
            return True  # deleted by a request whose answer was lost
        except PagemillError:
            return False
        self.done[item.job] = str(item.plan.operation)
        return True
