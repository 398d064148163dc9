"""An S3 that ignores `If-None-Match`: a gateway before a real one that takes the header away and signs anew."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.processes import HOST, free_port
from tests.services import SeaweedFS

_DROPPED = {"if-none-match", "authorization", "x-amz-date", "x-amz-content-sha256", "content-length", "connection"}


def _handler(s3: SeaweedFS) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(HOST, s3.port, timeout=20)
            try:
                connection.request(self.command, self.path, body, self._headers(body))
                answer = connection.getresponse()
                self._answer(answer, answer.read())
            finally:
                connection.close()

        def _headers(self, body: bytes) -> dict[str, str]:
            if "X-Amz-Signature" in self.path:  # a link: its signature covers our own host and no other header
                return {name: value for name, value in self.headers.items() if name.lower() != "if-none-match"}
            kept = {name: value for name, value in self.headers.items() if name.lower() not in {*_DROPPED, "host"}}
            request = AWSRequest(self.command, f"{s3.url}{self.path}", headers=kept, data=body)
            S3SigV4Auth(Credentials(s3.access_key, s3.secret_key), "s3", "us-east-1").add_auth(request)
            return dict(request.headers.items())

        def _answer(self, answer: http.client.HTTPResponse, body: bytes) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler


@contextmanager
def header_dropper(s3: SeaweedFS) -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer((HOST, free_port()), _handler(s3))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="header-dropper", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
