"""What this server is, how it feels, and who works for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api.broker import broker_state
from api.deps import Api, ApiDep, PrincipalDep, WorkerId, administration
from api.paging import MAX_LIMIT, Cursor, Limit, cut, id_cursor
from api.problems import documented, problem_response
from api.shapes import Check, Health, KeyUsage, LimitsPublic, PauseList, ServiceInfo, Signpost, WorkerList
from api.version import VERSION
from jobs import lifecycle
from jobs.errors import ServiceError
from jobs.models import PausePublic, Scope, WorkerPublic
from jobs.store import keys, reading, usage

router = APIRouter(tags=["service"])
root = APIRouter(tags=["service"])
"""What stands before every version."""
operation = APIRouter(tags=["service"], dependencies=[Depends(administration)], responses=documented(401, 403, 429))
"""What concerns everybody's jobs."""

Owner = Annotated[str, Path(description="An API key's id or an inbox; `-`: jobs that nobody owns")]


@root.get("/")
async def signpost() -> Signpost:
    """Where the API and its description are."""
    return Signpost(version=VERSION)


@router.get("", responses=documented())
def service_info(api: ApiDep) -> ServiceInfo:
    """Version, engines and limits."""
    return ServiceInfo(
        version=VERSION,
        engine=api.engine,
        engines=api.engines,
        passwords=api.vault is not None,
        webhooks=api.vault is not None,
        limits=LimitsPublic.of(api.limits),
    )


@router.get("/key", responses=documented(401, 403, 429))
def key(api: ApiDep, principal: PrincipalDep) -> KeyUsage:
    """The key that asks: what it may do, and what it has used up of its limits."""
    with api.database.read() as session:
        known = keys.get(session, principal.owner)
        return KeyUsage(
            id=principal.owner or None,
            name=None if known is None else known.name,
            scopes=tuple(scope for scope in Scope if scope in principal.scopes),
            limits=principal.limits,
            backlog_pages=usage.backlog(session, principal.owner),
            pages_today=usage.used_today(session, principal.owner),
        )


@router.get("/health/live")
async def live() -> Health:
    """The process answers."""
    return Health(status="live")


@router.get("/health/ready", response_model=Health, responses=documented())
def ready(api: ApiDep) -> Health | Response:
    """Database and object store take work. A broker that is away is told, and does not make the server unready."""
    checks: dict[str, Check] = {"broker": broker_state(api.broker_url)}
    first: ServiceError | None = None
    for name, check in _vital(api).items():
        error = _failure(check)
        checks[name] = "ok" if error is None else "unavailable"
        first = first or error
    if first is not None:
        return problem_response(first, {"checks": checks})
    return Health(status="ready", checks=checks)


def _vital(api: Api) -> dict[str, Callable[[], None]]:
    return {"database": api.database.check, "store": api.blobs.check}


def _failure(check: Callable[[], None]) -> ServiceError | None:
    try:
        check()
    except ServiceError as error:
        return error
    return None


@operation.get("/workers", responses=documented(400))
def workers(api: ApiDep, limit: Limit = MAX_LIMIT, cursor: Cursor = None) -> WorkerList:
    """Worker processes that live or ended lately, the oldest first: what each reads, how fast, and since when it has
    not been heard of."""
    after = id_cursor(cursor, "wrk") or ""
    with api.database.read() as session:
        items, more = cut(reading.list_workers(session, after=after, limit=limit + 1), limit)
    return WorkerList(items=items, next_cursor=items[-1].id if more else None)


@operation.post("/workers/{worker}/drain", status_code=202, responses=documented(404))
def drain(api: ApiDep, worker: WorkerId) -> WorkerPublic:
    """Let a worker end: it hears of it with its next heartbeat, claims nothing more and finishes what it holds. One
    that has ended already stays as it is; whether a new one is started in its place is its supervisor's affair."""
    return lifecycle.drain(api.database, worker)


@operation.get("/pauses", responses=documented())
def pauses(api: ApiDep) -> PauseList:
    """Whose jobs wait until they are resumed."""
    return PauseList(items=lifecycle.pauses(api.database))


@operation.put("/pauses/{owner}", responses=documented(400))
def pause(api: ApiDep, owner: Owner) -> PausePublic:
    """Start nothing more of this owner's jobs, those to come included. What is in flight ends as usual, and jobs go on
    being accepted."""
    return lifecycle.pause(api.database, owner)


@operation.delete("/pauses/{owner}", status_code=204, responses=documented(400, 404))
def resume(api: ApiDep, owner: Owner) -> None:
    """Let this owner's jobs go on."""
    lifecycle.resume(api.database, owner)
