"""The files of a job."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api import examples
from api.deps import ApiDep, DocumentId, FailureCode, JobId
from api.filters import States, only
from api.paging import Cursor, Limit, cut, number_cursor
from api.problems import documented
from api.replies import UNCHANGED, json_reply
from api.shapes import DocumentList
from jobs import lifecycle
from jobs.models import DocumentPublic
from jobs.store import finding, reading

router = APIRouter(prefix="/jobs/{job}/documents", tags=["documents"])


@router.get(
    "",
    response_model=DocumentList,
    responses={**UNCHANGED, **documented(400, 404, 410)},
    dependencies=[only("limit", "cursor", "state", "code")],
)
def list_documents(
    api: ApiDep,
    request: Request,
    job: JobId,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: States = None,
    code: FailureCode = None,
) -> Response:
    """Documents in the order they were sent; with `code` those that failed with it, as a whole or with a page."""
    after = number_cursor(cursor, -1)
    with api.database.read() as session:
        found = reading.list_documents(
            session, job, limit=limit + 1, after=after, only=finding.document_filter(state or (), code)
        )
    items, more = cut(found, limit)
    return json_reply(request, DocumentList(items=items, next_cursor=str(items[-1].position) if more else None))


@router.get(
    "/{document}",
    response_model=DocumentPublic,
    responses={
        200: {"content": {"application/json": {"example": examples.DOCUMENT}}},
        **UNCHANGED,
        **documented(404, 410),
    },
)
def get_document(api: ApiDep, request: Request, job: JobId, document: DocumentId) -> Response:
    """One document with its counts, and its error where it could not be read."""
    with api.database.read() as session:
        found = reading.with_output(session, reading.get_document(session, job, document))
    return json_reply(request, found)


@router.post("/{document}/retry", responses=documented(400, 404, 410))
def retry(api: ApiDep, job: JobId, document: DocumentId, code: FailureCode = None) -> DocumentPublic:
    """Run the failed pages of one document again, or all of it where it failed as a whole; with `code` what failed with
    it. Changes nothing where nothing did."""
    lifecycle.retry(api.database, api.blobs, job, document=document, code=code)
    with api.database.read() as session:
        return reading.get_document(session, job, document)
