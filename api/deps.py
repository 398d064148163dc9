"""What the routes stand on: one frozen value per application, and the typed parameters made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import Depends, Path, Query, Request
from fastapi.security.utils import get_authorization_scheme_param

from api.auth import Doorkeeper, Principal, require
from api.backlog import Backlog
from api.images import PageImages
from api.rates import Rates
from api.relay import HintRelay
from api.waiting import Waits
from jobs import context
from jobs.blobs import BlobStore
from jobs.blobs.buckets import Location
from jobs.errors import NotFound, Unauthorized
from jobs.ids import is_id
from jobs.inbox import Inbox
from jobs.models import Scope
from jobs.settings import LimitSettings
from jobs.spending import Price
from jobs.store import keys
from jobs.store.database import Database
from jobs.vault import Vault


@dataclass(frozen=True, slots=True)
class Api:
    """Everything a request may touch."""

    database: Database
    doorkeeper: Doorkeeper
    rates: Rates
    blobs: BlobStore
    vault: Vault | None
    """None without PAGEMILL_SECRET_KEY: passwords and webhooks are then refused."""
    limits: LimitSettings
    own_places: tuple[Location, ...]
    """Where the store lies: neither source nor output."""
    web_sources: bool
    """Whether https:// sources are served."""
    engine: str
    """Of jobs that name none."""
    engines: tuple[str, ...]
    """What workers here serve. A job for another one would wait for ever."""
    broker_url: str
    images: PageImages
    inboxes: tuple[Inbox, ...]
    hints: HintRelay
    events_token: str | None
    """Of whoever sends event messages; keys with the scope `admin` may too."""
    source_threads: anyio.CapacityLimiter
    """Submissions that name uploads ask the store for each, in few threads of their own."""
    upload_threads: anyio.CapacityLimiter
    """Uploads write to the store in threads of their own, so that a slow store leaves the other requests theirs."""
    waits: Waits
    """Who waits for jobs."""
    backlog: Backlog
    """What waits for workers."""
    price: Price | None
    """Of an engine's hour."""


# What needs no database is async: FastAPI hands every plain function to a thread. With these and sessions that read
# without BEGIN and ROLLBACK, GET /v1/jobs/{id} went from 4.4 to 2.4 ms of the server's CPU (docs/load.md).


async def get_api(request: Request) -> Api:
    api: Api = request.app.state.api
    return api


ApiDep = Annotated[Api, Depends(get_api)]


def identify(api: Api, request: Request) -> Principal:
    """Whose request it is. To be asked again before a request that took long has its effect. Raises Unauthorized and
    Forbidden."""
    headers = request.headers
    site = headers.get("sec-fetch-site")
    return api.doorkeeper.admit(_token(request), host=headers.get("host"), origin=headers.get("origin"), site=site)


def _token(request: Request) -> str | None:
    """Raises Unauthorized for what is no bearer token."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        return None
    scheme, token = get_authorization_scheme_param(authorization)
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("only bearer keys are known here: Authorization: Bearer pm_…", where="Authorization")
    return token


async def principal_of(api: ApiDep, request: Request) -> Principal:
    if api.doorkeeper.remembers(_token(request)):
        principal = identify(api, request)
    else:
        principal = await anyio.to_thread.run_sync(identify, api, request)
    if principal.owner:
        context.note(key=principal.owner)
    if (limit := principal.limits.requests_per_second) is not None:
        await anyio.to_thread.run_sync(api.rates.take, principal.owner, limit)
    return principal


PrincipalDep = Annotated[Principal, Depends(principal_of)]


async def own_jobs(principal: PrincipalDep, request: Request) -> None:
    """Of routes of jobs: looking needs `read`, everything else `submit`."""
    require(principal, [Scope.READ if request.method in ("GET", "HEAD") else Scope.SUBMIT])


async def administration(principal: PrincipalDep) -> None:
    """Of routes that show or change what concerns everybody."""
    require(principal, [Scope.ADMIN])


def _job_id(job: Annotated[str, Path(description="`job_…`")], api: ApiDep, principal: PrincipalDep) -> str:
    if not is_id(job, "job"):
        raise NotFound(f"there is no job {job[:80]!r}", where="job")
    context.note(job=job)
    if principal.sees is not None:
        with api.database.read() as session:
            if keys.owner_of(session, job) != principal.sees:
                # As for a job that does not exist: whether it does is nobody else's affair.
                raise NotFound(f"there is no job {job}", where=job)
    return job


async def _document_id(document: Annotated[str, Path(description="`doc_…`")]) -> str:
    if not is_id(document, "doc"):
        raise NotFound(f"there is no document {document[:80]!r}", where="document")
    return document


async def _event_id(event: Annotated[str, Path(description="`evt_…`")]) -> str:
    if not is_id(event, "evt"):
        raise NotFound(f"there is no event {event[:80]!r}", where="event")
    return event


async def _worker_id(worker: Annotated[str, Path(description="`wrk_…`")]) -> str:
    if not is_id(worker, "wrk"):
        raise NotFound(f"there is no worker {worker[:80]!r}", where="worker")
    return worker


# Checked before they reach a query or an object key.
JobId = Annotated[str, Depends(_job_id)]
DocumentId = Annotated[str, Depends(_document_id)]
EventId = Annotated[str, Depends(_event_id)]
WorkerId = Annotated[str, Depends(_worker_id)]
FailureCode = Annotated[str | None, Query(max_length=100, description="Only what failed with this code.")]
