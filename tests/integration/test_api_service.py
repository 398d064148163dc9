"""What the server says of itself, and how it answers when its database is away."""

import httpx
import pytest

from jobs import dispatch
from tests.api_server import PDF, ApiServer, files
from tests.protocol import register
from tests.services import Postgres


@pytest.fixture
def server(sqlite_url, broker_url):
    api = ApiServer(sqlite_url, broker_url=broker_url, max_pages=77, secret_key="x" * 40)
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api


def test_info_health_and_workers(server):
    info = httpx.get(f"{server.url}/v1").json()
    assert (info["name"], info["engine"], info["passwords"]) == ("pagemill", "echo", True)
    assert info["limits"]["max_pages"] == 77
    assert "echo" in info["engines"]
    with server.client() as http:
        assert http.get("health/live").json()["status"] == "live"
        ready = http.get("health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["checks"] == {"broker": "ok", "database": "ok", "store": "ok"}
        assert http.get("workers").json() == {"items": [], "next_cursor": None}
        assert http.get("openapi.json").json()["openapi"].startswith("3.1")


def test_the_root_points_to_the_api(server):
    sign = httpx.get(server.url).json()
    assert sign["name"] == "pagemill"
    assert httpx.get(server.url + sign["api"]).json()["version"] == sign["version"]
    assert httpx.get(server.url + sign["openapi"]).json()["info"]["title"] == "pagemill"
    assert httpx.post(server.url).headers["allow"] == "GET"


def test_an_engine_that_nobody_serves_here_is_refused(sqlite_url):
    """Its job would wait for ever."""
    with ApiServer(sqlite_url, engine="rapidocr", engines="rapidocr") as server, server.client() as http:
        database = server.database()
        database.migrate()
        database.dispose()
        assert httpx.get(f"{server.url}/v1").json()["engines"] == ["rapidocr"]
        form = [*files(PDF), ("options", (None, '{"engine": "echo"}', "application/json"))]
        raw = http.post("jobs?engine=echo", content=PDF, headers={"Content-Type": "application/pdf"})
        for answer in (http.post("jobs", files=form), raw):
            body = answer.json()
            assert (answer.status_code, body["code"], body["where"]) == (400, "invalid_request", "options.engine")
            assert body["detail"] == "there is no engine 'echo' here; offered: rapidocr"
        assert server.objects() == []


def test_a_server_without_a_broker_is_ready(sqlite_url):
    with ApiServer(sqlite_url) as server:
        database = server.database()
        database.migrate()
        database.dispose()
        with server.client() as http:
            ready = http.get("health/ready")
            assert (ready.status_code, ready.json()["checks"]["broker"]) == (200, "unavailable")
            assert http.post("jobs", files=files(PDF)).status_code == 202


def test_a_database_that_dies_and_comes_back():
    with Postgres() as postgres, ApiServer(postgres.create_database("api")) as server, server.client() as http:
        database = server.database()
        database.migrate()
        job = http.post("jobs", files=files(PDF)).json()["id"]
        before = server.objects()
        postgres.kill()
        answers = [http.get(f"jobs/{job}"), http.get("jobs"), http.get("health/ready"), http.delete(f"jobs/{job}")]
        answers.append(http.post("jobs", files=files(PDF)))
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["retryable"] is True
        assert http.get("health/live").status_code == 200
        postgres.restart()
        assert http.get(f"jobs/{job}").json()["id"] == job
        assert len(http.get("jobs").json()["items"]) == 1
        assert set(before) <= set(server.objects())
        database.dispose()


def test_a_database_that_was_never_migrated_is_no_secret_of_ours(sqlite_url):
    """An unexpected error: the log has it all, the client nothing."""
    with ApiServer(sqlite_url) as server, server.client() as http:
        answer = http.get("jobs")
        assert answer.status_code in (500, 503)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "SELECT" not in answer.text
        assert "no such table" in server.log_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [("no_such_setting", "1"), ("max_pages", "many"), ("secret_key", "short"), ("engines", "rapidocr")],
)
def test_a_wrong_setting_ends_the_start_with_its_name(sqlite_url, name, value):
    server = ApiServer(sqlite_url, **{name: value})
    with pytest.raises(Exception, match=f"PAGEMILL_{name.upper()}"):
        server.start()
    server.remove()


def test_a_worker_is_asked_to_drain(server):
    database = server.database()
    worker = register(database)
    with server.client() as http:
        answer = http.post(f"workers/{worker}/drain")
        assert (answer.status_code, answer.json()["id"], answer.json()["drain_requested"]) == (202, worker, True)
        assert {row["id"]: row["drain_requested"] for row in http.get("workers").json()["items"]}[worker] is True
    database.dispose()


def test_pauses_outlive_the_server(sqlite_url):
    """They stand in the database; `-` names jobs that nobody owns."""
    with ApiServer(sqlite_url) as server, server.client() as http:
        database = server.database()
        database.migrate()
        first = http.put("pauses/-")
        assert (first.status_code, first.json()["owner"]) == (200, "-")
        assert http.put("pauses/inbox:scans").status_code == 200
        assert http.put("pauses/-").json() == first.json()
    with ApiServer(sqlite_url) as server, server.client() as http:
        assert [row["owner"] for row in http.get("pauses").json()["items"]] == ["-", "inbox:scans"]
        job = http.post("jobs", files=files(PDF))
        assert job.status_code == 202
        assert dispatch.choose(database).splits == []
        assert http.delete("pauses/-").status_code == 204
        assert len(dispatch.choose(database).splits) == 1
        again = http.delete("pauses/-")
        assert (again.status_code, again.json()["code"], again.json()["where"]) == (404, "not_found", "owner")
        assert [row["owner"] for row in http.get("pauses").json()["items"]] == ["inbox:scans"]
        database.dispose()


@pytest.mark.parametrize("owner", ["-a", "a%20b", "x" * 101, "%C3%A4"])
def test_what_can_name_no_owner_is_refused(server, owner):
    with server.client() as http:
        for answer in (http.put(f"pauses/{owner}"), http.delete(f"pauses/{owner}")):
            assert (answer.status_code, answer.json()["code"], answer.json()["where"]) == (
                400, "invalid_request", "owner",
            )  # fmt: skip
        assert http.get("pauses").json() == {"items": []}
