"""Pages of a document: their states, results, images, and all that are finished as a stream."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api import examples, results
from api.deps import Api, ApiDep, DocumentId, FailureCode, JobId, identify
from api.filters import only
from api.images import PageAddress
from api.ndjson import page_lines
from api.paging import Cursor, Limit, cut, number_cursor
from api.problems import StoredProblem, documented
from api.replies import REVALIDATE, UNCHANGED, etag, json_reply, not_modified
from api.shapes import PageList
from jobs.blobs import page_key
from jobs.errors import InternalError, NotFound, ResultNotReady
from jobs.models import PagePublic, PageState
from jobs.results import PageResult
from jobs.store import finding, reading

router = APIRouter(prefix="/jobs/{job}/documents/{document}", tags=["pages"])

FALLBACK_DPI = 144
"""Of images of pages that no engine has read yet."""

PageNumber = Annotated[int, Path(ge=1, le=10_000_000, description="1-based.")]


@router.get(
    "/pages",
    response_model=PageList,
    responses={**UNCHANGED, **documented(400, 404, 410)},
    dependencies=[only("limit", "cursor", "state", "code")],
)
def list_pages(
    api: ApiDep,
    request: Request,
    job: JobId,
    document: DocumentId,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: Annotated[list[PageState] | None, Query(description="Only these; may be given several times.")] = None,
    code: FailureCode = None,
) -> Response:
    """Pages by number, with state and error; not their text."""
    after = number_cursor(cursor, 0)
    with api.database.read() as session:
        reading.get_document(session, job, document)
        found = reading.list_pages(
            session, document, limit=limit + 1, after=after, only=finding.page_filter(state or (), code)
        )
    items, more = cut(found, limit)
    return json_reply(request, PageList(items=items, next_cursor=str(items[-1].number) if more else None))


def _page(api: Api, job: str, document: str, number: int) -> PagePublic:
    """Raises NotFound; for a page of a document that is still being split, ResultNotReady."""
    with api.database.read() as session:
        owner = reading.get_document(session, job, document)
        try:
            return reading.get_page(session, document, number)
        except NotFound:
            if owner.sealed:
                raise
            raise ResultNotReady("the document is still being split into pages", where=document) from None


def _finished_page(api: Api, job: str, document: str, number: int) -> PagePublic:
    """A succeeded page. Raises ResultNotReady, StoredProblem for a failed one, NotFound for a canceled one."""
    page = _page(api, job, document, number)
    if page.state is PageState.SUCCEEDED:
        return page
    where = f"{document}/{number}"
    if page.state is PageState.FAILED and page.error is not None:
        raise StoredProblem(page.error)
    if page.state in (PageState.PENDING, PageState.RUNNING):
        raise ResultNotReady(f"page {number} is {page.state.value}", where=where)
    raise NotFound(f"page {number} was canceled before it was read", where=where)


@router.get(
    "/pages/{number}",
    response_model=PageResult,
    responses={
        200: {"content": {"application/json": {"example": examples.PAGE}}},
        **documented(400, 404, 409, 410, 422),
    },
)
def get_page(api: ApiDep, request: Request, job: JobId, document: DocumentId, number: PageNumber) -> Response:
    """The page as the engine read it; readable while the rest of the document still runs.

    For a failed page the answer is its problem.
    """
    page = _finished_page(api, job, document, number)
    tag = etag("page", document, number, page.attempt)
    if (known := not_modified(request, tag)) is not None:
        return known
    body = results.read_blob(api, job, page_key(job, document, number, page.attempt))
    return Response(body, media_type="application/json", headers={"ETag": tag, "Cache-Control": REVALIDATE})


@router.get(
    "/pages/{number}/image",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        **documented(400, 404, 410, 422, 429),
    },
)
async def get_page_image(
    api: ApiDep,
    request: Request,
    job: JobId,
    document: DocumentId,
    number: PageNumber,
    dpi: Annotated[
        int | None, Query(ge=36, le=600, description="By default that of the page's result, so that boxes fit.")
    ] = None,
) -> Response:
    """The page as JPEG, made on demand. A very large page comes scaled down; where the result's `image.rotation` is
    not 0, turn the image by so many degrees clockwise to lay the boxes over it."""
    page, address = await anyio.to_thread.run_sync(lambda: _address(api, job, document, number, dpi))
    tag = etag("image", document, number, page.attempt, address.dpi)
    if (known := not_modified(request, tag)) is not None:
        return known
    body = await api.images.jpeg(address)
    return Response(body, media_type="image/jpeg", headers={"ETag": tag, "Cache-Control": REVALIDATE})


def _address(api: Api, job: str, document: str, number: int, dpi: int | None) -> tuple[PagePublic, PageAddress]:
    page = _page(api, job, document, number)
    with api.database.read() as session:
        source = reading.get_source(session, document)
    if source.password is not None and api.vault is None:
        raise InternalError("the document's password cannot be opened: this server has no PAGEMILL_SECRET_KEY")
    image = None
    if page.state is PageState.SUCCEEDED:
        raw = results.read_blob(api, job, page_key(job, document, number, page.attempt))
        image = PageResult.model_validate_json(raw).image
    password = api.vault.open(source.password) if source.password is not None and api.vault is not None else None
    address = PageAddress(
        source_key=source.key,
        media_type=source.media_type,
        number=number,
        dpi=dpi or (round(image.dpi) if image else FALLBACK_DPI),
        password=password,
    )
    return page, address


@router.get(
    "/pages.ndjson",
    response_class=Response,
    responses={
        200: {"content": {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/PageEntry"}}}},
        **documented(400, 404, 410),
    },
)
async def stream_pages(
    api: ApiDep,
    request: Request,
    job: JobId,
    document: DocumentId,
    after: Annotated[int, Query(ge=0, description="Only pages with a higher number.")] = 0,
    follow: Annotated[bool, Query(description="Stay until the document has ended.")] = False,
) -> Response:
    """One line a finished page (`PageEntry`), while the document still runs.

    Without `follow`: what is finished now, by number. With it, further pages as they finish, which is not always in
    order. To resume, pass as `after` the number before the first page you miss; pages you have may come again.
    """
    lines = page_lines(api, job, document, after, follow, partial(identify, api, request))
    await anext(lines)  # the empty first piece: errors become an answer, not a broken stream
    return StreamingResponse(lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})
