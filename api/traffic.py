"""Requests as Prometheus counts them: by the route's template, never by what a client wrote into the path."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs import metrics

UNROUTED = "none"
VERSIONED = "/v1"
LEFT = "499"
"""Status of a request whose client left before it was answered, as nginx has it."""
BROKEN = "500"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traffic:
    """The counters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = metrics.HTTP_REQUESTS.counter(registry)
        self.seconds = metrics.HTTP_SECONDS_.histogram(registry)
        self.received = metrics.HTTP_BODY_BYTES.counter(registry)


class TrafficMeter:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(receive, send)
        try:
            await self._app(scope, request.receive, request.send)
        except Exception:
            request.broke()
            raise
        finally:
            request.count(self._traffic, scope)


class _Request:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._began = time.perf_counter()
        self._seconds: float | None = None
        self._status = LEFT
        self._bytes = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = str(message["status"])
            self._seconds = time.perf_counter() - self._began
        await self._send(message)

    def broke(self) -> None:
        """An error that nobody expected: the answer to it, a 500, is given further out and never passes here."""
        if self._seconds is None:
            self._status, self._seconds = BROKEN, time.perf_counter() - self._began

    def count(self, traffic: Traffic, scope: Scope) -> None:
        route = _template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        traffic.requests.labels(route, method, self._status).inc()
        if self._seconds is not None:
            traffic.seconds.labels(route, method).observe(self._seconds)
        if self._bytes:
            traffic.received.labels(route, method).inc(self._bytes)


def _template(scope: Scope) -> str:
    """The path of the route that took the request, with its parameters' names: routing leaves it in the scope. FastAPI
    says it without the prefix under which a router was included (0.165) or with it (before)."""
    route: Any = scope.get("route")
    path = getattr(route, "path", None)
    if not isinstance(path, str):
        return UNROUTED
    return path if path.startswith(VERSIONED) or not scope["path"].startswith(VERSIONED) else f"{VERSIONED}{path}"
