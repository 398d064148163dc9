"""Event messages by HTTP and by a list in Redis (Valkey), and who may send them."""

from __future__ import annotations

import json
import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest

from api.relay import AWAY, THREADS, UNDER_WAY, HintRelay
from jobs import keys
from jobs.hints import LIST, Hint, HintList, parse_hints
from jobs.models import Scope
from jobs.queue import BROKER_ERRORS, make_app
from jobs.settings import BrokerSettings
from tests.api_server import ApiServer
from tests.services import SeaweedFS

TOKEN = "a token for whoever sends events"


def event(*object_keys: str, bucket: str = "drop") -> dict[str, object]:
    return {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in object_keys]}


@pytest.fixture
def hints(valkey):
    valkey.flush()
    app = make_app(BrokerSettings(broker_url=valkey.url))
    yield HintList(app, "pagemill:", "theirs")
    app.close()


@pytest.fixture(scope="module")
def server(valkey, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('events') / 'pagemill.db'}"
    server = ApiServer(url, broker_url=valkey.url, auth="keys", inbox="s3://drop/incoming/", inbox_events_token=TOKEN)
    database = server.database()
    database.migrate()
    with server:
        yield server
    database.dispose()


def post(server, body, token=TOKEN):
    headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with server.client(headers=headers) as http:
        return http.post("inbox/events", content=content)


def test_what_lies_in_an_inbox_is_passed_on_once(server, hints):
    body = event("incoming/a+b%2B.pdf", "incoming/a+b%2B.pdf", "elsewhere/x.pdf", "incoming/c.pdf")
    response = post(server, body)
    assert (response.status_code, response.json()) == (202, {"accepted": 2})
    assert [json.loads(m)["detail"]["object"]["key"] for m in hints.pop(1)] == ["incoming/a b+.pdf", "incoming/c.pdf"]
    assert hints.pop(0.01) == []


@pytest.mark.parametrize("body", [event("incoming/a.pdf", bucket="other"), {"Event": "s3:TestEvent"}, [], {}, 7])
def test_what_is_no_business_of_ours_is_accepted_and_forgotten(server, hints, body):
    response = post(server, body)
    assert (response.status_code, response.json()) == (202, {"accepted": 0})
    assert hints.pop(0.01) == []


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 5000, 400), (b" " * 1_100_000, 413)]
)
def test_what_is_no_message_is_refused(server, body, status):
    response = post(server, body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_who_may_send(server):
    database = server.database()
    _, admin = keys.create(database, "admin", (Scope.ADMIN,))
    _, submitter = keys.create(database, "submitter", (Scope.SUBMIT, Scope.READ))
    database.dispose()
    assert post(server, {}, admin).status_code == 202
    assert post(server, {}, submitter).status_code == 403
    assert post(server, {}, None).status_code == 401
    assert post(server, {}, "é" * 20).status_code == 401
    assert post(server, {}, TOKEN + "x").status_code == 401


def test_without_a_broker_the_next_sweep_finds_it(sqlite_url):
    server = ApiServer(sqlite_url, inbox="s3://drop/incoming/")
    database = server.database()
    database.migrate()
    database.dispose()
    with server:
        response = post(server, event("incoming/a.pdf"), None)
        assert (response.status_code, response.json()) == (202, {"accepted": 0})


def test_seaweedfs_tells_us_itself(server, hints):
    """Its own kind of message, as a webhook of its filer sends it."""
    seaweedfs = SeaweedFS()
    (seaweedfs.directory / "notification.toml").write_text(
        f'[notification.webhook]\nenabled = true\nendpoint = "{server.url}/v1/inbox/events"\nbearer_token = "{TOKEN}"\n'
    )
    with seaweedfs:
        seaweedfs.create_bucket("drop")
        seaweedfs.client.put_object(Bucket="drop", Key="incoming/a b+c%20é.pdf", Body=b"x")
        told: set[str] = set()
        while "incoming/a b+c%20é.pdf" not in told:
            messages = hints.pop(4)
            assert messages, told
            told |= {hint.key for message in messages for hint in parse_hints(message)}


def test_both_lists_are_heard_and_what_waits_comes_together(hints, valkey):
    hints.push([Hint("drop", f"incoming/{n}.pdf") for n in range(300)])
    assert len(hints.pop(1)) == 200
    assert len(hints.pop(1)) == 100
    with valkey.client() as client:
        client.rpush("theirs", json.dumps([{"Event": event("incoming/x.pdf")["Records"]}]))
    assert len(hints.pop(1)) == 1


def test_who_waits_hears_at_once(hints):
    heard: list[bytes | str] = []
    listener = threading.Thread(target=lambda: heard.extend(hints.pop(4)))
    listener.start()
    hints.push([Hint("drop", "incoming/a.pdf")])
    listener.join()
    assert len(heard) == 1


def test_a_list_that_nobody_reads_does_not_grow_for_ever(hints, valkey, monkeypatch):
    monkeypatch.setattr("jobs.hints.MAX_WAITING", 50)
    for _ in range(3):
        hints.push([Hint("drop", f"incoming/{n}.pdf") for n in range(40)])
    with valkey.client() as client:
        assert client.llen(f"pagemill:{LIST}") == 50


def test_a_broker_that_is_away_says_so():
    app = make_app(BrokerSettings(broker_url="redis://127.0.0.1:1/0"))
    with pytest.raises(BROKER_ERRORS):
        HintList(app, "x").push([Hint("a", "b")])
    with pytest.raises(BROKER_ERRORS):
        HintList(app, "x").pop(0.1)
    app.close()


class FrozenList(HintList):
    """Its Redis answers nothing, and when it is let go it has timed out."""

    def __init__(self):
        self.pushes = threading.Semaphore(0)
        self.thaw = threading.Event()

    def push(self, hints):
        self.pushes.release()
        self.thaw.wait(60)
        raise TimeoutError("frozen")


def test_a_frozen_redis_takes_no_thread_of_other_requests():
    frozen, now, accepted = FrozenList(), [0.0], []
    relay = HintRelay(frozen, clock=lambda: now[0])

    async def send():
        accepted.append(await relay.pass_on([Hint("drop", "incoming/a.pdf")]))

    async def senders():
        async with anyio.create_task_group() as group:
            for _ in range(UNDER_WAY):
                group.start_soon(send)
            for _ in range(THREADS):
                await anyio.to_thread.run_sync(partial(frozen.pushes.acquire, timeout=60))
            assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
            assert accepted == []
            await send()
            assert accepted == [0], "there is no room for one more: answered at once"
            frozen.thaw.set()
        assert accepted == [0] * (UNDER_WAY + 1)
        assert not frozen.pushes.acquire(blocking=False), "those that waited did not ask it again"
        await send()
        assert not frozen.pushes.acquire(blocking=False)
        now[0] = AWAY
        await send()
        assert frozen.pushes.acquire(blocking=False), "asked again after a while"

    anyio.run(senders)


def test_a_server_whose_redis_freezes_says_that_nothing_was_accepted(sqlite_url, valkey):
    server = ApiServer(sqlite_url, broker_url=valkey.url, inbox="s3://drop/incoming/")
    database = server.database()
    database.migrate()
    database.dispose()
    with server:
        assert post(server, event("incoming/a.pdf"), None).json() == {"accepted": 1}
        valkey.freeze()
        try:
            response = post(server, event("incoming/a.pdf"), None)
        finally:
            valkey.thaw()
        assert (response.status_code, response.json()) == (202, {"accepted": 0})
