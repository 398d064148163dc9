"""Large files: put by a link straight into the object store, then submitted by id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.requests import ClientDisconnect

from api.bodies import JsonBody, json_body
from api.deps import Api, ApiDep, PrincipalDep
from api.problems import documented
from api.shapes import NewUpload, UploadPlace
from api.uploads import limits_of
from jobs.blobs import BlobWriter
from jobs.errors import FileTooLarge, NotFound, UploadIncomplete
from jobs.ids import is_id, new_upload_id
from jobs.names import display_name
from jobs.store import uploads
from jobs.store.uploads import Place

router = APIRouter(prefix="/uploads", tags=["uploads"])

LINK_SECONDS = 24 * 3600
"""For which a link is good. What was put and not submitted is swept two days after."""

_read_upload = JsonBody(NewUpload)


@router.post(
    "",
    status_code=201,
    responses=documented(400, 413, 422),
    openapi_extra=json_body(NewUpload, {"name": "archive.pdf", "bytes": 1_500_000_000}),
)
async def create(api: ApiDep, principal: PrincipalDep, request: Request) -> UploadPlace:
    """A link for one file. It goes past this server where the store can make links."""
    wanted = await _read_upload(request)
    limit = limits_of(api, principal.limits).max_file_bytes
    if wanted.bytes > limit:
        raise FileTooLarge(f"larger than {limit} bytes", limit=limit, actual=wanted.bytes)
    return await anyio.to_thread.run_sync(_place, api, principal.owner, wanted)


def _place(api: Api, owner: str, wanted: NewUpload) -> UploadPlace:
    upload = new_upload_id()
    key = f"uploads/{datetime.now(UTC):%Y-%m-%d}/{upload}/file"
    with api.database.write() as session:
        place = uploads.insert(
            session, upload=upload, owner=owner, key=key, name=display_name(wanted.name, "document"),
            seconds=LINK_SECONDS,
        )  # fmt: skip
    link = api.blobs.presign_put(key, LINK_SECONDS, wanted.bytes)
    return UploadPlace(
        id=upload,
        name=place.name,
        url=link or f"/v1/uploads/{upload}",
        headers={"Content-Length": str(wanted.bytes)},
        expires_at=place.expires_at,
    )


async def _upload_id(upload: Annotated[str, Path(description="`upl_…`")]) -> str:
    if not is_id(upload, "upl"):
        raise NotFound(f"there is no upload {upload[:80]!r}", where="upload")
    return upload


@router.put(
    "/{upload}",
    status_code=204,
    responses=documented(400, 404, 413, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put(
    api: ApiDep, principal: PrincipalDep, request: Request, upload: Annotated[str, Depends(_upload_id)]
) -> Response:
    """Put the file, where the link of `POST /v1/uploads` points here. Putting again replaces it until it is
    submitted."""
    place = await anyio.to_thread.run_sync(_found, api, upload, principal.owner)
    writer = _LimitedWriter(api, place, limits_of(api, principal.limits).max_file_bytes)
    try:
        async for chunk in request.stream():
            await anyio.to_thread.run_sync(writer.write, chunk, limiter=api.upload_threads)
    except ClientDisconnect as gone:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(writer.abort, gone)
        raise UploadIncomplete("the client went away in the middle of the upload") from None
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(writer.abort, error)
        raise
    await anyio.to_thread.run_sync(writer.close, limiter=api.upload_threads)
    return Response(status_code=204)


def _found(api: Api, upload: str, owner: str) -> Place:
    with api.database.read() as session:
        return uploads.get(session, upload, owner)


class _LimitedWriter:
    """An object of bounded size on its way into the store. Blocking; used by one thread at a time."""

    def __init__(self, api: Api, place: Place, limit: int) -> None:
        self._writer = api.blobs.writer(place.key)
        self._opened: BlobWriter | None = None
        self._limit = limit
        self._size = 0

    def write(self, data: bytes) -> None:
        """Raises FileTooLarge, ServiceError."""
        if not data:  # how a body ends
            return
        self._size += len(data)
        if self._size > self._limit:
            raise FileTooLarge(f"larger than {self._limit} bytes", limit=self._limit)
        if self._opened is None:
            self._opened = self._writer.__enter__()
        self._opened.write(data)

    def close(self) -> None:
        """Raises UploadIncomplete where nothing came."""
        if self._opened is None:
            raise UploadIncomplete("no file was sent", where="body")
        self._opened = None
        self._writer.__exit__(None, None, None)

    def abort(self, reason: BaseException) -> None:
        if self._opened is not None:
            self._opened = None
            self._writer.__exit__(type(reason), reason, None)
