"""The loads: very many pages, one very long document, one job of very many documents. Each through the real API."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx

from jobs.models import FINAL
from jobs.store import reading
from tests.bench.scale.journal import Journal
from tests.bench.scale.site import BUCKET, Site, site
from tests.bench.scale.watch import Calls, Probe, Watch, stored
from tests.documents import pdf
from tests.installation import ledger_errors

PAGES_EACH = 100
PER_JOB = 100
EVERY = 5.0
"""Seconds between samples."""
IDLE = 10.0
"""Seconds of calls before and after, while nothing is to be read."""
PUTTERS = 8


class Load:
    """One part of a run: services that nobody used before, a watch, a probe."""

    def __init__(self, stack: ExitStack, journal: Journal, part: str, workers: int, every: float, *, s3: bool = False):
        self.journal = journal
        self.site: Site = stack.enter_context(site(workers, s3=s3))
        journal.begin(part, workers=workers, load_average=os.getloadavg()[0])
        self.client = stack.enter_context(self.site.client())
        self.watch = stack.enter_context(Watch(self.site, journal, every))
        self.jobs: list[str] = []

    def submit(self, **request: object) -> str:
        """A job; how long that took is noted."""
        begun = time.perf_counter()
        response = self.client.post("jobs", **request)  # type: ignore[arg-type]
        job = str(response.raise_for_status().json()["id"])
        self.jobs.append(job)
        self.journal.note("submit", seconds=round(time.perf_counter() - begun, 3), job=job)
        return job

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path).raise_for_status()

    @contextmanager
    def probed(self, calls: Calls) -> Iterator[Probe]:
        """Calls from before the load to after it; they begin in the phase `before`."""
        with Probe(self.site, self.journal, calls) as probe:
            probe.phase = "before"
            time.sleep(IDLE)
            probe.phase = "load"
            yield probe
            probe.phase = "after"
            time.sleep(IDLE)

    def wait(self, condition: Callable[[], object], pause: float = 0.2) -> float:
        """Until it holds; seconds since the part began."""
        while not condition():
            time.sleep(pause)
        return self.journal.now

    def ended(self, job: str) -> bool:
        with self.site.mill.db.read() as session:
            return reading.get_job(session, job).state in FINAL

    def wait_for_jobs(self) -> None:
        for job in self.jobs:
            self.wait(lambda job=job: self.ended(job))  # type: ignore[misc]
        self.journal.note("ended")

    def check(self, some: int = 3) -> None:
        """The ledger of the first, the middle and the last job adds up, and all is counted."""
        for job in {self.jobs[0], self.jobs[len(self.jobs) // 2], self.jobs[-1]}:
            assert not ledger_errors(self.site.mill, job), f"the ledger of {job} does not add up"


def many(journal: Journal, pages: int, *, workers: int, every: float = EVERY, per_job: int = PER_JOB) -> None:
    """So many pages in documents of a hundred, a hundred of these a job (`per_job`)."""
    with ExitStack() as stack:
        load = Load(stack, journal, "many", workers, every)
        warm = load.submit(files=_files(1, pdf(1)))
        load.wait(lambda: load.ended(warm))
        document = str(load.get(f"jobs/{warm}/documents").json()["items"][0]["id"])
        with load.probed(lambda: _usual(load.jobs[-1], warm, document)):
            journal.note("loaded", what="begin")
            data = pdf(PAGES_EACH)
            for first in range(0, pages // PAGES_EACH, per_job):
                load.submit(files=_files(min(per_job, pages // PAGES_EACH - first), data))
            journal.note("submitted", documents=pages // PAGES_EACH, bytes=len(data))
            load.wait_for_jobs()
        journal.note("store", **stored(load.site.objects))
        load.check()


def _usual(job: str, ended: str, document: str) -> dict[str, str]:
    """What somebody looks at who has just submitted, and who has had an answer before."""
    return {
        "status of a job": f"jobs/{job}",
        "list of 50 jobs": "jobs?limit=50",
        "100 documents of a job": f"jobs/{job}/documents?limit=100",
        "pages of a document": f"jobs/{ended}/documents/{document}/pages",
        "result of a document": f"jobs/{ended}/documents/{document}/result?format=markdown",
    }


def _files(count: int, data: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (f"{number}.pdf", data, "application/pdf")) for number in range(count)]


def large(journal: Journal, pages: int, *, workers: int, every: float = 1.0) -> None:
    """One document of so many pages."""
    with ExitStack() as stack:
        load = Load(stack, journal, "large", workers, every)
        data = pdf(pages)
        time.sleep(2 * every)  # samples of what the processes have before
        begun = journal.now
        job = load.submit(files=_files(1, data))
        document = str(load.get(f"jobs/{job}/documents").json()["items"][0]["id"])
        place = f"jobs/{job}/documents/{document}"
        calls = {
            "status of a job": f"jobs/{job}",
            "the document": place,
            "100 of its pages": f"{place}/pages?limit=100",
        }
        with Probe(load.site, journal, lambda: calls) as probe:
            probe.phase = "load"
            found = {
                name: load.wait(condition, 0.02) - begun
                for name, condition in {
                    "split": lambda: load.get(place).json()["sealed"],
                    "first page": lambda: load.get(place).json()["pages"]["succeeded"],
                    "last page": lambda: load.get(place).json()["pages"]["succeeded"] == pages,
                    "document.md": lambda: load.get(place).json()["state"] in FINAL,
                    "job.json": lambda: load.ended(job),
                }.items()
            }
        sizes = {}
        for form in ("markdown", "json", "zip"):
            begun = time.perf_counter()
            sizes[form] = len(load.get(f"{place}/result?format={form}").content)
            journal.note("got", name=form, bytes=sizes[form], ms=round((time.perf_counter() - begun) * 1000, 1))
        journal.note("long", pages=pages, bytes=len(data), seconds=found)
        load.check()


def listed(journal: Journal, documents: int, *, workers: int, every: float = EVERY) -> None:
    """One job of so many documents of one page, which lie in a bucket."""
    with ExitStack() as stack:
        load = Load(stack, journal, "listed", workers, every, s3=True)
        _fill(load, documents)
        warm = load.submit(files=_files(1, pdf(1)))
        load.wait(lambda: load.ended(warm))
        first = str(load.get(f"jobs/{warm}/documents").json()["items"][0]["id"])
        with load.probed(lambda: _of_a_long_list(load.jobs[-1], warm, first, documents)):
            journal.note("loaded", what="begin")
            job = load.submit(json={"sources": [{"url": f"s3://{BUCKET}/"}]})
            load.wait(lambda: load.get(f"jobs/{job}").json()["sealed"])
            journal.note("submitted", documents=documents, bytes=len(pdf(1)))
            load.wait(lambda: load.watch.latest["finished"] >= documents + 1)
            journal.note("all documents ended")
            load.wait_for_jobs()
        begun = time.perf_counter()
        size = len(load.get(f"jobs/{job}/result?format=json").content)
        journal.note("got", name="job.json", bytes=size, ms=round((time.perf_counter() - begun) * 1000, 1))
        journal.note("store", **stored(load.site.objects))
        counted = load.get(f"jobs/{job}").json()
        assert counted["documents"]["succeeded"] == documents, counted
        _cost_of_the_end(load, job)


def _of_a_long_list(job: str, ended: str, document: str, documents: int) -> dict[str, str]:
    return {
        "status of a job": f"jobs/{job}",
        "list of 50 jobs": "jobs?limit=50",
        "100 documents, the first": f"jobs/{job}/documents?limit=100",
        "100 documents from the middle": f"jobs/{job}/documents?limit=100&cursor={documents // 2}",
        "its failed documents": f"jobs/{job}/documents?state=failed",
        "one document": f"jobs/{ended}/documents/{document}",
    }


def _fill(load: Load, documents: int) -> None:
    """The bucket."""
    assert load.site.seaweed is not None
    data, client = pdf(1), load.site.seaweed.client

    def put(number: int) -> None:
        client.put_object(Bucket=BUCKET, Key=f"{number // 1000:03}/{number:06}.pdf", Body=data)

    with ThreadPoolExecutor(PUTTERS) as threads:
        for done, _ in enumerate(threads.map(put, range(documents)), 1):
            if done % 10_000 == 0:
                load.journal.say(f"{done:,} objects put")
    load.journal.note("filled")


def _cost_of_the_end(load: Load, job: str) -> None:
    """What it takes to be rid of it again."""
    begun = time.perf_counter()
    load.client.delete(f"jobs/{job}").raise_for_status()
    load.journal.note("deleted", ms=round((time.perf_counter() - begun) * 1000, 1))
    gone = load.wait(lambda: load.watch.latest["documents"] <= 1)
    load.journal.note("purged", at=gone)
