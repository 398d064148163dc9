"""Webhooks over HTTP: accepted at the door, secrets and logs of one's own, replay."""

from __future__ import annotations

import json

import pytest

from jobs import keys, webhooks
from jobs.models import Scope, WebhookState
from tests.api_server import PDF, ApiServer, files

KEY = "a long secret for tests only"
MISSING = "evt_" + "0" * 32


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('hooks') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("api_webhooks")
    with _migrated(ApiServer(url, auth="keys", secret_key=KEY)) as found:
        yield found


def _migrated(server):
    database = server.database()
    database.migrate()
    database.dispose()
    return server


@pytest.fixture(scope="module")
def database(server):
    found = server.database()
    yield found
    found.dispose()


@pytest.fixture
def somebody(server, database):
    """A client of a new key; `somebody(Scope.READ)` of one that may only read."""
    opened = []

    def somebody(*scopes):
        key, text = keys.create(database, "somebody", scopes or (Scope.SUBMIT, Scope.READ))
        client = server.client(headers={"Authorization": f"Bearer {text}"})
        client.owner = key.id
        opened.append(client)
        return client

    yield somebody
    for client in opened:
        client.close()


def submit(http, url, **options):
    given = {"webhook": {"url": url}, **options}
    return http.post("jobs", files=[*files(PDF), ("options", (None, json.dumps(given), "application/json"))])


def code(response):
    return response.status_code, response.json().get("code"), response.json().get("where")


def test_a_webhook_is_accepted_and_shown_without_its_secret(server, somebody):
    http = somebody()
    response = submit(http, "https://Example.org:443/hook?x=1#top")
    assert response.status_code == 202, response.text
    job = response.json()
    assert job["options"]["webhook"] == {"url": "https://example.org/hook?x=1"}
    [secret] = [found["secret"] for found in http.get("webhooks/secret").json()["secrets"]]
    assert secret.startswith("whsec_")
    assert secret not in http.get(f"jobs/{job['id']}").text
    assert secret not in server.log_text()
    assert http.get(f"{server.url}/v1").json()["webhooks"] is True


@pytest.mark.parametrize(
    "url", ["ftp://x/", "https://u:p@x/", "https://x:0/", "https://x/\r\nX: y", "", "https://x\\y"]
)
def test_what_is_no_url_is_refused(somebody, url):
    assert code(submit(somebody(), url)) == (400, "invalid_request", "options.webhook.url")


def test_nothing_else_stands_beside_the_url(somebody):
    http = somebody()
    given = json.dumps({"webhook": {"url": "https://x/", "secret": "whsec_x"}})
    response = http.post("jobs", files=[*files(PDF), ("options", (None, given, "application/json"))])
    assert code(response) == (400, "invalid_request", "options.webhook.secret")


def test_without_a_key_for_secrets_there_are_no_webhooks(tmp_path):
    with _migrated(ApiServer(f"sqlite:///{tmp_path / 'x.db'}")) as server, server.client() as http:
        assert code(submit(http, "https://x/")) == (400, "invalid_request", "options.webhook")
        for method, path in (("GET", "webhooks/secret"), ("POST", "webhooks/secret/rotate")):
            response = http.request(method, path)
            assert code(response) == (400, "invalid_request", "PAGEMILL_SECRET_KEY")
        assert http.get(f"{server.url}/v1").json()["webhooks"] is False
        assert http.get("jobs").json()["items"] == []


def test_secrets_are_each_keys_own_and_rotate(somebody):
    one, other = somebody(), somebody()
    first = one.get("webhooks/secret")
    assert first.headers["cache-control"] == "no-store"
    assert first.json() == one.get("webhooks/secret").json()
    [old] = first.json()["secrets"]
    assert old["expires_at"] is None
    rotated = one.post("webhooks/secret/rotate").json()["secrets"]
    assert [found["secret"] for found in rotated][1:] == [old["secret"]]
    assert rotated[0]["expires_at"] is None
    assert rotated[1]["expires_at"] is not None
    assert rotated == one.get("webhooks/secret").json()["secrets"]
    [theirs] = other.get("webhooks/secret").json()["secrets"]
    assert theirs["secret"] not in [found["secret"] for found in rotated]
    assert code(somebody(Scope.READ).get("webhooks/secret"))[:2] == (403, "forbidden")
    assert code(somebody(Scope.READ).post("webhooks/secret/rotate"))[:2] == (403, "forbidden")


def test_the_log_and_a_replay_are_the_owners(somebody, database):
    http, stranger, admin = somebody(), somebody(), somebody(Scope.ADMIN)
    job = submit(http, "https://example.org/").json()["id"]
    assert http.get(f"jobs/{job}/webhooks").json() == {"items": []}
    http.post(f"jobs/{job}/cancel")
    [event] = http.get(f"jobs/{job}/webhooks").json()["items"]
    assert (event["type"], event["state"], event["job_id"], event["attempts"]) == ("job.canceled", "pending", job, [])
    assert event["next_attempt_at"] is not None
    again = http.post(f"jobs/{job}/webhooks/{event['id']}/replay")
    assert (again.status_code, again.json()["id"]) == (200, event["id"])
    assert admin.get(f"jobs/{job}/webhooks").json()["items"][0]["id"] == event["id"]
    for method, path in (("GET", f"jobs/{job}/webhooks"), ("POST", f"jobs/{job}/webhooks/{event['id']}/replay")):
        assert code(stranger.request(method, path)) == (404, "not_found", job)
    assert code(http.post(f"jobs/{job}/webhooks/{MISSING}/replay")) == (404, "not_found", MISSING)
    assert code(http.post(f"jobs/{job}/webhooks/evt_x/replay"))[:2] == (404, "not_found")
    assert webhooks.deliveries(database, job)[0].state is WebhookState.PENDING
    http.delete(f"jobs/{job}")
    assert code(http.get(f"jobs/{job}/webhooks"))[:2] == (410, "gone")
    assert code(http.post(f"jobs/{job}/webhooks/{event['id']}/replay"))[:2] == (410, "gone")
