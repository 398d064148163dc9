"""Submissions and their lives."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, get_args

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from api import examples
from api.auth import Principal
from api.bodies import JsonBody, json_body
from api.deps import Api, ApiDep, FailureCode, JobId, PrincipalDep, identify
from api.filters import JOB_PARAMETERS, JobFilterDep, only
from api.following import ended_in_time, is_over, job_answer, job_events, look
from api.intake import Intake
from api.paging import Cursor, Limit, id_cursor
from api.prefer import MAX_WAIT
from api.problems import documented
from api.replies import UNCHANGED, json_reply
from api.shapes import JobChange, JobList
from api.uploads import Reception, Submission
from jobs import admission, context, deletion, lifecycle
from jobs.errors import RequestError
from jobs.lifecycle import RequestKey, Terms
from jobs.models import JobPublic
from jobs.options import CacheUse, TextSource
from jobs.store import finding, idempotency

router = APIRouter(prefix="/jobs", tags=["jobs"])


IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, pattern="^[!-~]+$",
        description="A request that comes again with it makes no second job, and is answered with the first one's.",
    ),
]  # fmt: skip

_FILE = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Several files as multipart/form-data, or one file as the raw body; or where they lie: as JSON, "
        'or as a manifest with a JSON object a line (`Source`; the first line may be `{"options": …}`), whose '
        "documents are entered in the background. Its first bytes decide what a file is, never its name. A bad file or "
        "source becomes the error of its document while its neighbours go on; when all are bad, the request is refused "
        "with the first one's problem.",
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
            "application/json": {
                "schema": {"$ref": "#/components/schemas/JsonSubmission"},
                "example": examples.SOURCES,
            },
            "application/x-ndjson": {"schema": {"type": "string"}, "example": examples.MANIFEST},
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
            ("cache", {"type": "string", "enum": list(get_args(CacheUse))}, "as in `options`."),
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
            "headers": {
                "Location": {"schema": {"type": "string"}, "description": "The job."},
                "Idempotency-Replayed": {
                    "schema": {"type": "string", "enum": ["true"]},
                    "description": "Where the request came before: this is the job that it made then.",
                },
            },
            "content": {"application/json": {"example": examples.JOB}},
        },
        200: {"description": "It has ended already (`Prefer: wait=N`).", "model": JobPublic},
        **documented(400, 404, 410, 413, 415, 422, 429),
    },
)
async def submit(
    api: ApiDep, principal: PrincipalDep, request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> JobPublic:
    """Submit documents. The answer comes when the job is safe; the reading begins behind it."""
    await anyio.to_thread.run_sync(_admit, api, principal, idempotency_key)
    reception = Reception(api, request, principal)
    submission = await reception.receive()
    job = await _enter(api, request, submission, reception.intake, principal.owner, idempotency_key)
    context.note(job=job.id)
    if job.id != submission.job_id:
        response.headers["Idempotency-Replayed"] = "true"
        await reception.intake.discard(_Replayed())
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await ended_in_time(api, request, response, job)


class _Replayed(Exception):
    """Why the files of a request that came before are not kept."""


def _admit(api: Api, principal: Principal, key: str | None) -> None:
    """Raises QueueFull, QuotaExceeded; not for a request that came before, which costs nothing."""
    if key is not None:
        with api.database.read() as session:
            if idempotency.is_noted(session, principal.owner, key):
                return
    admission.check(api.database, principal.owner, principal.limits)


async def _enter(
    api: Api, request: Request, submission: Submission, intake: Intake, owner: str, key: str | None
) -> JobPublic:
    """The job, in one transaction, where its key still counts: an upload may take hours.

    Where the database did not answer, the job may exist: its files stay, and the sweeper takes them if it does not.
    """
    submit = (
        partial(lifecycle.submit, api.database)
        if key is None
        else partial(lifecycle.submit_once, api.database, RequestKey(key, submission.fingerprint))
    )
    enter = partial(
        submit,
        job_id=submission.job_id,
        options=submission.options,
        engine=submission.engine,
        documents=submission.documents,
        vault=api.vault,
        owner=owner,
        terms=Terms(api.limits.job_timeout, api.limits.retention, api.limits.source_retention),
        listings=submission.listings,
    )
    try:
        await anyio.to_thread.run_sync(identify, api, request)
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


_EVENT = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {
        "event": {"type": "string", "enum": ["job", "end", "gone"]},
        "id": {"type": "string"},
        "data": {"type": "string", "description": "JSON: a Job, or a Problem where the event is `gone`."},
        "retry": {"type": "integer"},
    },
}


@router.get(
    "/{job}/events",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {"schema": _EVENT, "example": examples.EVENTS}}},
        204: {"description": "The client was told of the job's end (Last-Event-ID): nothing more will come."},
        **documented(400, 404, 410),
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


_read_change = JsonBody(JobChange)


@router.patch(
    "/{job}",
    responses=documented(400, 404, 410, 422),
    openapi_extra=json_body(JobChange, {"priority": "interactive"}),
)
async def change(api: ApiDep, request: Request, job: JobId) -> JobPublic:
    """Change a job's priority. Pages in flight stay in their place; a job that has ended keeps it for a retry."""
    change = await _read_change(request)
    return await anyio.to_thread.run_sync(lifecycle.prioritize, api.database, job, change.priority)


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
    deletion.delete(api.database, api.blobs, job)
