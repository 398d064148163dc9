"""The real HTTP server as a child process, on a database and a store of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil
from sqlmodel import Session, select

from jobs import lifecycle
from jobs.blobs import BlobStore, figure_key, open_store, page_key, result_key
from jobs.errors import PageTimeout
from jobs.models import Document, Job, Page, PageState, State, close_state
from jobs.results import Block, EngineInfo, PageImage, PageResult
from jobs.settings import BlobSettings, DatabaseSettings
from jobs.store.clock import now
from jobs.store.database import Database, open_database
from tests.processes import HOST, Service, free_port

ROOT = Path(__file__).resolve().parents[1]

# A file's first bytes decide; nothing here is read any further.
PDF = b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


class ApiServer(Service):
    """`api.main.serve` with these PAGEMILL_ settings (names in lower case, without the prefix), and other variables."""

    name = "api"

    def __init__(self, database_url: str, variables: Mapping[str, str] | None = None, **settings: object) -> None:
        super().__init__(free_port())
        self.variables = dict(variables or {})
        self.database_url = database_url
        self.scratch = self.directory / "scratch"
        self.scratch.mkdir()
        self.settings = {
            "database_url": database_url,
            "store_url": f"file:{self.directory / 'objects'}",
            "api_host": HOST,
            "api_port": self.port,
            "engine": "echo",
            "broker_url": "redis://127.0.0.1:1/0",
            **settings,
        }

    def _command(self) -> list[str]:
        env = [f"PAGEMILL_{name.upper()}={value}" for name, value in self.settings.items()]
        env += [f"{name}={value}" for name, value in self.variables.items()]
        return [
            "/usr/bin/env", f"PYTHONPATH={ROOT}", "PYTHONSAFEPATH=1", f"TMPDIR={self.scratch}", *env,
            sys.executable, "-c", "from api.main import serve; serve()",
        ]  # fmt: skip

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/health/live", timeout=2).is_success
        except httpx.TransportError:
            return False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def client(self, **values: object) -> httpx.Client:
        return httpx.Client(base_url=f"{self.url}/v1/", timeout=60, **values)

    def database(self) -> Database:
        return open_database(DatabaseSettings(database_url=self.database_url))

    def blobs(self) -> BlobStore:
        return open_store(BlobSettings(store_url=self.settings["store_url"]))

    def objects(self, prefix: str = "") -> list[str]:
        """All keys in the store."""
        return [stat.key for stat in self.blobs().list(prefix)]

    def memory(self) -> int:
        """Resident bytes of the process."""
        return psutil.Process(self.pid).memory_info().rss

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")


def files(*contents: bytes | tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """`file` parts; names are 1.pdf, 2.pdf, … where none are given."""
    named = [item if isinstance(item, tuple) else (f"{n}.pdf", item) for n, item in enumerate(contents, 1)]
    return [("file", item) for item in named]


def page_result(number: int) -> PageResult:
    return PageResult(
        number=number,
        image=PageImage(width=400, height=600, dpi=72),
        blocks=(Block(label="text", bbox=(10, 10, 90, 30), content=f"page {number}", order=0),),
        engine=EngineInfo(name="echo", version="1", model="none"),
    )


def write_pages(server: ApiServer, job_id: str, document_id: str, states: list[PageState]) -> None:
    """Pages 1, 2, … as a worker would leave them in the middle of a document."""
    set_pages(server, job_id, document_id, dict(enumerate(states, 1)))


def set_pages(
    server: ApiServer, job_id: str, document_id: str, states: dict[int, PageState], *, end: bool = False
) -> None:
    """Stored results first, then rows and counters in one transaction; `end` closes the document."""
    database, blobs = server.database(), server.blobs()
    for number, state in states.items():
        if state is PageState.SUCCEEDED:
            blobs.put(page_key(job_id, document_id, number, 2), page_result(number).model_dump_json().encode())
    with database.write() as session:
        for number, state in states.items():
            error = PageTimeout("it hung").at(f"page {number}").problem() if state is PageState.FAILED else None
            stored = error and error.model_dump(exclude_none=True)
            session.merge(Page(document_id=document_id, number=number, state=state, attempt=2, error=stored))
        session.flush()
        document = session.get(Document, document_id)
        found = list(session.exec(select(Page.state).where(Page.document_id == document_id)))
        document.sealed, document.source_pages, document.total = True, len(found), len(found)
        for state in PageState:
            setattr(document, state.value, found.count(state.value))
        document.state = State.RUNNING.value
        if end:
            _end(document)
        session.get(Job, job_id).state = State.RUNNING.value
    database.dispose()


def _end(document: Document) -> None:
    document.state = close_state(document.succeeded, document.failed, document.canceled).value
    document.result_attempt, document.finished_at = 3, now()


def _documents(session: Session, job_id: str) -> list[Document]:
    return list(session.exec(select(Document).where(Document.job_id == job_id)))


def finish(server: ApiServer, job_id: str, states: list[PageState] | None = None) -> None:
    """End a job as workers would: every document still queued gets these pages, result files and one figure."""
    database, blobs = server.database(), server.blobs()
    with database.read() as session:
        queued = [d.id for d in _documents(session, job_id) if d.state == State.QUEUED]
    for document_id in queued:
        write_pages(server, job_id, document_id, states or [PageState.SUCCEEDED])
        for name, content in (("md", f"# {document_id}\n"), ("json", f'{{"id":"{document_id}"}}')):
            blobs.put(result_key(job_id, document_id, 3, f"document.{name}"), content.encode())
        blobs.put(figure_key(job_id, document_id, 1, 2, "page-0001-figure-1.jpg"), b"\xff\xd8winner")
        blobs.put(figure_key(job_id, document_id, 1, 1, "page-0001-figure-1.jpg"), b"\xff\xd8late loser")
    with database.write() as session:
        for document in _documents(session, job_id):
            if document.id in queued:
                _end(document)
    assert lifecycle.close(database, blobs, job_id)
    database.dispose()
