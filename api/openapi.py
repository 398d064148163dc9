"""The OpenAPI 3.1 document: what FastAPI derives, with our problems in place of its own validation errors.

`python -m api.openapi` writes api/openapi.json, which a test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.problems import ProblemBody
from api.shapes import JobChange, JsonSubmission, NewUpload
from jobs.options import JobOptions
from jobs.results import DocumentResult, PageEntry

PATH = Path(__file__).with_name("openapi.json")

# Bodies that are read or written as streams, so that FastAPI does not see their models.
_STREAMED: tuple[type[BaseModel], ...] = (
    ProblemBody, JobOptions, JsonSubmission, NewUpload, JobChange, DocumentResult, PageEntry,
)  # fmt: skip
_REF = "#/components/schemas/{model}"
_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`pagemill keys create`). On a loopback address none is needed until one was made.",
}
_METHODS = frozenset({"get", "post", "put", "patch", "delete"})


def install(app: FastAPI) -> None:
    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        webhooks=app.webhooks.routes,
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_streamed_schemas())
    document["components"]["securitySchemes"] = {"key": _SCHEME}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for method, operation in path.items():
            if method in _METHODS:
                _without_validation_error(operation["responses"])
                if "401" in operation["responses"]:
                    operation["security"] = [{"key": []}, {}]
    for event in document["webhooks"].values():
        _without_validation_error(event["post"]["responses"])
    return document


def _streamed_schemas() -> dict[str, Any]:
    _, schema = models_json_schema([(model, "serialization") for model in _STREAMED], ref_template=_REF)
    found: dict[str, Any] = schema["$defs"]
    body = found.pop(ProblemBody.__name__, None)
    if body is not None:
        found["Problem"] = body
    return found


def _without_validation_error(responses: dict[str, Any]) -> None:
    """FastAPI adds a 422 of its own to every route with a parameter; ours are 400, and only some routes have a 422."""
    schema = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if schema.get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]


def render() -> bytes:
    """The committed form, with a version that does not change with every release."""
    from api.main import create_app

    document = create_app().openapi() | {}
    document["info"] = document["info"] | {"version": "1"}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS)


if __name__ == "__main__":
    PATH.write_bytes(render())
