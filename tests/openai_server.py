"""A small real HTTP server that speaks as much of the OpenAI API as the backend asks, and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

Misbehaviour = Callable[["Handler", int], bool]
"""Called with the handler and the number of the request, from 1; whether it has answered."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: OpenAiServer

    def setup(self) -> None:
        super().setup()
        with self.owner.lock:
            self.owner.connections += 1
            self.owner.open.append(self.connection)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.reply(200, {"data": [{"id": "tiny"} | self.owner.model]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.owner.lock:
            self.owner.bodies.append(body)
            self.owner.keys.append(self.headers.get("authorization"))
            number = len(self.owner.bodies)
        if not self.owner.misbehaviour(self, number):
            self.reply(200, self.owner.answer(body))

    def reply(self, status: int, body: Any, **headers: str) -> None:
        with suppress(OSError):  # its client has hung up
            self._reply(status, body, headers)

    def _reply(self, status: int, body: Any, headers: dict[str, str]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def half(self) -> None:
        """Say that much comes, send a part of it, hang up."""
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [{"mess')
        self.close_connection = True

    def nothing(self) -> None:
        self.close_connection = True


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    """The standard library's 5 overflows when forty requests come at once, and some systems reset the others then."""


class OpenAiServer:
    """Serves on a free port of this machine until left."""

    def __init__(
        self, misbehaviour: Misbehaviour = lambda _handler, _number: False, *, tls: Path | None = None
    ) -> None:
        """`tls`: a PEM with its certificate and key, for `localhost`."""
        self.misbehaviour = misbehaviour
        self.text = "hello"
        self.reads: Callable[[Any], str] | None = None
        """Makes the text of the request's body."""
        self.finish_reason = "stop"
        self.model: dict[str, Any] = {}
        """What it tells of its model."""
        self.lock = threading.Lock()
        self.bodies: list[Any] = []
        self.keys: list[str | None] = []
        self.connections = 0
        self.open: list[socket.socket] = []
        handler = type("Bound", (Handler,), {"owner": self})
        self._server = _Listener(("127.0.0.1", 0), handler)
        self._origin = f"http://127.0.0.1:{self._server.server_port}"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # who does not trust us hangs up
            self._origin = f"https://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"{self._origin}/v1"

    def answer(self, body: Any) -> Any:
        text = self.reads(body) if self.reads is not None else self.text
        choice = {"message": {"content": text}, "finish_reason": self.finish_reason}
        return {"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": 3}}

    def close(self) -> None:
        """From now on connections are refused, and those that were kept are cut."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self.open:
            with suppress(OSError):  # its client was faster
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.close()
