"""Submissions and their lives."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, get_args

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from api import examples
from api.deps import Api, ApiDep, FailureCode, JobId, PrincipalDep
from api.filters import JOB_PARAMETERS, JobFilterDep, only
from api.following import ended_in_time, is_over, job_answer, job_events, look
from api.intake import Intake
from api.paging import Cursor, Limit, id_cursor
from api.prefer import MAX_WAIT
from api.problems import documented
from api.replies import UNCHANGED, json_reply
from api.shapes import JobChange, JobList
from api.uploads import Reception, Submission
from jobs import lifecycle
from jobs.errors import RequestError
from jobs.models import JobPublic
from jobs.options import TextSource
from jobs.store import finding

router = APIRouter(prefix="/jobs", tags=["jobs"])


_FILE = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Several files as multipart/form-data, or one file as the raw body. Its first bytes decide what "
        "a file is, never its name. A bad file becomes the error of its document while its neighbours go on; when all "
        "are bad, the request is refused with the first one's problem.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "items": _FILE, "minItems": 1},
                        "options": {"$ref": "#/components/schemas/JobOptions"},
                    },
                },
                "encoding": {"options": {"contentType": "application/json"}},
                "example": {"file": ["(binary)"], "options": examples.OPTIONS},
            },
            **{kind: {"schema": _FILE} for kind in ("application/pdf", "image/*", "application/octet-stream")},
        },
    },
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": f"Raw body only: {text}"}
        for name, schema, text in (
            ("name", {"type": "string"}, "the file's name, for display."),
            ("engine", {"type": "string"}, "as in `options`."),
            ("pages", {"type": "string", "examples": ["1-3,8-"]}, "as in `options`."),
            ("dpi", {"type": "integer", "minimum": 36, "maximum": 600}, "as in `options`."),
            ("figures", {"type": "boolean"}, "as in `options`."),
            ("text", {"type": "string", "enum": list(get_args(TextSource))}, "as in `options`."),
            ("priority", {"type": "string", "enum": ["interactive", "batch"]}, "as in `options`."),
        )
    ],
}


@router.post(
    "",
    status_code=202,
    response_model=JobPublic,
    openapi_extra=_BODY,
    responses={
        202: {
            "description": "Everything is stored and will be read.",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "The job."}},
            "content": {"application/json": {"example": examples.JOB}},
        },
        200: {"description": "It has ended already (`Prefer: wait=N`).", "model": JobPublic},
        **documented(400, 413, 415, 422, 429),
    },
)
async def submit(api: ApiDep, principal: PrincipalDep, request: Request, response: Response) -> JobPublic:
    """Submit documents. The answer comes when the job is safe; the reading begins behind it."""
    reception = Reception(api, request)
    submission = await reception.receive()
    job = await _enter(api, submission, reception.intake, principal.owner)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await ended_in_time(api, request, response, job)


async def _enter(api: Api, submission: Submission, intake: Intake, owner: str) -> JobPublic:
    """The job, in one transaction. Where the database did not answer, the job may exist: its files stay, and the
    sweeper takes them if it does not."""
    enter = partial(
        lifecycle.submit,
        api.database,
        job_id=submission.job_id,
        options=submission.options,
        engine=submission.engine,
        documents=submission.documents,
        vault=api.vault,
        owner=owner,
        timeout=api.limits.job_timeout,
    )
    try:
        return await anyio.to_thread.run_sync(enter)
    except RequestError as error:
        await intake.discard(error)
        raise


@router.get(
    "", response_model=JobList, responses={**UNCHANGED, **documented(400)}, dependencies=[only(*JOB_PARAMETERS)]
)
def list_jobs(
    api: ApiDep, request: Request, wanted: JobFilterDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Jobs of this key, newest first; everybody's where it may administer.

    A request looks at some thousands of jobs: where few of them fit, it lists fewer than `limit`, or none, and more may
    come: go on until `next_cursor` is null.
    """
    before = id_cursor(cursor, "job")
    with api.database.read() as session:
        found = finding.find_jobs(session, wanted, limit=limit, before=before)
    return json_reply(request, JobList(items=found.jobs, next_cursor=found.before))


_WAIT = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["wait=30"]},
    "description": f"`wait=N` seconds, at most {MAX_WAIT} (RFC 7240): with If-None-Match until the job has changed, "
    "else until it has ended. The answer comes earlier when that happens, and as the job is when it does not.",
}
_KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag of the answer that the client has.",
}


@router.get(
    "/{job}",
    response_model=JobPublic,
    openapi_extra={"parameters": [_WAIT, _KNOWN]},
    responses={
        200: {"content": {"application/json": {"example": examples.JOB | {"queue": examples.QUEUE}}}},
        **UNCHANGED,
        **documented(404, 410),
    },
)
async def get_job(api: ApiDep, request: Request, job: JobId) -> Response:
    """One job with its counts, and while it has not ended, with its place in the queue."""
    return await job_answer(api, request, job)


@router.get(
    "/{job}/events",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": examples.EVENTS}}},
        204: {"description": "The client was told of the job's end (Last-Event-ID): nothing more will come."},
        **documented(404, 410),
    },
)
async def stream_events(
    api: ApiDep, job: JobId, last_event_id: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """The job as server-sent events: `job` now and whenever it has changed, at most once a second; `end` when it has
    ended; `gone` when it was deleted meanwhile. A client that comes back with Last-Event-ID is told what it missed."""
    seen = await look(api, job)
    if is_over(seen, last_event_id):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second: nginx is not to collect them
    return StreamingResponse(job_events(api, seen, last_event_id), media_type="text/event-stream", headers=headers)


@router.patch("/{job}", responses=documented(400, 404, 410))
def change(api: ApiDep, job: JobId, change: JobChange) -> JobPublic:
    """Change a job's priority. Pages in flight stay in their place; a job that has ended keeps it for a retry."""
    return lifecycle.prioritize(api.database, job, change.priority)


@router.post("/{job}/cancel", responses=documented(404, 410))
def cancel(api: ApiDep, job: JobId) -> JobPublic:
    """End what is pending and running. Finished pages stay readable; an ended job stays as it is."""
    return lifecycle.cancel(api.database, job)


@router.post("/retry", responses=documented(400))
def retry_all(
    api: ApiDep,
    principal: PrincipalDep,
    code: Annotated[str, Query(max_length=100)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobList:
    """Run what failed with this code again, in all jobs that this key sees. Lists the jobs that run again, newest
    first, at most `limit` of them; go on with `next_cursor` until it is null."""
    retried, last = lifecycle.retry_all(
        api.database, api.blobs, code, limit=limit, before=id_cursor(cursor, "job"), owner=principal.sees
    )
    return JobList(items=retried, next_cursor=last)


@router.post("/{job}/retry", responses=documented(400, 404, 410))
def retry(api: ApiDep, job: JobId, code: FailureCode = None) -> JobPublic:
    """Run failed pages and failed documents again, with `code` those alone that failed with it. Changes nothing where
    none did."""
    return lifecycle.retry(api.database, api.blobs, job, code=code)


@router.delete("/{job}", status_code=204, responses=documented(404, 410))
def delete(api: ApiDep, job: JobId) -> None:
    """Cancel the job and delete its sources, results and rows."""
    lifecycle.delete(api.database, api.blobs, job)
