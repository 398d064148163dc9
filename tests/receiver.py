"""An HTTP server in a thread that keeps what it is sent and answers as a test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    pauses: Callable[[], bool] | None = None
    """Called before each byte of the body; False ends it."""


class Receiver:
    """`with Receiver() as receiver:`; `answer` may be replaced at any time, and may block to be slow."""

    def __init__(
        self,
        answer: Callable[[Received], Answer] | None = None,
        *,
        tls: Path | None = None,
        host: str = HOST,
        port: int = 0,
    ) -> None:
        """`tls`: a PEM file with certificate and key."""
        self.answer = answer or (lambda _: Answer())
        self.received: list[Received] = []
        self._arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _take(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, self.rfile.read(length))
                with receiver._arrived:
                    receiver.received.append(request)
                    receiver._arrived.notify_all()
                self._give(receiver.answer(request))

            do_GET = do_POST = _take  # noqa: N815 -- http.server's names

            def _give(self, answer: Answer) -> None:
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    if answer.pauses is None:
                        self.wfile.write(answer.body)
                    else:
                        for byte in answer.body:
                            if not answer.pauses():
                                break
                            self.wfile.write(bytes([byte]))
                except OSError:
                    self.close_connection = True  # the client had enough

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server((host, port), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str = "/hook", host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"

    def wait(self, count: int = 1, timeout: float = 60.0) -> list[Received]:
        """Until so many requests have come; all that came."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.received) >= count, timeout):
                raise AssertionError(f"{len(self.received)} requests came, not {count}")
            return list(self.received)
