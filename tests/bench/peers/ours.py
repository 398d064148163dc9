"""pagemill against the modelled server: as a service that is up, and as one command with nothing running before it."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from jobs.models import FINAL
from tests.api_server import ApiServer
from tests.bench.environments import ROOT
from tests.bench.machine import CpuMeter
from tests.bench.peers.contender import IN_FLIGHT, Command, Took
from tests.bench.peers.drawing import DPI, MOST_PIXELS
from tests.bench.peers.pages import Pages
from tests.bench.peers.replies import Kind
from tests.bench.peers.server import StubServer
from tests.documents import pdf
from tests.installation import Installation
from tests.services import Postgres, Valkey

LOOK = 0.05
"""Seconds between two looks for the first page, until there is one."""
WAIT = 60


GIVEN = (
    f"whole pages, JPEGs of {MOST_PIXELS:,} pixels at most, {DPI} dpi at most, {IN_FLIGHT} requests at once, no cache,"
    " otherwise its defaults"
)


def settings(url: str) -> dict[str, str]:
    """Whole pages to this server, at its own bound of pixels and 144 dpi."""
    return {
        "PAGEMILL_ENGINE": "paddleocr_vl",
        "PAGEMILL_VL_BACKEND": "openai",
        "PAGEMILL_OPENAI_URLS": url,
        "PAGEMILL_VL_LAYOUT_MODEL": "none",
        "PAGEMILL_VL_MAX_PIXELS": str(MOST_PIXELS),
        "PAGEMILL_VL_CONCURRENCY": str(IN_FLIGHT),
        "PAGEMILL_CACHE": "bypass",
    }


def command() -> Command:
    """`pagemill run`: SQLite, a Valkey and a worker of its own."""

    def words(_url: str, folder: Path, out: Path) -> list[str | Path]:
        return [sys.executable, "-m", "api.cli", "run", folder, "-o", out, "--json"]

    given = f"{GIVEN}; SQLite, a Valkey and a worker of its own"
    return Command("pagemill run", words, given, environment=lambda url: {"PYTHONPATH": str(ROOT), **settings(url)})


@dataclass(frozen=True, slots=True)
class ServiceUp:
    """API, one worker, PostgreSQL with fsync, Valkey, results in a folder: all up and warm before the clock starts.

    The page that warms it is forgotten by the server: it reads, and is counted for, the same pages as everybody. One
    job by HTTP; its end is when the Markdown of every document has been fetched. What its client takes here counts too.
    """

    name: str = "pagemill, service"
    given: str = f"{GIVEN}; PostgreSQL with fsync, Valkey, one worker"
    asks: Kind = "markdown"

    def run(self, server: StubServer, pages: Pages) -> Took:
        with _service(server.url) as (api, pids), api.client() as client:
            _wait(client, _submit(client, {"warm.pdf": pdf(1)}))
            pids["render"] = [process.pid for process in psutil.Process(pids["worker"][0]).children()]
            files = {path.name: path.read_bytes() for path in sorted(pages.folder.glob("*.pdf"))}
            server.forget()
            meter, client_before = CpuMeter(pids), time.process_time()
            began = time.monotonic()
            job = _submit(client, files)
            first = _first_page(client, job)
            _wait(client, job)
            texts = [_markdown(client, job, document["id"]) for document in _documents(client, job)]
            ended = time.monotonic()
            client_cpu = time.process_time() - client_before
            cpu = meter.read() | {"client": client_cpu}
            cpu["worker"] -= cpu["render"]
            return Took(began, ended, sum(cpu.values()), first, len(texts), cpu)


@contextmanager
def _service(url: str) -> Iterator[tuple[ApiServer, dict[str, list[int]]]]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres(fsync=True))
        database = postgres.create_database("bench")
        more = settings(url) | {"PAGEMILL_TIME_FACTOR": "1"}
        installation = stack.enter_context(Installation(root, database, valkey.url, settings=more))
        store = f"file:{root / 'objects'}"
        api = ApiServer(
            database, broker_url=valkey.url, store_url=store, engine="paddleocr_vl", engines="paddleocr_vl",
            cache="bypass",
        )  # fmt: skip
        stack.callback(api.remove)
        api.start()
        worker = installation.worker()
        stack.callback(worker.remove)
        worker.start()
        pids = {"API": [api.pid], "worker": [worker.pid], "database": [postgres.pid], "broker": [valkey.pid]}
        yield api, pids


def _submit(client: httpx.Client, files: dict[str, bytes]) -> str:
    response = client.post("jobs", files=[("file", (name, data, "application/pdf")) for name, data in files.items()])
    response.raise_for_status()
    return str(response.json()["id"])


def _get(client: httpx.Client, path: str, **headers: str) -> Any:
    response = client.get(path, headers=headers)
    response.raise_for_status()
    return response.json()


def _documents(client: httpx.Client, job: str) -> list[Any]:
    return list(_get(client, f"jobs/{job}/documents?limit=100")["items"])


def _first_page(client: httpx.Client, job: str) -> float:
    """When the text of a first page was here."""
    while True:
        for document in _documents(client, job):
            if document["pages"]["succeeded"]:
                place = f"jobs/{job}/documents/{document['id']}/pages"
                number = _get(client, f"{place}?state=succeeded&limit=1")["items"][0]["number"]
                client.get(f"{place}/{number}").raise_for_status()
                return time.monotonic()
        time.sleep(LOOK)


def _wait(client: httpx.Client, job: str) -> None:
    """Until the job has ended. Raises RuntimeError where it ends otherwise than well."""
    while (found := _get(client, f"jobs/{job}", prefer=f"wait={WAIT}"))["state"] not in FINAL:
        continue
    if found["state"] != "succeeded":
        raise RuntimeError(f"the job ended as {found['state']}: {found['pages']}")


def _markdown(client: httpx.Client, job: str, document: str) -> str:
    response = client.get(f"jobs/{job}/documents/{document}/result", headers={"accept": "text/markdown"})
    response.raise_for_status()
    return response.text
