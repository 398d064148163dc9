"""Every error as `application/problem+json` (RFC 9457): our own, what the router refuses, what breaks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from api.access import HEADER
from api.complaints import complaint
from api.headers import ALWAYS
from jobs.errors import InternalError, InvalidRequest, NotFound, PagemillError, Problem, RequestError, ResultNotReady

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 5
"""Seconds, where an error that asks for patience names none."""
_PATIENT = frozenset({429, 503})
"""Statuses that always say when to come again."""


class MethodNotAllowed(RequestError):
    """This method does not exist here."""

    code, status = "method_not_allowed", 405


class ProblemBody(BaseModel):
    """What the documentation shows: jobs.errors.Problem with an example."""

    model_config = ConfigDict(
        title="Problem",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:pagemill:error:unsupported_type",
                    "title": "The file is of no supported type",
                    "status": 415,
                    "detail": "the first bytes are those of no supported type",
                    "code": "unsupported_type",
                    "retryable": False,
                    "where": "notes.docx",
                    "limit": None,
                    "actual": None,
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    where: str | None = None
    limit: int | float | str | None = None
    actual: int | float | str | None = None


_WHEN: dict[int, str] = {
    400: "`invalid_request`: a field, parameter or header is wrong; `where` names it",
    401: "`unauthorized`: a valid API key is needed",
    403: "`forbidden`: this key has not the scope, or the request comes from a strange page",
    404: "`not_found`: nothing under this id",
    406: "`not_acceptable`: none of the accepted formats can be produced",
    409: "`result_not_ready`: still queued or running; see Retry-After",
    410: "`gone`: it was deleted",
    413: "`file_too_large`",
    415: "`unsupported_type`, by the first bytes, never by the name",
    422: "`empty_file`, `corrupt_file`, `upload_incomplete` and the other codes of documents and pages",
    429: "`rate_limited`, `queue_full` or `quota_exceeded`; see Retry-After",
    500: "`internal_error`",
    503: "`database_unavailable`, `storage_unavailable` or `storage_full`; see Retry-After",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these, besides 500 and 503."""
    retry = {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}}
    challenge = {"headers": {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "`Bearer`."}}}
    return {
        status: {
            "description": _WHEN[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **(retry if status in (409, 429, 503) else challenge if status == 401 else {}),
        }
        for status in sorted({*statuses, 500, 503})
    }


def problem_response(error: PagemillError, extra: Mapping[str, Any] | None = None) -> Response:
    """The answer to an error; `extra` are further members of the problem object (RFC 9457, 3.2)."""
    headers = {"Cache-Control": "no-store"}
    if (wait := _retry_after(error)) is not None:
        headers["Retry-After"] = str(wait)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="pagemill"'
    return _response(error.problem(), headers, extra)


class StoredProblem(Exception):
    """The answer is the problem that stands in the row of a failed document or page."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def stored_problem(problem: Problem) -> Response:
    """The answer where a failed document or page is asked for: the very problem that stands in its row."""
    headers = {"Cache-Control": "no-store"}
    if problem.status in _PATIENT:  # a day's quota that was used up
        headers["Retry-After"] = str(RETRY_AFTER)
    return _response(problem, headers)


def _response(problem: Problem, headers: Mapping[str, str], extra: Mapping[str, Any] | None = None) -> Response:
    body = problem.model_dump() | dict(extra or {})
    return Response(orjson.dumps(body), problem.status, dict(headers), MEDIA_TYPE)


def _retry_after(error: PagemillError) -> int | None:
    if error.retry_after is not None:
        return max(1, error.retry_after)
    if isinstance(error, ResultNotReady):
        return 2
    return RETRY_AFTER if error.status in _PATIENT else None


def invalid(error: ValidationError, where: str) -> InvalidRequest:
    """The first complaint of pydantic about an input, placed: `options.dpi`."""
    return _first_complaint(error.errors(include_url=False), where)


def _first_complaint(complaints: Sequence[Any], where: str) -> InvalidRequest:
    first = complaints[0]
    place = ".".join(str(part) for part in (where, *first["loc"]) if part != "")
    return InvalidRequest(f"{place}: {complaint(first)}", where=place)


def install(app: FastAPI) -> None:
    app.add_exception_handler(PagemillError, _on_pagemill_error)
    app.add_exception_handler(StoredProblem, _on_stored_problem)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_pagemill_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PagemillError)
    if error.status >= 500:
        extra = {"action": "request_failed", "code": error.code}
        logger.warning("%s: %s", error.code, error.detail, extra=extra)
    return problem_response(error)


async def _on_stored_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StoredProblem)
    return stored_problem(error.problem)


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(_first_complaint(error.errors(), ""))


async def _on_http_error(request: Request, error: Exception) -> Response:
    """What Starlette's router raises: no such path, no such method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_response(NotFound(f"there is no {request.url.path}", where=request.url.path))
    if error.status_code == 405:
        response = problem_response(MethodNotAllowed(f"{request.method} does not exist here", where=request.url.path))
        response.headers["Allow"] = ", ".join(_methods(request.app, request.url.path))
        return response
    if error.status_code < 500:
        return problem_response(InvalidRequest(error.detail))
    return problem_response(InternalError())


def _methods(app: FastAPI, path: str) -> list[str]:
    """All methods of a path: the router knows only those of the first route that fits."""
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return sorted({m.upper() for known, found in paths.items() if compile_path(known)[0].match(path) for m in found})


async def _on_unexpected(request: Request, _error: Exception) -> Response:
    """The edge of a request, outside of all middleware. Starlette raises the error again afterwards, the server logs it
    with its traceback and closes the connection; the client learns nothing of it."""
    response = problem_response(InternalError())
    response.headers.update({**ALWAYS, "Connection": "close", HEADER: request.scope.get("request_id", "")})
    return response
