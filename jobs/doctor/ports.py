"""Whether what listens on our port is ours."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

from jobs.doctor.findings import Finding, ok, warning
from jobs.doctor.scene import Scene
from jobs.settings import ApiSettings

PATIENCE = 3.0
_STRANGER = "another program"
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, nothing listens there


def ports(scene: Scene) -> Iterator[Finding]:
    api = scene.of(ApiSettings)
    host = "127.0.0.1" if api.api_host in _EVERYWHERE else api.api_host.strip("[]")
    listener = _listener(host, api.api_port)
    if listener == _STRANGER:
        yield warning("machine-ports", f"{_STRANGER} listens on port {api.api_port}", where="PAGEMILL_API_PORT")
    else:
        yield ok("machine-ports", f"port {api.api_port} of the API: {listener or 'free'}")


def _listener(host: str, port: int) -> str | None:
    """Who answers there; None: nobody."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.connect()
    except OSError:
        return None
    try:
        connection.request("GET", "/")
        return _known(connection.getresponse().read(4096))
    except TimeoutError:
        return "somebody who does not answer"
    except (OSError, http.client.HTTPException):
        return _STRANGER
    finally:
        connection.close()


def _known(body: bytes) -> str:
    """By what the root of our API says."""
    try:
        return "pagemill" if json.loads(body).get("name") == "pagemill" else _STRANGER
    except (ValueError, AttributeError):
        return _STRANGER
