"""The typed client against the real server."""

import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from api.client import Client, NotPagemill, ServerUnreachable, Upload
from jobs.blobs import page_key
from jobs.errors import Gone, InvalidRequest, NotAcceptable, NotFound, PageTimeout, ResultNotReady, UnsupportedType
from jobs.models import PageState, State
from jobs.options import JobOptions
from tests.api_server import PDF, ApiServer, finish, page_result, set_pages


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    api = ApiServer(f"sqlite:///{tmp_path_factory.mktemp('api') / 'pagemill.db'}", max_files_per_job=3000)
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api


@pytest.fixture
def client(server):
    with Client(server.url) as client:
        yield client


@pytest.fixture
def pdf(tmp_path):
    path = tmp_path / 'it is "quoted" & ünïcode.pdf'
    path.write_bytes(PDF)
    return path


def test_a_job_from_beginning_to_end(server, client, pdf):
    job = client.submit([Upload.of(pdf), Upload(pdf, "in/b.pdf")], JobOptions(dpi=100, metadata={"a": 1}))
    assert (job.state, job.options["dpi"], job.metadata) == (State.QUEUED, 100, {"a": 1})
    documents = list(client.documents(job.id))
    assert [d.name for d in documents] == [pdf.name, "in/b.pdf"]
    with pytest.raises(ResultNotReady) as caught, client.result(job.id, format="zip"):
        pass
    assert caught.value.retry_after > 0

    states = [PageState.SUCCEEDED, PageState.FAILED]
    finish(server, job.id, states)
    assert client.job(job.id).state is State.PARTIAL
    assert client.document(job.id, documents[0].id).pages.failed == 1
    assert [p.state for p in client.pages(job.id, documents[0].id)] == states
    assert client.page(job.id, documents[0].id, 1) == page_result(1)
    with pytest.raises(PageTimeout, match="it hung"):
        client.page(job.id, documents[0].id, 2)
    assert [e.number for e in client.finished_pages(job.id, documents[0].id, follow=True)] == [1, 2]
    assert client.figure(job.id, documents[0].id, "page-0001-figure-1.jpg") == b"\xff\xd8winner"
    with client.result(job.id, documents[0].id, format="markdown") as chunks:
        assert b"".join(chunks).decode() == f"# {documents[0].id}\n"
    with client.result(job.id, format="zip") as chunks:
        assert "job.json" in zipfile.ZipFile(io.BytesIO(b"".join(chunks))).namelist()
    with pytest.raises(NotAcceptable), client.result(job.id, format="text"):
        pass

    assert client.retry(job.id, code="engine_error").state is State.PARTIAL
    assert client.retry(job.id, document=documents[0].id).pages.pending == 1
    assert [found.pages.pending for found in client.retry_all("page_timeout") if found.id == job.id] == [2]
    assert client.retry(job.id).state is State.RUNNING
    assert client.cancel(job.id).state is State.CANCELED
    client.delete(job.id)
    with pytest.raises(Gone):
        client.job(job.id)


def test_errors_come_back_as_what_they_were(client, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(UnsupportedType) as caught:
        client.submit([Upload.of(text)])
    assert caught.value.where == "notes.txt"
    with pytest.raises(InvalidRequest):
        client.submit([])
    with pytest.raises(InvalidRequest) as refused:
        client.submit([Upload.of(text)], JobOptions(engine="tesseract"))
    assert refused.value.where == "options.engine"
    with pytest.raises(NotFound):
        client.job("job_" + "0" * 32)


def test_more_files_than_a_process_may_hold_open(client, pdf):
    job = client.submit([Upload(pdf, f"{n}.pdf") for n in range(2100)])
    assert job.documents.total == 2100
    assert [d.name for d in client.documents(job.id)] == [f"{n}.pdf" for n in range(2100)]


def test_all_jobs_and_some(client, pdf):
    ids = [client.submit([Upload.of(pdf)]).id for _ in range(3)][::-1]
    assert [job.id for job in client.jobs(limit=2)] == ids[:2]
    client.cancel(ids[1])
    assert [job.id for job in client.jobs([State.CANCELED], limit=1)] == [ids[1]]
    assert [job.id for job in client.jobs()][:3] == ids


def test_lines_can_be_left_early(server, client, pdf):
    job = client.submit([Upload.of(pdf)])
    (document,) = client.documents(job.id)
    set_pages(server, job.id, document.id, {1: PageState.SUCCEEDED, 2: PageState.PENDING})
    lines = client.finished_pages(job.id, document.id, follow=True)
    assert next(lines).number == 1
    lines.close()
    assert client.is_ready()


def test_lines_end_where_json_ends_them(server, client, pdf):
    """httpx's own lines also end at U+2028, U+0085 and other characters that a page may well have."""
    odd = "a\u2028b\u0085c\x0bd\x1ee\r\n"
    job = client.submit([Upload.of(pdf)], JobOptions(metadata={"odd": odd}))
    (document,) = client.documents(job.id)
    set_pages(server, job.id, document.id, {1: PageState.SUCCEEDED}, end=True)
    read = page_result(1)
    said = read.model_copy(update={"blocks": (read.blocks[0].model_copy(update={"content": odd}),)})
    server.blobs().put(page_key(job.id, document.id, 1, 2), said.model_dump_json().encode())
    assert [entry.result.blocks[0].content for entry in client.finished_pages(job.id, document.id)] == [odd]
    client.cancel(job.id)
    assert [seen.metadata["odd"] for seen in client.follow(job.id)] == [odd]


def test_a_server_that_is_not_there():
    with Client("http://127.0.0.1:1") as client:
        assert not client.is_ready()
        with pytest.raises(ServerUnreachable):
            next(client.follow("job_" + "0" * 32, patience=0.0))
        with pytest.raises(ServerUnreachable, match="127"):
            client.info()


@pytest.fixture
def stranger():
    """A web server that is not pagemill: everything is 404, /page/ below it an HTML page, /gate/ a broken gateway."""

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self):
            status = next((s for start, s in (("/page/", 200), ("/gate/", 502)) if self.path.startswith(start)), 404)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


@pytest.mark.parametrize(("place", "answer"), [("", "404 to GET /v1"), ("/page/", "200 to GET /page/v1")])
def test_a_server_that_is_not_pagemill(stranger, place, answer):
    with Client(stranger + place) as client, pytest.raises(NotPagemill) as caught:
        client.info()
    assert caught.value.detail == f"{stranger}/ is not a pagemill server: it answers {answer}"


def test_a_gateway_without_its_server_is_a_server_that_is_away(stranger):
    with Client(f"{stranger}/gate/") as client, pytest.raises(ServerUnreachable, match="gateway answers 502"):
        client.info()


@pytest.mark.parametrize("url", ["nope", "", "ftp://x", "http://", "http://[::1", "127.0.0.1:8470"])
def test_what_is_no_address(url):
    with pytest.raises(InvalidRequest, match="is no address of a server") as caught:
        Client(url)
    assert caught.value.where == "PAGEMILL_URL"


def test_what_the_server_is(client):
    info = client.info()
    assert info.limits.max_files_per_job == 3000
    assert client.workers() == []
