"""API keys over HTTP, on both databases, with two servers: who may do what, and whose jobs are whose."""

import time

import httpx
import pytest

from api.auth import FRESH
from api.main import create_app
from jobs import keys
from jobs.errors import InvalidRequest, NotFound
from jobs.models import Scope
from jobs.settings import DatabaseSettings
from jobs.store.database import open_database
from tests.acceptance.command import Place
from tests.api_server import PDF, ApiServer, files

MISSING_JOB, MISSING_DOCUMENT = "job_" + "0" * 32, "doc_" + "0" * 32
PUBLIC = {"/", "/v1", "/v1/health/live", "/v1/health/ready"}
# What no key needs a scope for must be listed here, so that a new route is never open by mistake.


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def servers(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('keys') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("api_keys")
    store = f"file:{tmp_path_factory.mktemp('objects')}"
    one, two = (ApiServer(url, store_url=store, auth="keys") for _ in range(2))
    database = one.database()
    database.migrate()
    database.dispose()
    with one, two:
        yield one, two


@pytest.fixture(scope="module")
def database(servers):
    database = servers[0].database()
    yield database
    database.dispose()


@pytest.fixture
def make(database):
    def make(*scopes, name="somebody"):
        return keys.create(database, name, scopes or (Scope.SUBMIT, Scope.READ))

    return make


def as_(secret, server, **headers):
    given = {"Authorization": f"Bearer {secret}"} if secret is not None else {}
    return server.client(headers=given | headers)


def submitted(http):
    response = http.post("jobs", files=files(PDF))
    assert response.status_code == 202, response.text
    return response.json()["id"]


def code(response):
    return response.status_code, response.json().get("code")


def routes():
    """(method, path) of everything that the API describes, with ids that fit."""
    filled = {
        "{job}": MISSING_JOB, "{document}": MISSING_DOCUMENT, "{worker}": "wrk_" + "0" * 32, "{owner}": "x",
        "{number}": "1", "{event}": "evt_" + "0" * 32, "{name}": "a.jpg", "{upload}": "upl_" + "0" * 32,
    }  # fmt: skip
    for path, methods in create_app().openapi()["paths"].items():
        for part, value in filled.items():
            path = path.replace(part, value)
        assert "{" not in path, path
        for method in methods:
            if method in ("get", "post", "put", "patch", "delete"):
                yield method.upper(), path


# --- getting in


def test_every_route_but_the_public_ones_asks_for_a_key(servers):
    asked = 0
    with httpx.Client(base_url=servers[0].url, timeout=30) as http:
        for method, path in routes():
            response = http.request(method, path)
            if path in PUBLIC:
                assert response.status_code == 200, (method, path)
                continue
            asked += 1
            assert code(response) == (401, "unauthorized"), (method, path, response.text)
            assert response.headers["www-authenticate"].startswith("Bearer")
    assert asked > 20


def test_every_refusal_is_documented():
    for path, methods in create_app().openapi()["paths"].items():
        for method, operation in methods.items():
            secured = path not in PUBLIC
            assert ("401" in operation["responses"]) == ("403" in operation["responses"]) == secured, (method, path)
            assert ("security" in operation) == secured, (method, path)


@pytest.mark.parametrize("header", ["Basic eDp5", "Bearer", "pm_x", "Bearer pm_" + "x" * 43, "Bearer " + "y" * 5000])
def test_what_is_no_key_opens_nothing(servers, header):
    with servers[0].client(headers={"Authorization": header}) as http:
        assert code(http.get("jobs")) == (401, "unauthorized")


def test_scopes_decide_what_a_key_may_do(servers, make):
    may = {
        (Scope.READ,): {("GET", "jobs"): 200, ("POST", "jobs"): 403, ("GET", "workers"): 403, ("PUT", "pauses/x"): 403},
        (Scope.SUBMIT,): {("GET", "jobs"): 403, ("POST", "jobs"): 400, ("GET", "workers"): 403},
        (Scope.ADMIN,): {("GET", "jobs"): 200, ("POST", "jobs"): 400, ("GET", "workers"): 200, ("GET", "pauses"): 200},
    }
    for scopes, expected in may.items():
        _, secret = make(*scopes)
        with as_(secret, servers[0]) as http:
            for (method, path), status in expected.items():
                assert http.request(method, path).status_code == status, (scopes, method, path)


def test_what_changes_a_job_needs_submit(servers, make):
    _, reader = make(Scope.READ)
    with as_(reader, servers[0]) as http:
        for method, path in routes():
            if method != "GET" and "/jobs" in path:
                assert code(http.request(method, path.removeprefix("/v1/"))) == (403, "forbidden"), (method, path)


def test_a_revoked_key_opens_nothing_on_any_server_soon(servers, database, make):
    key, secret = make()
    with as_(secret, servers[0]) as one, as_(secret, servers[1]) as two:
        assert one.get("jobs").status_code == two.get("jobs").status_code == 200
        keys.revoke(database, key.id)
        time.sleep(FRESH + 0.5)
        assert code(one.get("jobs")) == code(two.get("jobs")) == (401, "unauthorized")


def test_revoking_twice_keeps_the_first_time_and_nothing_is_not_found(database, make):
    key, _ = make()
    first = keys.revoke(database, key.id)
    assert keys.revoke(database, key.id) == first
    with pytest.raises(NotFound):
        keys.revoke(database, "key_" + "0" * 32)


def endless(size):
    """A body in pieces, without Content-Length."""
    return (b"x" * 65_536 for _ in range(size // 65_536))


def test_no_body_is_read_before_the_key_is_asked_for(servers, make):
    with httpx.Client(base_url=f"{servers[0].url}/v1/", timeout=30) as http:
        for body in (b"{bad", b"{}" * 10_000_000, endless(50_000_000)):
            try:
                response = http.patch(f"jobs/{MISSING_JOB}", content=body, headers={"Content-Type": "application/json"})
            except httpx.WriteError:  # refused, and the connection closed, while we were still sending
                continue
            assert code(response) == (401, "unauthorized")


def test_a_body_is_read_no_further_than_it_may_be_long(servers, make):
    _, secret = make()
    before = servers[0].memory()
    with as_(secret, servers[0]) as http:
        job = submitted(http)
        for body in (b" " * 70_000, endless(200_000_000)):
            try:
                response = http.patch(f"jobs/{job}", content=body)
            except httpx.WriteError:
                continue
            assert code(response) == (400, "invalid_request")
            assert response.json()["limit"] == 65_536
        assert code(http.patch(f"jobs/{job}", content=b"{bad")) == (400, "invalid_request")
        assert http.patch(f"jobs/{job}", json={"priority": "urgent"}).json()["where"] == "body.priority"
        assert http.patch(f"jobs/{job}", json={"priority": "interactive"}).json()["priority"] == "interactive"
    assert servers[0].memory() - before < 50_000_000


def test_a_key_that_is_revoked_during_an_upload_submits_nothing(servers, database, make):
    key, secret = make()
    before = servers[0].objects("uploads/")

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + PDF
        keys.revoke(database, key.id)
        time.sleep(FRESH + 0.5)
        yield b"\r\n--x--\r\n"

    with as_(secret, servers[0]) as http:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        assert code(http.post("jobs", content=body(), headers=headers)) == (401, "unauthorized")
    assert [k for k in servers[0].objects("uploads/") if k not in before] == []


# --- whose jobs


def test_a_key_sees_its_own_jobs_on_every_server_and_no_others(servers, make):
    (_, mine), (_, other), (_, admin) = make(), make(), make(Scope.ADMIN)
    one, two = servers
    with as_(mine, one) as http:
        job = submitted(http)
    with as_(mine, two) as http:
        assert http.get(f"jobs/{job}").status_code == 200
        assert [item["id"] for item in http.get("jobs").json()["items"]] == [job]
    with as_(admin, two) as http:
        assert http.get(f"jobs/{job}").status_code == 200
        assert job in [item["id"] for item in http.get("jobs?limit=100").json()["items"]]
    with as_(other, two) as http:
        assert http.get("jobs").json()["items"] == []


def test_anothers_job_is_as_one_that_does_not_exist(servers, make):
    (_, mine), (_, other) = make(), make()
    with as_(mine, servers[0]) as http:
        job = submitted(http)
        document = http.get(f"jobs/{job}/documents").json()["items"][0]["id"]
        before = http.get(f"jobs/{job}").json()
    tried = 0
    with as_(other, servers[0]) as http:
        for method, path in routes():
            if MISSING_JOB not in path:
                continue
            tried += 1
            body = {"json": {"priority": "interactive"}} if method == "PATCH" else {}
            theirs = path.replace(MISSING_JOB, job).replace(MISSING_DOCUMENT, document).removeprefix("/v1/")
            absent, foreign = (http.request(method, p, **body) for p in (path.removeprefix("/v1/"), theirs))
            assert code(foreign) == (404, "not_found"), (method, theirs, foreign.text)
            told = foreign.text.replace(job, MISSING_JOB).replace(document, MISSING_DOCUMENT)
            assert told == absent.text, (method, path)
    assert tried > 12
    with as_(mine, servers[0]) as http:
        assert http.get(f"jobs/{job}").json() == before
        assert http.delete(f"jobs/{job}").status_code == 204
        assert code(http.get(f"jobs/{job}")) == (410, "gone")
    with as_(other, servers[0]) as http:
        assert code(http.get(f"jobs/{job}")) == (404, "not_found"), "that it was deleted is nobody else's affair"


def test_retrying_all_that_failed_leaves_others_alone(servers, make):
    (_, mine), (_, other) = make(), make()
    with as_(mine, servers[0]) as http:
        response = http.post("jobs", files=files(PDF, ("empty.pdf", b"")))
        assert response.status_code == 202
    with as_(other, servers[0]) as http:
        assert http.post("jobs/retry?code=empty_file").json() == {"items": [], "next_cursor": None}


# --- keys themselves


def test_only_a_digest_is_kept(servers, database, make):
    key, secret = make()
    assert secret.startswith(key.hint)
    assert keys.find(database, secret) == key
    assert len(key.hint) < 12
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM api_key").fetchall()
    assert rows
    assert all(secret not in str(row) for row in rows)
    for server in servers:
        assert secret not in server.log_text()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\x00b"])
def test_a_key_needs_a_name_that_can_be_read(database, name):
    with pytest.raises(InvalidRequest):
        keys.create(database, name, [Scope.READ])
    with pytest.raises(InvalidRequest):
        keys.create(database, "somebody", [])


# --- the command


def test_keys_are_not_made_in_a_database_that_is_not_there(tmp_path):
    place = Place(tmp_path)
    refused = place.run("keys", "create", "somebody", PAGEMILL_DATABASE_URL=f"sqlite:///{tmp_path / 'none' / 'a.db'}")
    assert refused.returncode != 0
    assert "there is no database" in refused.stderr
    assert not (tmp_path / "none").exists()


def test_keys_of_the_folder_of_an_up(tmp_path):
    made = open_database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'data' / 'pagemill.db'}"))
    made.migrate()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    done = Place(tmp_path).run("keys", "create", "intern", "--pages-per-day", "5", "--data", "data")
    assert keys.find(made, done.stdout.strip()).limits.pages_per_day == 5, done
    made.dispose()
