"""JSON bodies, read after the key was asked for and no further than they may be long.

FastAPI reads a body that a route declares before anything else, whole and from anybody. So no route here declares one:
it takes `JsonBody(Model)` as a dependency and describes it with `json_body(Model)` (tests/unit/test_api_openapi.py).
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from api.problems import invalid
from jobs.errors import InvalidRequest, UploadIncomplete

MAX_BYTES = 64 * 1024
M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, limit: int = MAX_BYTES) -> bytes:
    """The body. Raises InvalidRequest as soon as it is longer than `limit` bytes, UploadIncomplete."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise InvalidRequest("the body is too long", where="body", limit=limit)
    except ClientDisconnect:
        raise UploadIncomplete("the client went away in the middle of the body") from None
    return bytes(body)


class JsonBody(Generic[M]):
    """A callable that reads the body as this model. Await it where the key is known."""

    def __init__(self, model: type[M]) -> None:
        self._model = model

    async def __call__(self, request: Request) -> M:
        """Raises InvalidRequest naming the field, UploadIncomplete."""
        try:
            return self._model.model_validate_json(await read_body(request))
        except ValidationError as error:
            raise invalid(error, "body") from None


def json_body(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads this model. The model must be among `api.openapi`'s own."""
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
