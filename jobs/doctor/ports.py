"""Whether what listens on our ports is ours."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

from jobs.doctor.findings import Finding, ok, warning
from jobs.doctor.scene import Scene
from jobs.settings import ApiSettings

FLOWER_PORT = 5555
PATIENCE = 3.0
_STRANGER = "another program"
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, nothing listens there


def ports(scene: Scene) -> Iterator[Finding]:
    api = scene.of(ApiSettings)
    host = "127.0.0.1" if api.api_host in _EVERYWHERE else api.api_host.strip("[]")
    listeners = {
        f"the API's port {api.api_port}": _listener(host, api.api_port, "/"),
        f"Flower's port {FLOWER_PORT}": _listener("127.0.0.1", FLOWER_PORT, "/healthcheck"),
    }
    strangers = [port for port, listener in listeners.items() if listener == _STRANGER]
    if strangers:
        yield warning("machine-ports", f"{_STRANGER} listens on {' and on '.join(strangers)}")
    else:
        yield ok("machine-ports", ", ".join(f"{port}: {listener or 'free'}" for port, listener in listeners.items()))


def _listener(host: str, port: int, path: str) -> str | None:
    """Who answers there; None: nobody."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.connect()
    except OSError:
        return None
    try:
        connection.request("GET", path)
        return _known(connection.getresponse().read(4096))
    except (OSError, http.client.HTTPException):
        return _STRANGER
    finally:
        connection.close()


def _known(body: bytes) -> str:
    """By what the root of our API says, and the health check of Flower."""
    if body.strip() == b"OK":
        return "Flower"
    try:
        return "pagemill" if json.loads(body).get("name") == "pagemill" else _STRANGER
    except (ValueError, AttributeError):
        return _STRANGER
