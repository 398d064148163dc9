"""From the upload to the result, over HTTP alone: real server, real queue, real worker, on both databases."""

import io
import json
import threading
import zipfile

import pytest

from api.client import Client, Upload
from jobs.errors import Gone, UnsupportedType
from jobs.models import FINAL, State
from jobs.options import EchoOptions, JobOptions
from jobs.results import DocumentResult, JobManifest
from tests.api_server import ApiServer
from tests.installation import SECRET, Installation
from tests.integration.test_api_images import pdf_of
from tests.processes import wait_until

WHITE = (1, 1, 1)


@pytest.fixture
def database_url(postgres_url):
    """PostgreSQL alone: whole workers take seconds, and the tiers acceptance and chaos run them on SQLite."""
    return postgres_url


@pytest.fixture
def installation(tmp_path, database_url, broker_url):
    with Installation(tmp_path, database_url, broker_url) as found:
        yield found


@pytest.fixture
def server(installation):
    api = ApiServer(
        installation.database_url,
        broker_url=installation.broker_url,
        store_url=f"file:{installation.root / 'objects'}",
        secret_key=SECRET,
    )
    with installation.worker(), api:
        yield api


@pytest.fixture
def client(server):
    with Client(server.url) as found:
        yield found


@pytest.fixture
def upload(tmp_path):
    def write(name, pages):
        path = tmp_path / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pdf_of([WHITE] * pages) if pages else b"only text")
        return Upload(path, name)

    return write


def ended(client, job):
    wait_until(lambda: client.job(job.id).state in FINAL, "the job to end")
    return client.job(job.id)


def test_documents_in_markdown_and_json_out(client, upload):
    files = [upload("in/three.pdf", 3), upload("one.pdf", 1), upload("notes.txt", 0)]
    job = ended(client, client.submit(files, JobOptions(pages="1-2", metadata={"case": 7})))
    assert job.state is State.PARTIAL
    assert (job.documents.succeeded, job.documents.failed, job.pages.succeeded) == (2, 1, 3)

    three, one, notes = client.documents(job.id)
    assert (three.pages.total, three.source_pages, one.pages.total) == (2, 3, 1)
    assert client.page(job.id, three.id, 2).blocks[0].content == "page 2"
    with client.result(job.id, three.id, format="markdown") as chunks:
        markdown = b"".join(chunks).decode()
    assert markdown.index("page 1") < markdown.index("page 2")
    with client.result(job.id, three.id, format="json") as chunks:
        document = DocumentResult.model_validate_json(b"".join(chunks))
    assert [page.number for page in document.pages] == [1, 2]
    with client.result(job.id, one.id, format="text") as chunks:
        assert "page 1" in b"".join(chunks).decode()
    with pytest.raises(UnsupportedType), client.result(job.id, notes.id, format="text"):
        pass

    with client.result(job.id, format="zip") as chunks:
        archive = zipfile.ZipFile(io.BytesIO(b"".join(chunks)))
    assert archive.read("in/three.pdf/three.pdf.md").decode() == markdown
    assert JobManifest.model_validate_json(archive.read("job.json")).metadata == {"case": 7}
    client.delete(job.id)
    with pytest.raises(Gone):
        client.job(job.id)


def test_pages_are_read_while_the_document_runs_and_failed_ones_retried(client, upload):
    options = JobOptions(echo=EchoOptions(seconds={"*": 0.01, "3": 600}, faults={"2": "error"}))
    job = client.submit([upload("slow.pdf", 4)], options)
    (document,) = client.documents(job.id)
    entries = []
    reader = threading.Thread(
        target=lambda: entries.extend(client.finished_pages(job.id, document.id, follow=True)), daemon=True
    )
    reader.start()
    wait_until(lambda: client.document(job.id, document.id).pages.failed == 1, "page 2 to fail")
    wait_until(lambda: client.document(job.id, document.id).pages.succeeded == 2, "pages 1 and 4")
    assert client.page(job.id, document.id, 4).blocks[0].content == "page 4"
    assert client.document(job.id, document.id).state is State.RUNNING
    canceled = client.cancel(job.id)
    assert (canceled.state, canceled.pages.succeeded, canceled.pages.canceled) == (State.CANCELED, 2, 1)
    reader.join(30)
    assert sorted((e.number, e.state) for e in entries) == [
        (1, "succeeded"), (2, "failed"), (3, "canceled"), (4, "succeeded"),
    ]  # fmt: skip
    assert client.page(job.id, document.id, 1).blocks[0].content == "page 1"


def test_a_retry_runs_what_failed_and_the_result_changes(client, upload):
    job = ended(client, client.submit([upload("x.pdf", 2)], JobOptions(echo=EchoOptions(faults={"2": "error"}))))
    assert job.state is State.PARTIAL
    (document,) = client.documents(job.id)
    before = client.document(job.id, document.id)
    again = client.retry(job.id)
    assert again.state is State.RUNNING
    after = ended(client, again)
    assert (after.state, after.pages.failed) == (State.PARTIAL, 1)
    assert client.document(job.id, document.id).finished_at > before.finished_at
    with client.result(job.id, format="json") as chunks:
        assert json.loads(b"".join(chunks))["pages"][1]["error"]["code"] == "engine_error"


def test_workers_are_shown(client):
    (worker,) = client.workers()
    assert (worker.engine, worker.state) == ("echo", "alive")
    assert client.is_ready()
