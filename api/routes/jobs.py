"""Submissions and their lives."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, get_args

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request, Response

from api import examples
from api.auth import Principal
from api.bodies import JsonBody, json_body
from api.deps import Api, ApiDep, FailureCode, JobId, PrincipalDep, identify
from api.intake import Intake
from api.paging import Cursor, Limit, cut, id_cursor
from api.problems import documented
from api.shapes import JobChange, JobList
from api.uploads import Reception, Submission
from jobs import admission, lifecycle
from jobs.errors import RequestError
from jobs.lifecycle import RequestKey, Terms
from jobs.models import JobPublic, State
from jobs.options import CacheUse, TextSource
from jobs.store import idempotency, reading

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
    if job.id != submission.job_id:
        response.headers["Idempotency-Replayed"] = "true"
        await reception.intake.discard(_Replayed())
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


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


@router.get("", responses=documented(400))
def list_jobs(
    api: ApiDep,
    principal: PrincipalDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[list[State] | None, Query(description="Only these; may be given several times.")] = None,
) -> JobList:
    """Jobs of this key, newest first; everybody's where it may administer."""
    before = id_cursor(cursor, "job")
    with api.database.read() as session:
        found = reading.list_jobs(session, limit=limit + 1, before=before, states=state or (), owner=principal.sees)
    items, more = cut(found, limit)
    return JobList(items=items, next_cursor=items[-1].id if more else None)


@router.get(
    "/{job}", responses={200: {"content": {"application/json": {"example": examples.JOB}}}, **documented(404, 410)}
)
def get_job(api: ApiDep, job: JobId) -> JobPublic:
    """One job with its counts."""
    with api.database.read() as session:
        return reading.get_job(session, job)


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
    lifecycle.delete(api.database, api.blobs, job)
