"""Uploads that are large, that break off, and that meet a sick store or database."""

import hashlib
import json
import os
import shutil
import socket
from http.client import HTTPResponse
from pathlib import Path

import psutil
import pytest

from tests.api_server import PDF, ApiServer, files
from tests.processes import HOST, wait_until
from tests.services import SeaweedFS

MIB = 1 << 20
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.pdf"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"


def started(tmp_path, **settings):
    api = ApiServer(f"sqlite:///{tmp_path / 'pagemill.db'}", **settings)
    database = api.database()
    database.migrate()
    database.dispose()
    return api


@pytest.fixture
def server(tmp_path):
    with started(tmp_path) as api:
        yield api


def memory(server):
    """Anonymous memory: what the page cache lends does not count."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Peak:
    """The largest memory of the server seen while a body is generated: the writing side looks at every piece."""

    def __init__(self, server):
        self.server, self.base, self.highest = server, memory(server), 0
        self.hash = hashlib.sha256()

    def body(self, size):
        block = os.urandom(MIB)
        first = True
        for _ in range(size // MIB):
            piece = PDF + block[len(PDF) :] if first else block
            first = False
            self.hash.update(piece)
            self.highest = max(self.highest, memory(self.server))
            yield piece

    @property
    def grown(self):
        return self.highest - self.base


@pytest.mark.parametrize("form", [True, False], ids=["multipart", "raw"])
def test_256_mib_never_sit_in_memory(server, form):
    with server.client() as http:
        http.post("jobs", files=files(PDF))  # imports and threads are paid for
        peak = Peak(server)

        def sent():
            yield HEAD if form else b""
            yield from peak.body(256 * MIB)
            yield TAIL if form else b""

        kind = "multipart/form-data; boundary=b" if form else "application/pdf"
        response = http.post("jobs", content=sent(), headers={"Content-Type": kind})
        assert response.status_code == 202
        (document,) = http.get(f"jobs/{response.json()['id']}/documents").json()["items"]
    assert (document["bytes"], document["sha256"]) == (256 * MIB, peak.hash.hexdigest())
    assert peak.grown < 24 * MIB, f"{peak.grown / MIB:.1f} MiB"


def test_a_store_that_hangs_makes_the_client_wait(tmp_path):
    """The server is well, its S3 is frozen: it stops reading, keeps its memory, and ends the upload after the thaw."""
    with SeaweedFS() as s3:
        store = s3.settings(s3.create_bucket("documents"), s3_timeout=120).model_dump(exclude_defaults=True)
        store["s3_secret_key"] = s3.secret_key
        with started(tmp_path, **store) as server, socket.create_connection((HOST, server.port)) as connection:
            connection.settimeout(2)
            connection.sendall(raw_request(length=256 * MIB) + PDF + bytes(MIB - len(PDF)))
            base = memory(server)
            s3.freeze()
            sent = MIB + send_until_it_stops(connection, 255 * MIB)
            assert sent < 128 * MIB
            assert memory(server) - base < 64 * MIB
            with server.client() as http:
                assert http.get("health/live").is_success, "the other requests wait too"
            s3.thaw()
            connection.settimeout(60)
            connection.sendall(bytes(256 * MIB - sent))
            assert answer(connection)[0] == 202


def send_until_it_stops(connection, most):
    sent = 0
    try:
        while sent < most:
            sent += connection.send(bytes(min(MIB, most - sent)))
    except TimeoutError:
        pass
    return sent


def raw_request(length):
    return (
        f"POST /v1/jobs HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/pdf\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def form_request(length):
    return (
        f"POST /v1/jobs HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def answer(connection):
    """Status and JSON body."""
    response = HTTPResponse(connection)
    response.begin()
    with response:
        return response.status, json.loads(response.read())


def half_written(server):
    """Temporary files of the local store."""
    return list((server.directory / "objects" / ".pagemill-tmp").iterdir())


ALONE = PDF + bytes(MIB)
"""Too large to wait for others in memory (api/intake.py): it is stored while the next one comes."""


def part(content):
    return b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + content + b"\r\n"


@pytest.mark.parametrize("kind", ["form", "raw"])
def test_a_client_that_goes_away_leaves_nothing(server, kind):
    with socket.create_connection((HOST, server.port)) as connection:
        if kind == "form":
            connection.sendall(form_request(100 * MIB) + part(ALONE) + HEAD + PDF + bytes(3 * MIB))
            wait_until(lambda: server.objects("uploads/"), "the first file to be stored")
        else:
            connection.sendall(raw_request(100 * MIB) + PDF + bytes(3 * MIB))
        wait_until(lambda: half_written(server), "the upload to reach the store")
    wait_until(lambda: not half_written(server) and not server.objects(), "the rest to be cleared")
    with server.client() as http:
        assert http.get("jobs").json()["items"] == []


def test_a_server_killed_in_the_middle_leaves_no_job(server):
    with socket.create_connection((HOST, server.port)) as connection:
        connection.sendall(form_request(100 * MIB) + part(ALONE) + HEAD + PDF + bytes(3 * MIB))
        wait_until(lambda: server.objects("uploads/"), "the first file to be stored")
        server.kill()
    server.start()
    with server.client() as http:
        assert http.get("jobs").json()["items"] == []
        assert http.post("jobs", files=files(PDF)).status_code == 202


def test_a_refused_file_is_not_read_forever(tmp_path):
    """What follows a refusal is read to reach the next file, and no further than one file may be long."""
    with (
        started(tmp_path, max_file_bytes=4 * MIB) as server,
        socket.create_connection((HOST, server.port)) as connection,
    ):
        connection.settimeout(30)
        connection.sendall(form_request(1 << 40) + HEAD + b"text" * 512)
        for _ in range(6):
            connection.sendall(bytes(MIB))
        status, body = answer(connection)
        assert (status, body["where"]) == (415, "big.pdf")


def test_a_store_that_is_away(server):
    objects = server.directory / "objects"
    with server.client() as http:
        assert http.post("jobs", files=files(PDF)).status_code == 202
        away = objects.rename(server.directory / "away")
        response = http.post("jobs", files=files(PDF))
        assert (response.status_code, response.json()["code"]) == (503, "storage_unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert str(server.directory) not in response.text
        ready = http.get("health/ready")
        assert (ready.status_code, ready.json()["code"]) == (503, "storage_unavailable")
        assert ready.json()["checks"] == {"broker": "unavailable", "database": "ok", "store": "unavailable"}
        assert http.get("health/live").status_code == 200
        shutil.rmtree(objects, ignore_errors=True)
        away.rename(objects)
        assert http.get("health/ready").status_code == 200
        assert len(http.get("jobs").json()["items"]) == 1


def test_a_server_with_no_secret_key_takes_no_passwords(server):
    with server.client() as http:
        assert http.get(f"{server.url}/v1").json()["passwords"] is False
        response = http.post("jobs", files=[*files(PDF), ("options", (None, '{"password": "x"}'))])
        assert (response.status_code, response.json()["where"]) == (400, "options.password")
        assert "PAGEMILL_SECRET_KEY" in response.json()["detail"]


def test_sigterm_lets_an_upload_end_and_the_process_with_it(server):
    body = HEAD + PDF + bytes(2 * MIB) + TAIL
    with socket.create_connection((HOST, server.port)) as connection:
        connection.settimeout(30)
        connection.sendall(form_request(len(body)) + body[: 2 * MIB])
        wait_until(lambda: half_written(server), "the upload to reach the store")
        process = psutil.Process(server.pid)
        process.terminate()
        wait_until(lambda: b"Shutting down" in server.log.read_bytes(), "the server to hear it")
        connection.sendall(body[2 * MIB :])
        assert answer(connection)[0] == 202
    process.wait(30)


def test_sigterm_does_not_wait_for_a_client_that_never_ends(server):
    with socket.create_connection((HOST, server.port)) as connection:
        connection.sendall(form_request(MIB) + HEAD + PDF)
        process = psutil.Process(server.pid)
        process.terminate()
        process.wait(30)  # the connection is still open
    assert server.objects() == []
