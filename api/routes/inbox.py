"""Event messages of S3 servers: hints which keys to look at before the next sweep."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.security.utils import get_authorization_scheme_param

from api.auth import require
from api.deps import ApiDep, principal_of
from api.problems import documented
from api.shapes import EventsTaken
from jobs.errors import FileTooLarge, InvalidRequest
from jobs.hints import Hint, parse_hints
from jobs.models import Scope

router = APIRouter(prefix="/inbox", tags=["inbox"], responses=documented(401, 403))

MAX_BYTES = 1 << 20
"""Of a message. One of AWS has one record and about 1 kB; others gather some."""

_BODY = {
    "requestBody": {
        "required": True,
        "description": "S3 event JSON as AWS, MinIO, Ceph or SeaweedFS send it, or an EventBridge event of S3.",
        "content": {"application/json": {"schema": {}}},
    }
}


async def _event_sender(api: ApiDep, request: Request) -> None:
    """PAGEMILL_INBOX_EVENTS_TOKEN, or a key with the scope `admin`."""
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    own = api.events_token
    if own is not None and scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), own.encode()):
        return
    require(await principal_of(api, request), [Scope.ADMIN])


async def _hints(api: ApiDep, request: Request) -> list[Hint]:
    """What the body names in our drop folders. Raises InvalidRequest, FileTooLarge."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            raise FileTooLarge("an event message is too long", where="body", limit=MAX_BYTES)
    try:
        found = parse_hints(bytes(body))
    except ValueError as error:
        raise InvalidRequest(f"an event message is JSON: {error}", where="body") from None
    return [hint for hint in found if any(inbox.holds(hint.bucket, hint.key) for inbox in api.inboxes)]


@router.post(
    "/events",
    status_code=202,
    dependencies=[Depends(_event_sender)],
    responses=documented(400, 413),
    openapi_extra=_BODY,
)
async def events(api: ApiDep, hints: Annotated[list[Hint], Depends(_hints)]) -> EventsTaken:
    """Have the objects that an S3 event message names looked at now.

    A message is a hint, never an order: keys outside of the drop folders are ignored, a message that is lost, doubled
    or forged harms nothing, and where the broker is away or busy (`accepted` is 0) the next sweep finds the objects.
    """
    if not hints:
        return EventsTaken(accepted=0)
    return EventsTaken(accepted=await api.hints.pass_on(hints))
