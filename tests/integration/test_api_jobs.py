"""Submissions and their lives over HTTP, on both databases, against the real server."""

import hashlib
import json

import pytest

from jobs.models import PageState
from tests.api_server import PDF, PNG, ApiServer, files, finish

JSON = "application/json"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('api') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("api_jobs")
    api = ApiServer(url, max_file_bytes=1_000_000, max_files_per_job=50, secret_key="x" * 40)
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api


@pytest.fixture
def http(server):
    with server.client() as client:
        yield client


def submit(http, *contents, options=None):
    data = None if options is None else {"options": (None, json.dumps(options), JSON)}
    parts = files(*contents) + ([] if data is None else list(data.items()))
    return http.post("jobs", files=parts)


def problem(response, status, code):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"urn:pagemill:error:{code}"
    assert body["title"]
    assert body["detail"]
    return body


# --- submitting


def test_several_files_with_options(server, http):
    response = submit(
        http,
        ("2024/a.pdf", PDF),
        ("b.png", PNG),
        options={"pages": "1-3,8-", "dpi": 150, "priority": "interactive", "metadata": {"case": "ä"}},
    )
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["engine"], job["priority"]) == ("queued", "echo", "interactive")
    assert job["metadata"] == {"case": "ä"}
    assert job["options"]["pages"] == "1-3,8-"
    assert job["documents"]["total"] == 2
    assert http.get(response.headers["location"].removeprefix("/v1/")).json() | {"queue": None} == job

    first, second = http.get(f"jobs/{job['id']}/documents").json()["items"]
    assert (first["name"], first["media_type"], first["bytes"]) == ("2024/a.pdf", "application/pdf", len(PDF))
    assert first["sha256"] == hashlib.sha256(PDF).hexdigest()
    assert (second["name"], second["media_type"]) == ("b.png", "image/png")
    assert http.get(f"jobs/{job['id']}/documents/{second['id']}").json() == second
    keys = [key for key in server.objects("uploads/") if job["id"] in key]
    assert sorted(key.rpartition("/")[2] for key in keys) == sorted([first["id"], second["id"]])
    assert {server.blobs().get(key) for key in keys} == {PDF, PNG}


def test_a_raw_body(http):
    response = http.post(
        "jobs",
        params={"name": "../x.pdf", "pages": "2", "dpi": "100"},
        content=PDF,
        headers={"Content-Type": "application/pdf"},
    )
    assert response.status_code == 202
    job = response.json()
    assert job["options"]["pages"] == "2"
    assert job["options"]["dpi"] == 100
    (document,) = http.get(f"jobs/{job['id']}/documents").json()["items"]
    assert document["name"] == "x.pdf"


def test_the_first_bytes_decide_and_not_the_declared_type(http):
    job = http.post("jobs", content=PNG, headers={"Content-Type": "application/pdf"}).json()
    (document,) = http.get(f"jobs/{job['id']}/documents").json()["items"]
    assert document["media_type"] == "image/png"


def test_a_body_in_chunks_without_a_length(http):
    response = http.post("jobs", content=iter([PDF[:4], PDF[4:]]), headers={"Content-Type": "application/octet-stream"})
    assert response.status_code == 202


def test_a_bad_file_is_its_documents_error_and_its_neighbours_go_on(server, http):
    response = submit(
        http, PDF, ("notes.txt", b"just text"), ("empty.pdf", b""), ("big.pdf", PDF + bytes(1_000_000)), PNG
    )
    assert response.status_code == 202
    job = response.json()
    documents = http.get(f"jobs/{job['id']}/documents").json()["items"]
    assert [d["state"] for d in documents] == ["queued", "failed", "failed", "failed", "queued"]
    assert [d["error"] and d["error"]["code"] for d in documents] == [
        None, "unsupported_type", "empty_file", "file_too_large", None,
    ]  # fmt: skip
    assert [d["finished_at"] is not None for d in documents] == [False, True, True, True, False]
    assert documents[1]["finished_at"] >= documents[1]["created_at"]
    assert documents[1]["error"]["where"] == "notes.txt"
    assert documents[3]["error"]["limit"] == 1_000_000
    assert len([key for key in server.objects("uploads/") if job["id"] in key]) == 2
    answer = http.get(f"jobs/{job['id']}/documents/{documents[1]['id']}/result")
    assert problem(answer, 415, "unsupported_type")["where"] == "notes.txt"


@pytest.mark.parametrize(
    ("contents", "status", "code"),
    [
        ([("a.pdf", b"text"), ("b.pdf", b"")], 415, "unsupported_type"),
        ([("b.pdf", b""), ("a.pdf", b"text")], 422, "empty_file"),
        ([("c.pdf", PDF + bytes(1_000_000))], 413, "file_too_large"),
    ],
)
def test_when_every_file_is_bad_the_first_ones_problem_is_the_answer(server, http, contents, status, code):
    before = server.objects(), http.get("jobs").json()["items"][:1]
    body = problem(submit(http, *contents), status, code)
    assert body["where"] == contents[0][0]
    assert (server.objects(), http.get("jobs").json()["items"][:1]) == before


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"dpi": 5}, "options.dpi"),
        ({"pages": "3-1"}, "options.pages"),
        ({"colour": True}, "options.colour"),
        ({"engine": "tesseract"}, "options.engine"),
        ({"metadata": {"x": "y" * 17_000}}, "options.metadata"),
        ({"metadata": {"x": float("inf")}}, "options.metadata"),
        ({"metadata": {"x": "y" * 70_000}}, "options"),
        ([], "options"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_wrong_options_leave_nothing_behind(server, http, options, where, last):
    before = server.objects()
    parts = [*files(PDF, PDF), ("options", (None, json.dumps(options), JSON))]
    response = http.post("jobs", files=parts if last else parts[::-1])
    assert problem(response, 400, "invalid_request")["where"] == where
    assert server.objects() == before


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ([("options", (None, "{}", JSON))], "file"),
        ([*files(PDF), ("note", (None, "hello"))], "note"),
        ([*files(PDF), ("options", (None, "{}")), ("options", (None, "{}"))], "options"),
        ([*files(PDF), ("options", (None, "{"))], "options"),
        (files(*[PDF] * 51), "file"),
    ],
)
def test_wrong_forms_leave_nothing_behind(server, http, parts, where):
    before = server.objects()
    assert problem(http.post("jobs", files=parts), 400, "invalid_request")["where"] == where
    assert server.objects() == before


@pytest.mark.parametrize(
    ("query", "where"),
    [({"password": "x"}, "query.password"), ({"nonsense": "1"}, "query.nonsense"), ({"dpi": "x"}, "query.dpi")],
)
def test_wrong_parameters_of_a_raw_upload(http, query, where):
    response = http.post("jobs", params=query, content=PDF, headers={"Content-Type": "application/pdf"})
    assert problem(response, 400, "invalid_request")["where"] == where


def test_an_upload_without_a_body_is_no_empty_file(server, http):
    before = server.objects()
    body = problem(http.post("jobs"), 400, "invalid_request")
    assert body["where"] == "body"
    assert body["detail"].startswith("no file was sent: ")
    problem(http.post("jobs", headers={"Content-Type": "application/pdf"}), 422, "empty_file")
    assert server.objects() == before


@pytest.mark.parametrize(("options", "name"), [({"foo": 1}, "foo"), ({"echo": {"foo": 1}}, "echo.foo")])
def test_an_option_that_does_not_exist_is_named(http, options, name):
    body = problem(submit(http, PDF, options=options), 400, "invalid_request")
    assert body["detail"] == f"options.{name}: there is no option '{name}'"


def test_a_raw_body_that_announces_too_much_is_refused_unread(http):
    response = http.post("jobs", content=PDF + bytes(2_000_000), headers={"Content-Type": "application/pdf"})
    assert problem(response, 413, "file_too_large")["limit"] == 1_000_000


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_that_is_no_upload(http, kind):
    assert problem(http.post("jobs", content=PDF, headers={"Content-Type": kind}), 415, "unsupported_type")


def test_a_form_that_ends_early_leaves_nothing_behind(server, http):
    before = server.objects()
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + PDF
    response = http.post("jobs", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    problem(response, 422, "upload_incomplete")
    assert server.objects() == before


def test_a_password_is_kept_secret(server, http):
    response = submit(http, PDF, options={"password": "geheim-4711"})
    assert response.status_code == 202
    assert "geheim" not in response.text
    database = server.database()
    with database.engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT * FROM job").fetchall()
    database.dispose()
    assert "geheim-4711" not in str(stored)
    assert "geheim-4711" not in server.log_text()


# --- reading


def test_jobs_in_pieces_newest_first(http):
    ids = [submit(http, PDF).json()["id"] for _ in range(5)][::-1]
    first = http.get("jobs", params={"limit": 2}).json()
    assert [job["id"] for job in first["items"]] == ids[:2]
    second = http.get("jobs", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in second["items"]] == ids[2:]
    everything, cursor = [], None
    while page := http.get("jobs", params={"limit": 7} | ({"cursor": cursor} if cursor else {})).json():
        everything += [job["id"] for job in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert everything == sorted(set(everything), reverse=True)


def test_jobs_by_state(http):
    job = submit(http, PDF).json()["id"]
    http.post(f"jobs/{job}/cancel")
    found = http.get("jobs", params={"state": "canceled", "limit": 1}).json()["items"]
    assert [j["id"] for j in found] == [job]
    both = http.get("jobs", params=[("state", "canceled"), ("state", "failed")]).json()["items"]
    assert {j["state"] for j in both} == {"canceled"}


def test_documents_in_pieces_in_the_order_sent(http):
    job = submit(http, *[(f"{n}.pdf", PDF) for n in range(7)]).json()["id"]
    names, query = [], {"limit": 3}
    while True:
        page = http.get(f"jobs/{job}/documents", params=query).json()
        names += [d["name"] for d in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert names == [f"{n}.pdf" for n in range(7)]


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("jobs?limit=0", "query.limit"),
        ("jobs?limit=100000", "query.limit"),
        ("jobs?cursor=nonsense", "query.cursor"),
        ("jobs?state=asleep", "query.state.0"),
    ],
)
def test_wrong_queries(http, path, where):
    assert problem(http.get(path), 400, "invalid_request")["where"] == where


JOB, DOC = "job_" + "0" * 32, "doc_" + "0" * 32


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"jobs/{JOB}"),
        ("GET", "jobs/1"),
        ("GET", "jobs/..%2f..%2fetc"),
        ("GET", f"jobs/{JOB}/documents"),
        ("GET", f"jobs/{JOB}/documents/{DOC}"),
        ("GET", f"jobs/{JOB}/documents/nonsense"),
        ("GET", f"jobs/{JOB}/documents/{DOC}/pages"),
        ("GET", f"jobs/{JOB}/documents/{DOC}/pages/1"),
        ("GET", f"jobs/{JOB}/documents/{DOC}/pages/1/image"),
        ("GET", f"jobs/{JOB}/documents/{DOC}/pages.ndjson"),
        ("GET", f"jobs/{JOB}/documents/{DOC}/figures/a.jpg"),
        ("GET", f"jobs/{JOB}/documents/{DOC}/result"),
        ("GET", f"jobs/{JOB}/result"),
        ("POST", f"jobs/{JOB}/cancel"),
        ("POST", f"jobs/{JOB}/retry"),
        ("POST", f"workers/wrk_{JOB.removeprefix('job_')}/drain"),
        ("POST", "workers/1/drain"),
        ("DELETE", f"jobs/{JOB}"),
        ("GET", "nowhere"),
        ("GET", "jobs/"),
    ],
)
def test_what_is_not_there(http, method, path):
    problem(http.request(method, path), 404, "not_found")


def test_a_document_of_another_job_is_not_there(http):
    one, other = (submit(http, PDF).json()["id"] for _ in range(2))
    document = http.get(f"jobs/{one}/documents").json()["items"][0]["id"]
    problem(http.get(f"jobs/{other}/documents/{document}"), 404, "not_found")


def test_a_method_that_does_not_exist(http):
    response = http.put("jobs")
    problem(response, 405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) >= {"GET"}


# --- cancel, retry, delete


def test_cancel_ends_a_job_and_is_repeatable(http):
    job = submit(http, PDF, PDF).json()["id"]
    for _ in range(2):
        answer = http.post(f"jobs/{job}/cancel").json()
        assert (answer["state"], answer["documents"]["canceled"]) == ("canceled", 2)
    problem(
        http.get(f"jobs/{job}/documents/{http.get(f'jobs/{job}/documents').json()['items'][0]['id']}/result"),
        404,
        "not_found",
    )


def test_the_priority_of_a_job_can_be_changed(server, http):
    job = submit(http, PDF, PDF).json()["id"]
    answer = http.patch(f"jobs/{job}", json={"priority": "interactive"})
    assert (answer.status_code, answer.json()["priority"], answer.json()["state"]) == (200, "interactive", "queued")
    finish(server, job)
    assert http.patch(f"jobs/{job}", json={"priority": "batch"}).json()["priority"] == "batch"
    assert http.get(f"jobs/{job}").json()["state"] == "succeeded"


@pytest.mark.parametrize(
    "body", [{}, {"priority": "urgent"}, {"priority": None}, {"priority": "batch", "engine": "echo"}]
)
def test_nothing_else_of_a_job_can_be_changed(http, body):
    job = submit(http, PDF).json()["id"]
    problem(http.patch(f"jobs/{job}", json=body), 400, "invalid_request")
    problem(http.patch(f"jobs/{JOB}", json={"priority": "batch"}), 404, "not_found")


def test_retry_runs_failed_pages_again(server, http):
    job = submit(http, PDF).json()["id"]
    finish(server, job, [PageState.SUCCEEDED, PageState.FAILED])
    assert http.get(f"jobs/{job}").json()["state"] == "partial"
    answer = http.post(f"jobs/{job}/retry").json()
    assert (answer["state"], answer["pages"]["pending"], answer["pages"]["failed"]) == ("running", 1, 0)
    problem(http.get(f"jobs/{job}/result"), 409, "result_not_ready")


def test_retry_of_one_document_and_of_one_code(server, http):
    job = submit(http, PDF, PDF).json()["id"]
    finish(server, job, [PageState.SUCCEEDED, PageState.FAILED])
    first, second = (document["id"] for document in http.get(f"jobs/{job}/documents").json()["items"])
    answer = http.post(f"jobs/{job}/documents/{second}/retry", params={"code": "engine_error"}).json()
    assert (answer["id"], answer["state"], answer["pages"]["failed"]) == (second, "partial", 1)
    answer = http.post(f"jobs/{job}/documents/{second}/retry", params={"code": "page_timeout"}).json()
    assert (answer["id"], answer["state"], answer["pages"]["pending"]) == (second, "running", 1)
    assert http.get(f"jobs/{job}/documents/{first}").json()["state"] == "partial"
    assert http.post(f"jobs/{job}/retry", params={"code": "page_timeout"}).json()["pages"]["pending"] == 2

    problem(http.post(f"jobs/{job}/retry", params={"code": "no_such_code"}), 400, "invalid_request")
    problem(http.post(f"jobs/{job}/documents/{DOC}/retry"), 404, "not_found")


def test_retry_of_all_that_failed_with_a_code(server, http):
    jobs = [submit(http, PDF).json()["id"] for _ in range(3)]
    for job in jobs:
        finish(server, job, [PageState.SUCCEEDED, PageState.FAILED])
    found, cursor = [], None
    while found == [] or cursor is not None:
        answer = http.post(
            "jobs/retry", params={"code": "page_timeout", "limit": 2} | ({"cursor": cursor} if cursor else {})
        )
        found += [job["id"] for job in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
    assert [job for job in found if job in jobs] == jobs[::-1]
    assert {http.get(f"jobs/{job}").json()["state"] for job in jobs} == {"running"}
    problem(http.post("jobs/retry"), 400, "invalid_request")
    problem(http.post("jobs/retry", params={"code": "gone"}), 400, "invalid_request")
    problem(http.post("jobs/retry", params={"code": "page_timeout", "cursor": "job_x"}), 400, "invalid_request")


def test_delete_takes_everything_and_what_was_is_gone(server, http):
    job = submit(http, PDF).json()["id"]
    document = http.get(f"jobs/{job}/documents").json()["items"][0]["id"]
    finish(server, job)
    assert [key for key in server.objects() if job in key]
    response = http.delete(f"jobs/{job}")
    assert (response.status_code, response.content) == (204, b"")
    assert not [key for key in server.objects() if job in key]
    assert job not in {j["id"] for j in http.get("jobs").json()["items"]}
    of_document = [f"/documents/{document}{part}" for part in ("", "/result", "/pages/1", "/pages.ndjson")]
    for path in ("", "/result", "/documents", *of_document):
        problem(http.get(f"jobs/{job}{path}"), 410, "gone")
    for method, path in (("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
        problem(http.request(method, f"jobs/{job}{path}"), 410, "gone")


def test_every_answer_forbids_guessing_its_type(http):
    for path in ("", "jobs", "nowhere", "health/live"):
        response = http.get(path)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]
