"""The files of a job."""

from __future__ import annotations

from fastapi import APIRouter

from api import examples
from api.deps import ApiDep, DocumentId, FailureCode, JobId
from api.paging import Cursor, Limit, cut, number_cursor
from api.problems import documented
from api.shapes import DocumentList
from jobs import lifecycle
from jobs.models import DocumentPublic
from jobs.store import reading

router = APIRouter(prefix="/jobs/{job}/documents", tags=["documents"])


@router.get("", responses=documented(400, 404, 410))
def list_documents(api: ApiDep, job: JobId, limit: Limit = 100, cursor: Cursor = None) -> DocumentList:
    """Documents in the order they were sent."""
    with api.database.read() as session:
        found = reading.list_documents(session, job, limit=limit + 1, after=number_cursor(cursor, -1))
    items, more = cut(found, limit)
    return DocumentList(items=items, next_cursor=str(items[-1].position) if more else None)


@router.get(
    "/{document}",
    responses={200: {"content": {"application/json": {"example": examples.DOCUMENT}}}, **documented(404, 410)},
)
def get_document(api: ApiDep, job: JobId, document: DocumentId) -> DocumentPublic:
    """One document with its counts, and its error where it could not be read."""
    with api.database.read() as session:
        return reading.get_document(session, job, document)


@router.post("/{document}/retry", responses=documented(400, 404, 410))
def retry(api: ApiDep, job: JobId, document: DocumentId, code: FailureCode = None) -> DocumentPublic:
    """Run the failed pages of one document again, or all of it where it failed as a whole; with `code` what failed with
    it. Changes nothing where nothing did."""
    lifecycle.retry(api.database, api.blobs, job, document=document, code=code)
    with api.database.read() as session:
        return reading.get_document(session, job, document)
