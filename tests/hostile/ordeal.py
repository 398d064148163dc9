"""The whole way of a file, for real: HTTP upload, queue, split and render processes, result. And somebody watches.

Every job carries two good documents, first and last: they must succeed whatever lies between them.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from api.client import Client, Upload
from jobs.models import FINAL, PAGE_FINAL, DocumentPublic, PagePublic
from jobs.options import EchoOptions, JobOptions
from jobs.settings import MIB, LimitSettings
from tests.api_server import ApiServer
from tests.documents import pdf
from tests.hostile.watch import Watch
from tests.installation import SECRET, Installation, WorkerService
from tests.mill import CALM
from tests.services import Valkey

PAGE_TIMEOUT = 20.0
SPLIT_TIMEOUT = 20.0

LIMITS = {
    "PAGEMILL_PAGE_TIMEOUT": f"{PAGE_TIMEOUT:g}",
    "PAGEMILL_SPLIT_TIMEOUT": f"{SPLIT_TIMEOUT:g}",
    "PAGEMILL_MAX_ERRORS": "1",  # a page that hangs once is believed
    "PAGEMILL_RENDER_PROCESSES": "2",
}
"""Limits of production but for the deadlines, which are 300 and 120 seconds there, and the tries."""

DOCUMENT_CODES = frozenset(
    {"unsupported_type", "empty_file", "corrupt_file", "password_required", "password_incorrect", "too_many_pages",
     "deadline_exceeded", "file_too_large"}
)  # fmt: skip
PAGE_CODES = frozenset({"page_render_failed", "page_too_large", "page_timeout"})
"""What may be wrong with a file, and what with a page. `internal_error` and `engine_error` are no excuse."""

TRIES = 2
"""Render processes that a page may end before it is given up."""

WORKER_BYTES = 512 * MIB
API_BYTES = 512 * MIB
ENGINE_BYTES = {"echo": 256 * MIB, "rapidocr": 1024 * MIB}
"""What a render process may weigh before its first page."""

_HELD_BYTES = 3 * 40_000_000 * 4
_SLACK_BYTES = 256 * MIB
_DEATH = re.compile(r"the render process \S.* \((crash|deadline|memory|closed)\)$", re.MULTILINE)
_WORN = re.compile(r"render process \d+ has leaked memory and is replaced$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Specimen:
    """A file to send, the name it is known by, and the password to send with it."""

    name: str
    path: Path
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a file."""

    name: str
    document: DocumentPublic
    pages: tuple[PagePublic, ...]

    @property
    def code(self) -> str:
        """The document's code; `partial` where only some pages failed, `succeeded` where none did."""
        return self.document.error.code if self.document.error else self.document.state.value

    @property
    def page_codes(self) -> Counter[str]:
        return Counter(page.error.code if page.error else page.state.value for page in self.pages)

    @property
    def crashed(self) -> int:
        """How often it took render processes with it until it was given up."""
        told = [page.error for page in self.pages] or [self.document.error]
        return sum(error is not None and error.detail.startswith("the render process") for error in told)

    def faults(self) -> Iterator[str]:
        """What must never be, whatever the file."""
        if self.document.state not in FINAL:
            yield f"{self.name} is {self.document.state}"
        if self.code not in DOCUMENT_CODES | PAGE_CODES | {"succeeded", "partial"}:
            yield f"{self.name} ended as {self.code}: {self.document.error}"
        for page in self.pages:
            if page.state not in PAGE_FINAL or (page.state == "failed") != (page.error is not None):
                yield f"{self.name} page {page.number} is {page.state} with {page.error}"
            if page.error is not None and page.error.code not in PAGE_CODES:
                yield f"{self.name} page {page.number} ended as {page.error.code}: {page.error.detail}"
            if page.crashes:
                yield f"{self.name} page {page.number} counts {page.crashes} crashes of its worker"


class Ordeal:
    """An installation that is given one lot of files after the other."""

    def __init__(self, installation: Installation, client: Client, worker: WorkerService, watch: Watch) -> None:
        self.installation, self.worker, self.watch = installation, worker, watch
        self.engine = installation.settings["PAGEMILL_ENGINE"]
        self._pid = worker.pid
        self._client = client
        self._good = installation.root / "good.pdf"
        self._good.write_bytes(pdf(1))
        self._crashed = 0

    def run(
        self, specimens: Iterable[Specimen], *, pages: str | None = None, seconds_each: float = 3 * PAGE_TIMEOUT
    ) -> list[Verdict]:
        """Send the files, one job for each password among them, and wait. TimeoutError where a job does not end.

        `pages`: as in JobOptions. `seconds_each`: how long a file may take before the job is held to hang.
        """
        verdicts: list[Verdict] = []
        ordered = sorted(specimens, key=lambda specimen: specimen.password or "")
        for password, lot in groupby(ordered, key=lambda specimen: specimen.password):
            verdicts += self._run(list(lot), password, pages, seconds_each)
        return verdicts

    def _run(
        self, specimens: Sequence[Specimen], password: str | None, pages: str | None, seconds_each: float
    ) -> list[Verdict]:
        options = JobOptions(echo=EchoOptions(render=True, layer=True), password=password, pages=pages)
        good = Upload(self._good, "good.pdf")
        uploads = [good, *(Upload(specimen.path, specimen.path.name) for specimen in specimens), good]
        job = self._client.submit(uploads, options)
        self._wait(job.id, 120.0 + seconds_each * len(specimens))
        documents = self.installation.documents(job.id)
        by_document: dict[str, list[PagePublic]] = {document.id: [] for document in documents}
        for page in self.installation.pages(job.id):
            by_document[page.document_id].append(page)
        assert [documents[0].state, documents[-1].state] == ["succeeded", "succeeded"], "good neighbours were harmed"
        verdicts = [
            Verdict(specimen.name, document, tuple(by_document[document.id]))
            for specimen, document in zip(specimens, documents[1:-1], strict=True)
        ]
        self._crashed += sum(verdict.crashed for verdict in verdicts)
        return verdicts

    def _wait(self, job_id: str, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while self.installation.job(job_id).state not in FINAL:
            assert self.worker.running, f"the worker died\n{self.worker.output()[-4000:]}"
            if time.monotonic() > ends:
                waiting = [d.name for d in self.installation.documents(job_id) if d.state not in FINAL]
                raise TimeoutError(f"{job_id} does not end: {waiting[:10]}\n{self.worker.output()[-4000:]}")
            time.sleep(0.1)

    def deaths(self) -> Counter[str]:
        """Render processes that ended, by reason: crash, deadline, memory, worn (it had leaked)."""
        output = self.worker.output()
        return Counter(_DEATH.findall(output)) + Counter(worn=len(_WORN.findall(output)))

    def faults(self) -> Iterator[str]:
        """What must never be, whatever was sent; call it before the processes are asked to end."""
        if not self.worker.running or self.worker.pid != self._pid:
            yield "the worker died"
        if len(self.installation.workers()) != 1:
            yield "the worker had to register again"
        unexplained = self.deaths()["crash"] - TRIES * self._crashed
        if unexplained > 0:
            yield f"{unexplained} render processes crashed without a code on a document\n{self.worker.output()[-4000:]}"
        peaks = self.watch.peaks
        for name, told, limit in (
            ("the worker", peaks["worker"].root, WORKER_BYTES),
            ("the API", peaks["api"].root, API_BYTES),
            ("a render process", peaks["worker"].child, self.render_bytes),
        ):
            if told > limit:
                yield f"{name} took {told // MIB} of {limit // MIB} MiB"
        if "Traceback" in self.worker.output():
            yield f"something unforeseen was raised\n{self.worker.output()[-4000:]}"

    @property
    def render_bytes(self) -> int:
        """What a render process may have in memory at most: what `Slot` allows it, beside the engine's own weight."""
        return ENGINE_BYTES[self.engine] + _HELD_BYTES + LimitSettings().render_memory + _SLACK_BYTES


@contextmanager
def ordeal(root: Path, valkey: Valkey, engine: str = "echo", **settings: str) -> Iterator[Ordeal]:
    """API, worker and watch over a new SQLite database and directory under `root`. They end in good order, or raise."""
    valkey.flush()
    url = f"sqlite:///{root / 'pagemill.db'}"
    values = CALM | LIMITS | {"PAGEMILL_ENGINE": engine} | settings
    store = f"file:{root / 'objects'}"
    with (
        Installation(root, url, valkey.url_of(1), settings=values) as installation,
        ApiServer(url, store_url=store, secret_key=SECRET, engine=engine, broker_url=valkey.url_of(1)) as server,
        installation.worker() as worker,
        Watch(worker=worker.pid, api=server.pid) as watch,
        Client(server.url) as client,
    ):
        yield Ordeal(installation, client, worker, watch)
        assert worker.terminate() == 0, worker.output()[-4000:]
        assert watch.left_over() == []
