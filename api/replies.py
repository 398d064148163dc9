"""Answers that are results: typed, tagged, named, never sniffed and never HTML."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from api.names import content_disposition
from api.negotiate import ZIP, Representation, has_already

REVALIDATE = "private, no-cache"
"""Keep it, but ask each time: a retry changes results and a delete ends them."""


UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already (If-None-Match)."}}
"""Of the `responses` of a route whose answers have a tag."""


def etag(*parts: object) -> str:
    """A strong tag from what the bytes depend on."""
    seed = hashlib.sha256()
    for part in parts:
        seed.update(hashlib.sha256(part if isinstance(part, bytes) else str(part).encode()).digest())
    return f'"{seed.hexdigest()[:32]}"'


def json_reply(request: Request, body: BaseModel) -> Response:
    """The body with its tag, or 304 where the client has it already."""
    content = body.model_dump_json().encode()
    tag = etag(content)
    if (known := not_modified(request, tag)) is not None:
        return known
    return Response(content, media_type="application/json", headers={"ETag": tag, "Cache-Control": REVALIDATE})


def not_modified(request: Request, tag: str, **headers: str) -> Response | None:
    """304 where the client has it already. Raised nothing, read nothing."""
    if has_already(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": REVALIDATE, **headers})
    return None


def result_headers(tag: str, representation: Representation, filename: str) -> dict[str, str]:
    kind = "attachment" if representation is ZIP else "inline"
    return {
        "ETag": tag,
        "Cache-Control": REVALIDATE,
        "Vary": "Accept",
        "Content-Type": representation.header,
        "Content-Disposition": content_disposition(kind, filename),
    }


def stream_reply(chunks: Iterator[bytes], headers: dict[str, str]) -> Response:
    """Chunks are made in a thread, one at a time, as fast as the client takes them."""
    return StreamingResponse(chunks, headers=headers)
