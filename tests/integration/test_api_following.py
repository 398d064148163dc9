"""Following a job over HTTP, on both databases, with two servers: what one does, those who wait at the other see."""

from __future__ import annotations

import json
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import anyio
import psutil
import pytest

from api.client import Client
from jobs import keys
from jobs.errors import Gone, NotFound
from jobs.models import PageState, Scope
from jobs.store import workers
from tests.api_server import PDF, ApiServer, files, finish
from tests.processes import wait_until
from tests.protocol import register

MISSING = "job_" + "0" * 32
CROWD = 2000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def servers(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('follow') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("api_following")
    store = f"file:{tmp_path_factory.mktemp('objects')}"
    one, two = (ApiServer(url, store_url=store, auth="keys") for _ in range(2))
    database = one.database()
    database.migrate()
    database.dispose()
    with one, two:
        yield one, two


@pytest.fixture(scope="module")
def secret(servers):
    database = servers[0].database()
    yield keys.create(database, "somebody", [Scope.SUBMIT, Scope.READ])[1]
    database.dispose()


@pytest.fixture
def one(servers, secret):
    """A client of one server …"""
    with servers[0].client(headers={"Authorization": f"Bearer {secret}"}) as http:
        yield http


@pytest.fixture
def two(servers, secret):
    """… and one of the other."""
    with servers[1].client(headers={"Authorization": f"Bearer {secret}"}) as http:
        yield http


@pytest.fixture
def stranger(servers):
    database = servers[0].database()
    _, secret = keys.create(database, "stranger", [Scope.SUBMIT, Scope.READ])
    database.dispose()
    with servers[0].client(headers={"Authorization": f"Bearer {secret}"}) as http:
        yield http


@pytest.fixture
def job(one):
    return submitted(one)


def submitted(http, **headers):
    response = http.post("jobs", files=files(PDF), headers=headers)
    assert response.status_code == 202, response.text
    return response.json()["id"]


def code(response):
    return response.status_code, response.json().get("code")


@contextmanager
def meanwhile(call):
    """The call's result, of a thread that runs while the block does."""
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(call)


def prefer(seconds, tag=None):
    return {"Prefer": f"wait={seconds}"} | ({} if tag is None else {"If-None-Match": tag})


# --- tags


def test_what_the_client_has_is_not_sent_again(one, job):
    document = one.get(f"jobs/{job}/documents").json()["items"][0]["id"]
    places = [f"jobs/{job}", f"jobs/{job}/documents", f"jobs/{job}/documents/{document}",
              f"jobs/{job}/documents/{document}/pages", "jobs"]  # fmt: skip
    tags = {}
    for place in places:
        answer = one.get(place)
        tags[place] = answer.headers["etag"]
        assert answer.headers["cache-control"] == "private, no-cache"
        for known in (tags[place], f"W/{tags[place]}", f'"other", {tags[place]}'):
            again = one.get(place, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tags[place]), place
        assert one.get(place, headers={"If-None-Match": '"other"'}).json() == answer.json()
    assert len(set(tags.values())) == len(tags)
    one.post(f"jobs/{job}/cancel")
    for place in places[:3] + places[4:]:
        assert one.get(place, headers={"If-None-Match": tags[place]}).status_code == 200, place


# --- long polls


def test_a_wait_at_one_server_is_woken_by_an_end_through_the_other(one, two, job):
    with meanwhile(lambda: one.get(f"jobs/{job}", headers=prefer(59), timeout=40)) as answer:
        two.patch(f"jobs/{job}", json={"priority": "interactive"})
        two.post(f"jobs/{job}/cancel")
        answer = answer.result()
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert answer.headers["preference-applied"] == "wait=59"
    assert answer.json() == two.get(f"jobs/{job}").json()


def test_with_a_tag_any_change_ends_the_wait(one, two, job):
    tag = one.get(f"jobs/{job}").headers["etag"]
    with meanwhile(lambda: one.get(f"jobs/{job}", headers=prefer(100, tag), timeout=40)) as answer:
        two.patch(f"jobs/{job}", json={"priority": "interactive"})
        answer = answer.result()
    assert (answer.status_code, answer.json()["priority"]) == (200, "interactive")
    assert answer.headers["preference-applied"] == "wait=60", "and no longer, whatever is preferred"
    assert answer.headers["etag"] != tag


def test_when_nothing_happens_in_time_the_answer_is_what_it_would_have_been(one, job):
    tag = one.get(f"jobs/{job}").headers["etag"]
    nothing = one.get(f"jobs/{job}", headers=prefer(1, tag))
    # Its place in the queue may have changed: other tests have submitted jobs.
    assert nothing.status_code == (304 if nothing.headers["etag"] == tag else 200)
    assert nothing.headers["etag"].partition(".")[0] == tag.partition(".")[0]
    assert nothing.headers["preference-applied"] == "wait=1"
    running = one.get(f"jobs/{job}", headers=prefer(1))
    assert (running.status_code, running.json()["state"]) == (200, "queued")


def test_an_old_tag_or_a_preference_without_sense_waits_for_nothing(one, job):
    for headers in (prefer(60, '"old"'), prefer("x"), prefer(0), {"Prefer": "respond-async"}):
        answer = one.get(f"jobs/{job}", headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["state"]) == (200, "queued")
        applied = answer.headers.get("preference-applied")
        assert applied == (headers["Prefer"] if headers["Prefer"] in ("wait=60", "wait=0") else None)


def test_what_is_deleted_while_somebody_waits_is_gone(one, two, job):
    with meanwhile(lambda: one.get(f"jobs/{job}", headers=prefer(59), timeout=40)) as answer:
        two.delete(f"jobs/{job}")
        assert answer.result().status_code in (404, 410)


def test_a_submission_may_wait_for_the_end(one, two):
    known = submitted(one)
    with meanwhile(lambda: one.post("jobs", files=files(PDF), headers=prefer(59), timeout=40)) as answer:
        wait_until(lambda: two.get("jobs?limit=1").json()["items"][0]["id"] != known, "the job")
        [new] = two.get("jobs?limit=1").json()["items"]
        two.post(f"jobs/{new['id']}/cancel")
        answer = answer.result()
    assert (answer.status_code, answer.json()["state"], answer.json()["id"]) == (200, "canceled", new["id"])
    assert answer.headers["location"] == f"/v1/jobs/{new['id']}"
    assert answer.headers["preference-applied"] == "wait=59"
    late = one.post("jobs", files=files(PDF), headers=prefer(1))
    assert (late.status_code, late.json()["state"]) == (202, "queued")


# --- events


class Events:
    """The events of a stream."""

    def __init__(self, response):
        assert response.status_code == 200, response.read()
        self.headers = response.headers
        self._lines = response.iter_lines()

    def next(self):
        """Name, id and data of the next one; None at the end."""
        fields = {}
        for line in self._lines:
            if not line and "event" in fields:
                return fields["event"], fields.get("id", ""), json.loads(fields["data"])
            name, _, value = line.partition(": ")
            fields[name] = value
        return None


@contextmanager
def events(http, job, last=None):
    headers = {} if last is None else {"Last-Event-ID": last}
    with http.stream("GET", f"jobs/{job}/events", headers=headers, timeout=40) as response:
        yield Events(response)


def test_a_stream_tells_the_job_its_changes_and_its_end(one, two, job):
    with events(one, job) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        name, first, data = stream.next()
        assert (name, data) == ("job", two.get(f"jobs/{job}").json() | {"queue": data["queue"]})
        two.patch(f"jobs/{job}", json={"priority": "interactive"})
        name, second, data = stream.next()
        assert (name, data["priority"], second == first) == ("job", "interactive", False)
        two.post(f"jobs/{job}/cancel")
        name, third, data = stream.next()
        assert (name, data["state"], data["queue"]) == ("job", "canceled", None)
        assert stream.next() == ("end", f"{third}.end", {"id": job, "state": "canceled"})
        assert stream.next() is None
    assert one.get(f"jobs/{job}").headers["etag"] == f'"{third}"'


def test_who_comes_back_is_told_what_was_missed_and_nothing_twice(one, two, job):
    with events(one, job) as stream:
        _, seen, _ = stream.next()
    with events(two, job, seen.partition(".")[0] + ".old") as stream:
        _, seen, _ = stream.next()
    with events(two, job, seen) as stream:
        one.post(f"jobs/{job}/cancel")
        name, last, data = stream.next()
        while data["state"] == "queued":  # only its place has changed
            name, last, data = stream.next()
        assert (name, data["state"]) == ("job", "canceled")
        _, end, _ = stream.next()
    with events(one, job, last) as stream:
        assert stream.next() == ("end", end, {"id": job, "state": "canceled"})
        assert stream.next() is None
    assert one.get(f"jobs/{job}/events", headers={"Last-Event-ID": end}).status_code == 204


def test_a_job_that_runs_again_is_followed_again(servers, one, job):
    finish(servers[0], job, [PageState.FAILED])
    with events(one, job) as stream:
        stream.next()
        name, end, _ = stream.next()
        assert name == "end"
    one.post(f"jobs/{job}/retry")
    with events(one, job, end) as stream:
        assert stream.next()[2]["state"] == "running"


def test_a_deleted_job_ends_its_streams(one, two, job):
    with events(one, job) as stream:
        stream.next()
        two.delete(f"jobs/{job}")
        name, _, data = stream.next()
        assert (name, data["code"] in ("gone", "not_found")) == ("gone", True)
        assert stream.next() is None


def test_what_cannot_be_followed_is_a_problem_and_no_stream(one, stranger, job):
    assert code(stranger.get(f"jobs/{job}/events")) == (404, "not_found")
    assert code(stranger.get(f"jobs/{job}", headers=prefer(60))) == (404, "not_found")
    assert code(one.get(f"jobs/{MISSING}/events")) == (404, "not_found")
    one.delete(f"jobs/{job}")
    assert one.get(f"jobs/{job}/events").status_code in (404, 410)


# --- the client


def test_the_client_follows_through_a_restart_of_its_server(servers, two, secret):
    own = ApiServer(servers[0].database_url, store_url=servers[0].settings["store_url"], auth="keys")
    with own, Client(own.url, secret) as client:
        job = submitted(two)
        states = []
        with ThreadPoolExecutor(1) as threads:
            told = threading.Event()

            def follow():
                for seen in client.follow(job):
                    states.append((seen.state.value, seen.priority))
                    told.set()

            following_ = threads.submit(follow)
            assert told.wait(30)
            own.restart()
            two.patch(f"jobs/{job}", json={"priority": "interactive"})
            two.post(f"jobs/{job}/cancel")
            following_.result(60)
        assert states[0] == ("queued", "batch")
        assert states[-1] == ("canceled", "interactive")
        assert list(client.follow(job))[-1].state == "canceled"
        two.delete(f"jobs/{job}")
        with pytest.raises((Gone, NotFound)):
            list(client.follow(job))


def test_the_client_waits_by_long_polls(servers, two, secret, job):
    with Client(servers[0].url, secret) as client:
        known = client.snapshot(job)
        with meanwhile(lambda: client.changed(known, 50)) as changed:
            two.post(f"jobs/{job}/cancel")
            assert changed.result(40).job.state == "canceled"
        known = client.snapshot(job)
        assert client.changed(known, 1) is known


# --- what it costs


def test_two_thousand_waits_cost_no_threads_and_leave_the_server_responsive(servers, one, two, secret):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard > 2 * CROWD, "this machine cannot hold so many connections"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2 * CROWD + 1000, hard)), hard))
    process = psutil.Process(servers[0].pid)
    quota = resource.prlimit(servers[0].pid, resource.RLIMIT_NOFILE)
    resource.prlimit(servers[0].pid, resource.RLIMIT_NOFILE, (max(quota[0], min(2 * CROWD + 1000, quota[1])), quota[1]))
    job = submitted(one)
    before = process.num_threads()
    request = (f"GET /v1/jobs/{job} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n"
               "Prefer: wait=60\r\n\r\n").encode()  # fmt: skip

    async def crowd():
        answers, asked = [], []

        async def wait(limit):
            async with limit:
                stream = await anyio.connect_tcp("127.0.0.1", servers[0].port)
            async with stream:
                await stream.send(request)
                asked.append(1)
                answer = await stream.receive()
                while b'"state"' not in answer:  # the body may come behind the head
                    answer += await stream.receive()
                answers.append(answer)

        async with anyio.create_task_group() as group:
            limit = anyio.CapacityLimiter(100)  # connections that are opened at once: the server's backlog is bounded
            for _ in range(CROWD):
                group.start_soon(wait, limit)
            while len(asked) < CROWD:
                await anyio.sleep(0.05)
            during = await anyio.to_thread.run_sync(look)
            assert answers == []
            await anyio.to_thread.run_sync(lambda: two.post(f"jobs/{job}/cancel"))
        return answers, during

    def look():
        for _ in range(20):  # behind all that were sent before
            assert one.get(f"{servers[0].url}/v1").status_code == 200
            assert one.get(f"jobs/{job}").json()["state"] == "queued"
        return process.num_threads()

    answers, during = anyio.run(crowd)
    assert len(answers) == CROWD
    assert all(answer.startswith(b"HTTP/1.1 200") and b'"state":"canceled"' in answer for answer in answers)
    # 40 are the pool of requests, whoever waits, and one the poller's.
    assert during - before <= 41


# --- the end of a server


def test_a_server_that_ends_sends_everybody_home(servers, two, secret):
    own = ApiServer(servers[0].database_url, store_url=servers[0].settings["store_url"], auth="keys")
    job = submitted(two)
    with (
        own.start().client(headers={"Authorization": f"Bearer {secret}"}) as http,
        meanwhile(lambda: http.get(f"jobs/{job}", headers=prefer(59), timeout=40)) as answer,
        events(http, job) as stream,
    ):
        stream.next()
        wait_until(lambda: _connections(own) >= 2, "both to wait")
        own.stop()
        assert stream.next() is None, "cut, and not ended: the client comes back"
        assert answer.result().json()["state"] == "queued"
    assert "timeout graceful shutdown exceeded" not in own.log_text()
    assert "Traceback" not in own.log_text()
    own.remove()


def _connections(server):
    found = psutil.Process(server.pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == server.port for one in found)


# --- places


def test_the_place_in_the_queue(servers, one, two):
    database = servers[0].database()
    first, second = submitted(one), submitted(one)
    try:
        worker = register(database, engine="echo", capacity=8)
        with database.write() as session:
            workers.heartbeat(session, worker, 2.0)

        def place(http, job):
            return http.get(f"jobs/{job}").json()["queue"]

        wait_until(lambda: (place(one, second) or {}).get("eta_seconds"), "the outlook to be asked anew")
        wait_until(lambda: place(one, first) == place(two, first), "both servers to say the same")
        assert place(one, second)["pages_ahead"] == place(one, first)["pages_ahead"] + 1
        told = place(one, second)
        assert told["eta_seconds"] == pytest.approx((told["pages_ahead"] + 1) / 2.0, abs=0.6)
        listed = one.get("jobs").json()["items"]
        assert [item["queue"] for item in listed] == [None] * len(listed), "lists leave it out"
        one.post(f"jobs/{second}/cancel")
        assert place(one, second) is None
        with database.write() as session:
            workers.set_state(session, worker, "stopped")
        wait_until(lambda: place(one, first)["eta_seconds"] is None, "the outlook to be asked anew")
    finally:
        database.dispose()
