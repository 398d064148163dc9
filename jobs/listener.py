"""The small listener of every process of the service: /metrics, /healthz and /readyz (docs/monitoring.md).

On threads of its own, so that it answers while a model loads and whatever the process is busy with, and so that nobody
who asks slows it. It serves an inner network and knows no keys: it says numbers, never what users sent. Who asks slowly
loses the connection; there are never more than a few.

It stands here because the API and the workers share it and neither may import the other; `http.server` alone is enough
for three answers.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from jobs.errors import InvalidRequest

log = logging.getLogger(__name__)

CONNECTIONS = 16
"""At once; one more is closed without an answer."""
SILENCE = 5.0
"""Seconds that a client may take for one read or write."""
DEADLINE = 10.0
"""Seconds that a connection may last, whatever its client does: the usual time-out of a scrape."""
_TEXT = "text/plain; charset=utf-8"

Verdict = Callable[[], str | None]
"""Why not; None where all is well. Must not take longer than seconds."""


class Listener:
    """Listens from `start` to `stop`."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, *, healthy: Verdict, ready: Verdict) -> None:
        """`port` 0: any free one. `healthy`: whether this process makes progress; one that does not should be killed.
        `ready`: whether it does its work now."""
        self._address = (host, port)
        self._answers = _Answers(registry, healthy, ready)
        self._server: _Server | None = None

    def start(self) -> None:
        """Raises InvalidRequest where the address is taken or not ours."""
        host, port = self._address
        try:
            self._server = _Server(self._address, self._answers)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidRequest(
                f"metrics cannot be served on port {port} of {host}: {reason}",
                where="PAGEMILL_METRICS_PORT",
                actual=port,
            ) from error
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics at %s/metrics", self.url, extra={"action": "metrics"})

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """Where it listens; only while it does."""
        assert self._server is not None, "it listens"
        host, port = self._server.server_address[:2]
        text = host.decode() if isinstance(host, bytes | bytearray) else str(host)
        return f"http://{f'[{text}]' if ':' in text else text}:{port}"


def with_process(registry: CollectorRegistry) -> CollectorRegistry:
    """The registry, with what libraries and the interpreter put into the default one: vLLM's own metrics, the
    process's memory, CPU and files. When each series began is not told: it doubles them, and rates do not need it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry.register(REGISTRY)  # it is a collector: it has `collect`
    return registry


class _Answers:
    """What is said under each path."""

    def __init__(self, registry: CollectorRegistry, healthy: Verdict, ready: Verdict) -> None:
        self._registry = registry
        self._verdicts = {"/healthz": healthy, "/readyz": ready}

    def get(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Status, media type and body."""
        if path == "/metrics":
            encode, media_type = _encoder(accept)
            return 200, media_type, encode(self._registry)
        verdict = self._verdicts.get(path)
        if verdict is None:
            return 404, _TEXT, b"here are /metrics, /healthz and /readyz\n"
        reason = verdict()
        return (200, _TEXT, b"ok\n") if reason is None else (503, _TEXT, f"{reason}\n".encode())


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Plain text for whoever asks for a version that is none."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


class _Server(ThreadingHTTPServer):
    """Bounds the number of connections and their time."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], answers: _Answers) -> None:
        self.answers = answers
        self._lock = threading.Lock()
        self._ends: dict[Any, float] = {}
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks for the host's name: that may take long.
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._ends) >= CONNECTIONS
            if not full:
                self._ends[request] = time.monotonic() + DEADLINE
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._ends.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called twice a second."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, end in self._ends.items() if end < now]
        for request in late:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)  # its thread reads nothing more, and ends

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nobody's error, and what it did is not worth a line."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENCE
    server: _Server
    server_version = "pagemill"
    sys_version = ""

    def do_GET(self) -> None:
        try:
            status, media_type, body = self.server.answers.get(urlsplit(self.path).path, self.headers.get("Accept", ""))
        except Exception:
            # The edge of a request: what cannot be told now must not end the listener.
            log.exception("metrics cannot be told", extra={"action": "metrics_failed"})
            status, media_type, body = 500, _TEXT, b"the log says why\n"
        self._answer(status, media_type, body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base refuses: without a page of HTML, and a method that is not GET as such."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else code
        self.close_connection = True
        self._answer(status, _TEXT, f"{message or 'refused'}\n".encode(), Allow="GET")

    def _answer(self, status: int, media_type: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """A scrape every few seconds is not worth a line."""
