"""Finished documents and jobs: Markdown, JSON, text, zip."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from api import examples, results
from api.archive import zip_stream
from api.deps import Api, ApiDep, DocumentId, JobId
from api.negotiate import ALL, JSON, MARKDOWN, TEXT, ZIP, Representation, choose
from api.problems import documented
from api.replies import REVALIDATE, UNCHANGED, etag, not_modified, result_headers, stream_reply
from jobs.models import JobPublic

router = APIRouter(prefix="/jobs/{job}", tags=["results"])

Wanted = Annotated[str | None, Query(alias="format", description="markdown, json, text or zip; goes before Accept.")]
Accept = Annotated[str | None, Header()]

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Links of figures are relative to this address.",
        "content": {
            MARKDOWN.media_type: {"schema": {"type": "string"}, "example": examples.MARKDOWN},
            JSON.media_type: {"schema": {"$ref": "#/components/schemas/DocumentResult"}},
            TEXT.media_type: {"schema": {"type": "string"}},
            ZIP.media_type: _BINARY,
        },
    },
    **UNCHANGED,
    # 413, 415, 422 and 429 of a document that failed: its own problem.
    **documented(400, 404, 406, 409, 410, 413, 415, 422),
}


@router.get("/documents/{document}/result", response_class=Response, responses=_RESPONSES)
def get_document_result(
    api: ApiDep, request: Request, job: JobId, document: DocumentId, wanted: Wanted = None, accept: Accept = None
) -> Response:
    """The document's text, once it has ended. Markdown where the client does not mind."""
    representation = choose(wanted, accept, ALL)
    return _document_reply(api, request, results.finished_document(api, job, document), representation)


def _document_reply(api: Api, request: Request, finished: results.Finished, representation: Representation) -> Response:
    tag = etag(finished.version, representation.format)
    place = f"/v1/jobs/{finished.document.job_id}/documents/{finished.document.id}/result"
    if (known := not_modified(request, tag)) is not None:
        return known
    if representation is ZIP:
        chunks = results.primed(zip_stream(results.document_entries(api, finished)))
    else:
        chunks = results.open_result(api, finished, representation)
    headers = result_headers(tag, representation, finished.document.name + representation.suffix)
    return stream_reply(chunks, headers | {"Content-Location": f"{place}?format={representation.format}"})


@router.get("/result", response_class=Response, responses=_RESPONSES)
def get_job_result(api: ApiDep, request: Request, job: JobId, wanted: Wanted = None, accept: Accept = None) -> Response:
    """The result of the job's only document; of several documents a zip, or as JSON the job's manifest (job.json)."""
    finished = results.finished_job(api, job)
    sole = results.sole_document(api, job)
    if sole is not None and (representation := choose(wanted, accept, ALL)) is not ZIP:
        return _document_reply(api, request, results.finished_document(api, job, sole.id), representation)
    representation = ZIP if sole is not None else choose(wanted, accept, (JSON, ZIP), _SEVERAL)
    return _job_reply(api, request, finished, representation)


_SEVERAL = "Markdown and text of several documents come in a zip, or one by one under …/documents/{document}/result"


def _job_reply(api: Api, request: Request, job: JobPublic, representation: Representation) -> Response:
    tag = etag(job.id, job.state.value, job.finished_at, representation.format)
    if (known := not_modified(request, tag)) is not None:
        return known
    if representation is ZIP:
        chunks = results.primed(zip_stream(results.job_entries(api, job)))
    else:
        chunks = results.open_manifest(api, job.id)
    return stream_reply(chunks, result_headers(tag, representation, job.id + representation.suffix))


@router.get(
    "/documents/{document}/figures/{name}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": _BINARY}}, **UNCHANGED, **documented(400, 404, 410)},
)
def get_figure(
    api: ApiDep, request: Request, job: JobId, document: DocumentId, name: Annotated[str, Path(max_length=255)]
) -> Response:
    """A figure, where the document's Markdown looks for it."""
    body = results.read_figure(api, job, document, name)
    tag = etag(document, name, body)
    if (known := not_modified(request, tag)) is not None:
        return known
    return Response(body, media_type="image/jpeg", headers={"ETag": tag, "Cache-Control": REVALIDATE})
