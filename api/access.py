"""A line about every request, its id, and its span: the outermost of what a request passes.

The line names the route and the ids in its path, never the path or the query as they came: those hold what users typed.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs import context, tracing
from jobs.ids import is_id

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_PREFIX = "/v1"
_QUIET = "/v1/health/"
"""Asked every few seconds by whatever watches the server: no news, told only at debug level."""
_PREFIXES = {"job": "job", "document": "doc", "worker": "wrk", "event": "evt"}
_CUT_OFF = 499
"""Where the client went away before there was an answer; no answer has this status."""


class AccessLog:
    """ASGI middleware; touches the head of an answer only, so bodies still stream."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope["request_id"] = request = _request_id(headers.get(HEADER))
        # For the rest of this task, which is this request's own: what the server says of an error comes later still.
        context.begin(request=request)
        span = tracing.request(scope["method"], headers)
        begun, status = time.monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request
            await send(message)

        try:
            with tracing.within(span):
                await self._app(scope, receive, send_with_id)
        except Exception:
            status = status or 500
            raise
        finally:
            context.note(**_ids(scope))
            _tell(scope, status or _CUT_OFF, time.monotonic() - begun)
            tracing.answered(span, f"{scope['method']} {_route(scope)}", status or _CUT_OFF, context.current())


def _request_id(given: str | None) -> str:
    """The client's own where it sent one that can stand in a log, or a new one."""
    return given if given is not None and _ID.fullmatch(given) else uuid4().hex


def _route(scope: Scope) -> str:
    """`/v1/jobs/{job}`; nothing where there is no such route. Some versions of FastAPI tell it without the prefix."""
    route = str(getattr(scope.get("route"), "path", ""))
    below = scope["path"].startswith(f"{_PREFIX}/") and not route.startswith(f"{_PREFIX}/")
    return f"{_PREFIX}{route}" if route and below else route


def _ids(scope: Scope) -> dict[str, Any]:
    """Those in the path that have an id's form, and the page."""
    given = scope.get("path_params", {})
    found = {n: given[n] for n, prefix in _PREFIXES.items() if n in given and is_id(str(given[n]), prefix)}
    page = str(given.get("number", ""))
    return found | ({"page": int(page)} if page.isascii() and page.isdecimal() and len(page) < 9 else {})


def _tell(scope: Scope, status: int, seconds: float) -> None:
    route = _route(scope)
    level = logging.DEBUG if route.startswith(_QUIET) and status < 500 else logging.INFO
    if not log.isEnabledFor(level):
        return
    method = scope["method"] if scope["method"].isalpha() else "?"
    extra = {"action": "request", "method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
    client = scope.get("client")
    log.log(
        level, "%s %s: %d", method, route or "(no such route)", status, extra={**extra, "client": client and client[0]}
    )
