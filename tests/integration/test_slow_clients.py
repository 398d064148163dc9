"""Clients that keep quiet, or say a byte now and then: nobody waits for them, and nothing of them stays."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import psutil
import pytest

from tests.api_server import PDF, ApiServer, files
from tests.integration.test_api_uploads import HEAD, TAIL, answer, form_request, half_written, raw_request
from tests.processes import HOST, wait_until

MIB = 1 << 20
SLOW = 300
"""Clients at once."""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    """As it comes: a minute's patience."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('slow') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("slow_clients")
    with migrated(ApiServer(url)) as found:
        yield found


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    with migrated(
        ApiServer(f"sqlite:///{tmp_path_factory.mktemp('idle') / 'pagemill.db'}", api_idle_timeout=1)
    ) as found:
        yield found


def migrated(server):
    database = server.database()
    database.migrate()
    database.dispose()
    return server


def connected(server):
    connection = socket.create_connection((HOST, server.port))
    connection.settimeout(60)
    return connection


def request(method, path, kind, length):
    return (
        f"{method} /v1/{path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("kind", ["form", "raw", "put", "json", "manifest", "nothing"])
def test_a_body_that_stops_is_given_up_and_leaves_nothing(impatient, kind):
    with impatient.client() as http:
        upload = http.post("uploads", json={"bytes": 2 * MIB}).json()["id"]
    begun = {
        "form": form_request(100 * MIB) + HEAD + PDF + bytes(3 * MIB),
        "raw": raw_request(100 * MIB) + PDF + bytes(3 * MIB),
        "put": request("PUT", f"uploads/{upload}", "application/octet-stream", 100 * MIB) + bytes(MIB),
        "json": request("POST", "jobs", "application/json", 100) + b'{"sources": [',
        "manifest": request("POST", "jobs", "application/x-ndjson", 100 * MIB) + b'{"url": "https://example.org/a"}\n',
        "nothing": raw_request(100),
    }[kind]
    with connected(impatient) as connection:
        connection.sendall(begun)
        status, body = answer(connection)
        assert (status, body["code"], body["retryable"], body["limit"]) == (422, "upload_incomplete", True, 1)
        assert connection.recv(1) == b"", "the connection ends with the answer"
    assert half_written(impatient) == []
    assert impatient.objects() == []


@pytest.mark.parametrize("begun", [b"", b"GET /v1 HT", b"GET /v1 HTTP/1.1\r\nHost: a\r\nX-Slow: "], ids=len)
def test_a_request_that_never_begins_keeps_no_connection(impatient, begun):
    with connected(impatient) as connection:
        connection.sendall(begun)
        assert connection.recv(1) == b""


def test_a_second_request_that_never_begins_keeps_none_either(impatient):
    with connected(impatient) as connection:
        connection.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer(connection)[0] == 200
        connection.sendall(b"GET /v1/health/live HTTP/1.1\r\n")
        assert connection.recv(1) == b""


def test_who_was_refused_cannot_go_on_for_ever(impatient):
    """The answer to a body is often there before its end. What still comes of it is read and thrown away, for so long
    and no longer."""
    with connected(impatient) as connection:
        connection.settimeout(0.1)
        connection.sendall(request("POST", "jobs", "text/html", 100 * MIB))
        wait_until(lambda: dripped(connection), "the connection to end")


def dripped(connection):
    """Whether it has ended, after another byte."""
    try:
        connection.sendall(b"x")
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def test_slow_clients_hold_no_threads_and_keep_nobody_waiting(server):
    body = HEAD + PDF + bytes(1000) + TAIL
    with server.client() as http, ExitStack() as stack:
        http.post("jobs", files=files(PDF))  # what the first request needs
        process = psutil.Process(server.pid)
        threads, memory = process.num_threads(), server.memory()
        slow = [stack.enter_context(connected(server)) for _ in range(SLOW)]
        for connection in slow:
            connection.sendall(form_request(len(body)) + body[:-1])
        wait_until(lambda: process.num_fds() > SLOW, "the server to take them")
        for _ in range(3):
            assert http.post("jobs", files=files(PDF)).status_code == 202
            assert http.get("jobs?limit=1").status_code == 200
        assert process.num_threads() - threads < 60, "some threads are kept for work, none by a slow client"
        assert server.memory() - memory < 64 * MIB
        for connection in slow[::30]:
            connection.sendall(body[-1:])
            assert answer(connection)[0] == 202, "however slow it was"


def test_a_drip_is_no_silence(server):
    body = json.dumps({"bytes": 1}).encode()
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("POST", "uploads", "application/json", len(body)) + body:
            connection.sendall(bytes([byte]))
        assert answer(connection)[0] == 201
