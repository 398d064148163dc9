"""Finished documents, jobs, pages and figures over HTTP."""

import io
import json
import threading
import zipfile

import pytest

from api.results import PIECE
from jobs.models import PageState
from jobs.results import PageEntry, PageResult
from tests.api_server import PDF, ApiServer, files, finish, page_result, set_pages, write_pages

DONE, BAD, WAITING, BUSY = PageState.SUCCEEDED, PageState.FAILED, PageState.PENDING, PageState.RUNNING


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    api = ApiServer(f"sqlite:///{tmp_path_factory.mktemp('api') / 'pagemill.db'}", max_files_per_job=2 * PIECE)
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api


@pytest.fixture
def http(server):
    with server.client() as client:
        yield client


def submit(http, *contents):
    job = http.post("jobs", files=files(*contents)).json()["id"]
    return job, [d["id"] for d in http.get(f"jobs/{job}/documents?limit=1000").json()["items"]]


def one_finished(server, http, name="contract.pdf", states=None):
    job, (document,) = submit(http, (name, PDF))
    finish(server, job, states)
    return job, document


# --- one document


@pytest.mark.parametrize("place", ["jobs/{job}/result", "jobs/{job}/documents/{document}/result"])
@pytest.mark.parametrize(
    ("query", "accept", "kind", "content"),
    [
        ("", "*/*", "text/markdown; charset=utf-8; variant=GFM", "# {document}\n"),
        ("", "application/json", "application/json", '{{"id":"{document}"}}'),
        ("?format=text", "application/json", "text/plain; charset=utf-8", "page 1\n"),
        ("?format=json", "*/*", "application/json", '{{"id":"{document}"}}'),
    ],
)
def test_a_document_as_the_client_likes_it(server, http, place, query, accept, kind, content):
    job, document = one_finished(server, http)
    response = http.get(place.format(job=job, document=document) + query, headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    assert response.text == content.format(document=document)
    assert response.headers["vary"] == "Accept"
    assert response.headers["content-location"].startswith(f"/v1/jobs/{job}/documents/{document}/result?format=")
    assert response.headers["content-disposition"].startswith('inline; filename="contract.pdf.')


def test_text_tells_which_pages_are_missing(server, http):
    job, document = one_finished(server, http, states=[DONE, BAD, DONE])
    text = http.get(f"jobs/{job}/documents/{document}/result?format=text").text
    assert text == "page 1\n\n[page 2 failed: page_timeout]\n\npage 3\n"


def test_nothing_is_ever_html(server, http):
    job, document = one_finished(server, http)
    response = http.get(f"jobs/{job}/documents/{document}/result", headers={"Accept": "text/html"})
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")
    browser = http.get(f"jobs/{job}/result", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert browser.headers["content-type"].startswith("text/markdown")


def test_a_format_that_does_not_exist(server, http):
    job, _ = one_finished(server, http)
    response = http.get(f"jobs/{job}/result?format=docx")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


def test_a_client_that_has_it_already(server, http):
    job, document = one_finished(server, http)
    place = f"jobs/{job}/documents/{document}/result"
    first = http.get(place)
    again = http.get(place, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert http.get(place + "?format=json", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_a_name_cannot_write_headers(server, http):
    job, _ = one_finished(server, http, name='a"; \r\nSet-Cookie: x=1; é.pdf')
    response = http.get(f"jobs/{job}/result")
    assert "set-cookie" not in response.headers
    assert response.headers["content-disposition"].endswith(".md")


def test_before_the_end_there_is_no_result(server, http):
    job, (document,) = submit(http, PDF)
    write_pages(server, job, document, [DONE, WAITING])
    for place in (f"jobs/{job}/result", f"jobs/{job}/documents/{document}/result"):
        response = http.get(place)
        assert (response.status_code, response.json()["code"]) == (409, "result_not_ready")
        assert response.json()["retryable"] is True
        assert int(response.headers["retry-after"]) > 0


def test_an_object_that_is_lost_says_nothing_of_its_key(server, http):
    job, document = one_finished(server, http)
    server.blobs().delete_prefix(f"jobs/{job}/")
    response = http.get(f"jobs/{job}/documents/{document}/result")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "uploads" not in response.text
    assert f"{document}/" not in response.text


# --- archives


def archive(response):
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"].startswith("attachment; filename=")
    found = zipfile.ZipFile(io.BytesIO(response.content))
    assert found.testzip() is None
    return found


def test_the_archive_of_a_document(server, http):
    job, document = one_finished(server, http, name="in/contract.pdf")
    found = archive(http.get(f"jobs/{job}/documents/{document}/result?format=zip"))
    assert found.namelist() == ["contract.pdf.md", "contract.pdf.json", "figures/page-0001-figure-1.jpg"]
    assert found.read("contract.pdf.md").decode() == f"# {document}\n"
    assert found.read("figures/page-0001-figure-1.jpg") == b"\xff\xd8winner"


def test_the_archive_of_a_job(server, http):
    """Names that are equal, hostile or bad; figures lie where each Markdown looks for them."""
    job, documents = submit(http, ("x.pdf", PDF), ("X.PDF", PDF), ("../../etc/x.pdf", PDF), ("bad.pdf", b"text"))
    finish(server, job)
    found = archive(http.get(f"jobs/{job}/result", headers={"Accept": "application/zip"}))
    assert found.namelist()[0] == "job.json"
    manifest = json.loads(found.read("job.json"))
    assert manifest["id"] == job
    assert [d["state"] for d in manifest["documents"]] == ["succeeded", "succeeded", "succeeded", "failed"]
    folders = ["x.pdf/x.pdf", "X-2.PDF/X.PDF", "etc/x.pdf/x.pdf"]
    assert [name for name in found.namelist() if name.endswith(".md")] == [f"{folder}.md" for folder in folders]
    for folder, document in zip(folders, documents, strict=False):
        assert found.read(f"{folder}.md").decode() == f"# {document}\n"
        assert found.read(f"{folder.rpartition('/')[0]}/figures/page-0001-figure-1.jpg") == b"\xff\xd8winner"


def test_a_job_of_more_documents_than_are_looked_up_at_once(server, http):
    job, documents = submit(http, ("scan.pdf", PDF), *[("bad.pdf", b"text")] * PIECE, ("scan.pdf", PDF))
    finish(server, job)
    found = archive(http.get(f"jobs/{job}/result?format=zip"))
    texts = [found.read(name).decode() for name in found.namelist() if name.endswith(".md")]
    assert texts == [f"# {documents[0]}\n", f"# {documents[-1]}\n"]


def test_several_documents_are_no_markdown(server, http):
    job, _ = submit(http, PDF, PDF)
    finish(server, job)
    for response in (
        http.get(f"jobs/{job}/result?format=markdown"),
        http.get(f"jobs/{job}/result", headers={"Accept": "text/*"}),
    ):
        assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")
        assert "zip" in response.json()["detail"]
    manifest = http.get(f"jobs/{job}/result")
    assert manifest.headers["content-type"] == "application/json"
    assert len(manifest.json()["documents"]) == 2
    again = http.get(f"jobs/{job}/result", headers={"If-None-Match": manifest.headers["etag"]})
    assert again.status_code == 304


# --- pages


def test_pages_of_a_document_that_still_runs(server, http):
    job, (document,) = submit(http, PDF)
    write_pages(server, job, document, [DONE, BAD, BUSY, WAITING, PageState.CANCELED])
    place = f"jobs/{job}/documents/{document}/pages"
    listed = http.get(place + "?limit=3").json()
    assert [(p["number"], p["state"]) for p in listed["items"]] == [(1, "succeeded"), (2, "failed"), (3, "running")]
    rest = http.get(place, params={"cursor": listed["next_cursor"]}).json()
    assert [p["number"] for p in rest["items"]] == [4, 5]
    assert rest["next_cursor"] is None

    page = http.get(f"{place}/1")
    assert PageResult.model_validate_json(page.content) == page_result(1)
    assert http.get(f"{place}/1", headers={"If-None-Match": page.headers["etag"]}).status_code == 304

    failed = http.get(f"{place}/2")
    assert failed.headers["content-type"] == "application/problem+json"
    assert (failed.status_code, failed.json()["code"], failed.json()["where"]) == (422, "page_timeout", "page 2")

    for number in (3, 4):
        waiting = http.get(f"{place}/{number}")
        assert (waiting.status_code, waiting.json()["code"]) == (409, "result_not_ready")
        assert int(waiting.headers["retry-after"]) > 0
    assert http.get(f"{place}/5").status_code == 404
    assert http.get(f"{place}/6").json()["code"] == "not_found"
    assert http.get(f"{place}/0").json()["code"] == "invalid_request"


def test_a_page_of_a_document_that_is_not_split_yet(http):
    job, (document,) = submit(http, PDF)
    assert http.get(f"jobs/{job}/documents/{document}/pages/1").json()["code"] == "result_not_ready"


def test_a_figure_where_the_markdown_links_it(server, http):
    job, document = one_finished(server, http)
    base = f"jobs/{job}/documents/{document}/figures/"
    figure = http.get(base + "page-0001-figure-1.jpg")
    assert (figure.headers["content-type"], figure.content) == ("image/jpeg", b"\xff\xd8winner")
    for name in ("page-0001-figure-2.jpg", "page-0009-figure-1.jpg", "other.jpg", "..%2f..%2fdocument.md"):
        assert http.get(base + name).status_code == 404


# --- pages as lines


def lines(response):
    assert response.headers["content-type"] == "application/x-ndjson"
    return [PageEntry.model_validate_json(line) for line in response.text.splitlines()]


def test_finished_pages_as_lines(server, http):
    job, (document,) = submit(http, PDF)
    write_pages(server, job, document, [DONE, WAITING, BAD, DONE])
    place = f"jobs/{job}/documents/{document}/pages.ndjson"
    entries = lines(http.get(place))
    assert [(e.number, e.state) for e in entries] == [(1, "succeeded"), (3, "failed"), (4, "succeeded")]
    assert entries[0].result == page_result(1)
    assert entries[1].error.code == "page_timeout"
    assert [e.number for e in lines(http.get(place + "?after=3"))] == [4]
    assert lines(http.get(place + "?after=4")) == []


def test_lines_come_while_the_document_runs_and_end_with_it(server, http):
    job, (document,) = submit(http, PDF)
    write_pages(server, job, document, [])
    place = f"jobs/{job}/documents/{document}/pages.ndjson"
    entries, first = [], threading.Event()

    def follow():
        with server.client() as own, own.stream("GET", place, params={"follow": True}) as response:
            for line in response.iter_lines():
                entries.append(PageEntry.model_validate_json(line))
                first.set()

    reader = threading.Thread(target=follow)
    reader.start()
    set_pages(server, job, document, {3: DONE, 1: WAITING, 2: WAITING})
    assert first.wait(20), "the first finished page was never sent"
    assert [e.number for e in entries] == [3]
    assert reader.is_alive(), "the stream ended before its document"
    set_pages(server, job, document, {1: DONE, 2: BAD}, end=True)
    reader.join(20)
    assert [(e.number, e.state) for e in entries] == [(3, "succeeded"), (1, "succeeded"), (2, "failed")]
