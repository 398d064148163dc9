"""A file of 1 GiB by each of the three ways in, into a directory and into SeaweedFS: memory of the server, and time."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx
import psutil

from tests.api_server import PDF, ApiServer
from tests.services import SeaweedFS

MIB = 1 << 20
SIZE = 1024 * MIB
GOAL = 200 * MIB
_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.pdf"\r\n\r\n'
_TAIL = b"\r\n--b--\r\n"


class Resident:
    """The largest resident memory of a process while the block runs, looked at every 20 ms."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.before = self.most = self._process.memory_info().rss

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def run(size: int = SIZE) -> str:
    lines = [f"{size // MIB} MiB; resident MiB of the API before, most; seconds, MiB/s"]
    for store in ("directory", "SeaweedFS"):
        with ExitStack() as stack:
            server = _server(stack, store)
            with server.client() as http:
                for way in ("multipart", "raw", "put"):
                    before, most, seconds = upload(server, http, way, size)
                    assert most < GOAL, f"{way} into {store}: {most / MIB:.0f} MiB"
                    lines.append(
                        f"{way:>10} into {store:<10} {before / MIB:6.0f} {most / MIB:6.0f} {seconds:6.1f}"
                        f" {size / MIB / seconds:6.0f}"
                    )
    return "\n".join([*lines, f"load average after: {os.getloadavg()[0]:.1f}"])


def _server(stack: ExitStack, store: str) -> ApiServer:
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    settings: dict[str, str] = {}
    if store == "SeaweedFS":
        s3 = stack.enter_context(SeaweedFS())
        settings = s3.settings(s3.create_bucket("bench")).model_dump(exclude_defaults=True)
        settings["s3_secret_key"] = s3.secret_key
    server = ApiServer(f"sqlite:///{root / 'bench.db'}", **settings)
    database = server.database()
    database.migrate()
    database.dispose()
    stack.callback(server.remove)
    return server.start()


def upload(server: ApiServer, http: httpx.Client, way: str, size: int) -> tuple[int, int, float]:
    """Resident bytes of the server before and at most, and seconds."""
    method, path, kind, head, tail = _request(http, way, size)
    length = len(head) + size + len(tail)
    headers = {"Content-Type": kind, "Content-Length": str(length)}
    started = time.perf_counter()
    with Resident(server.pid) as resident:
        content = _body(head, size, tail)
        response = http.request(method, path, content=content, headers=headers, timeout=600)
    assert response.is_success, response.text
    return resident.before, resident.most, time.perf_counter() - started


def _request(http: httpx.Client, way: str, size: int) -> tuple[str, str, str, bytes, bytes]:
    if way == "multipart":
        return "POST", "jobs", "multipart/form-data; boundary=b", _HEAD, _TAIL
    if way == "raw":
        return "POST", "jobs", "application/pdf", b"", b""
    made = http.post("uploads", json={"bytes": size})
    return "PUT", f"uploads/{made.json()['id']}", "application/octet-stream", b"", b""


def _body(head: bytes, size: int, tail: bytes) -> Iterator[bytes]:
    block = os.urandom(MIB)
    yield head
    yield PDF + block[len(PDF) :]
    for _ in range(size // MIB - 1):
        yield block
    yield tail
