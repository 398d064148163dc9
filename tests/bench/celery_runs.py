"""What B4 does with each side: a load that it measures, and a worker that it kills."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.celery_sides import Side, Submitted
from tests.bench.machine import CpuMeter
from tests.bench.modelled import PAGE_WORK, Model, Reading, idle_share, page_work
from tests.processes import wait_until

SMALL = 3
"""Pages of the small job."""
BEHIND = 3.0
"""Seconds after the large one at which it is submitted."""
PAGES = 100
"""Of each large document."""
KILL_AFTER = 100
"""Pages that ended before the worker is killed."""
PATIENCE = 10.0
"""Seconds in which the engine has nothing to do and nothing ends, until it is said that nothing will."""


@dataclass(frozen=True, slots=True)
class Run:
    """A load on one side, from its submission until its last document."""

    rate: float
    """Pages per second."""
    idle: float | None
    """Of the engine, while at least two batches were left; None of one that takes no time."""
    first: float
    """Seconds until the first document of the large job could be read."""
    small: float | None
    """Seconds from the submission of the small job to its end."""
    cpu: dict[str, float]
    """Milliseconds a page by part."""


@dataclass(frozen=True, slots=True)
class Killed:
    """What a SIGKILL of the worker did. A new worker began at once."""

    documents: int
    ended: int
    """Of them."""
    lacking: int
    """Pages without a result when nothing went on any more."""
    wasted: float
    """Work of the engine that did not become a result, in pages."""
    seconds: float | None
    """From the kill to the end of the last document, where all ended."""


def measure(side: Side, model: Model, parts: dict[str, list[int]], documents: int, *, small: bool) -> Run:
    """`parts`: processes beside the worker whose CPU counts. `small`: whether a small job comes in the middle."""
    with side.worker(model) as worker:
        _finish(side, side.submit(1, SMALL))  # warm: connections, imports
        meter = CpuMeter(parts | {"worker": [worker.pid]})
        jobs = [side.submit(documents, PAGES)]
        if small:
            time.sleep(max(0.0, jobs[0].begun + BEHIND - time.time()))
            assert len(side.ends(jobs[0])) < documents, "the large job ended too early"
            jobs.append(side.submit(1, SMALL))
        ends = [_finish(side, job) for job in jobs]
        used = meter.read() | {"submit": sum(job.cpu for job in jobs)}
    for job in jobs:
        side.check(job)
    pages = sum(job.pages for job in jobs)
    return Run(
        rate=pages / (max(map(max, ends)) - jobs[0].begun),
        idle=_idle(model, read_meters(side.readings), jobs[0]) if small else None,
        first=ends[0][0] - jobs[0].begun,
        small=ends[1][0] - jobs[1].begun if small else None,
        cpu={part: seconds / pages * 1000 for part, seconds in used.items()},
    )


def kill(side: Side, model: Model, documents: int, patience: float = PATIENCE, **more: str) -> Killed:
    """SIGKILL in the middle. `more`: variables of its workers."""
    worker = side.worker(model, **more)
    with worker:
        _finish(side, side.submit(1, SMALL))
        before = read_meters(side.readings)[-1]
        job = side.submit(documents, PAGES)
        wait_until(lambda: read_meters(side.readings)[-1].ended - before.ended >= KILL_AFTER, "pages to end")
        worker.kill()
    killed, done = time.time(), read_meters(side.readings)[-1].done - before.done
    with side.worker(model, **more):
        _until_quiet(side, job, patience)
        done += read_meters(side.readings)[-1].done
    stored, ends = side.stored(job), side.ends(job)
    return Killed(
        documents=documents,
        ended=len(ends),
        lacking=job.pages - len(stored),
        wasted=(done - sum(map(page_work, stored))) / PAGE_WORK,
        seconds=ends[-1] - killed if len(ends) == documents else None,
    )


def wait_behind(side: Side, model: Model, documents: int) -> float:
    """Seconds from the submission of a small job behind so many large documents to its end. These do not end here."""
    with side.worker(model):
        _finish(side, side.submit(1, SMALL))
        large = side.submit(documents, PAGES)
        time.sleep(BEHIND)
        small = side.submit(1, SMALL)
        end = _finish(side, small)[0]
        assert len(side.ends(large)) < documents, "the large job ended too early"
    return end - small.begun


def read_meters(path: Path) -> list[Reading]:
    """Whole lines; the last one may still be being written."""
    text = path.read_text()
    return [Reading.parse(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def backlog(readings: Sequence[Reading], pages: int, left: int) -> tuple[Reading, Reading]:
    """The readings between which there was backlog: from the first with something in the engine to the last at which
    at least `left` of so many pages had not ended. The first one tells what had ended before."""
    begin = next(reading for reading in readings if reading.running)
    end = [reading for reading in readings if pages - (reading.ended - readings[0].ended) >= left][-1]
    return begin, end


def _idle(model: Model, readings: Sequence[Reading], job: Submitted) -> float:
    since = job.begun - time.time() + time.monotonic()  # the meters tell another clock
    # None from before: there the page that warmed may still run, and the wait between would count as idle.
    ours = [reading for reading in readings if reading.at >= since]
    return idle_share(model, *backlog(ours, job.pages, 2 * model.sequences))


def _finish(side: Side, job: Submitted, timeout: float = 120) -> list[float]:
    """When its documents ended, ascending."""
    _poll(lambda: len(side.ends(job)) == job.documents, f"{side.name} to end", timeout)
    return side.ends(job)


def _poll(condition: Callable[[], bool], what: str, timeout: float) -> None:
    """Ten times a second: what asks more often costs the database more than a design does."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.1)


def _until_quiet(side: Side, job: Submitted, patience: float) -> None:
    """Until all its documents have ended, or nothing has happened for so many seconds."""
    last, seen = time.monotonic(), (0, -1.0)
    while (ended := len(side.ends(job))) < job.documents and time.monotonic() - last < patience:
        now = (ended, read_meters(side.readings)[-1].done)
        if now != seen:
            last, seen = time.monotonic(), now
        time.sleep(0.1)
