"""What lists can be narrowed by. A parameter that a list does not have is an error: a filter that is misspelt must not
list everything."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from api.deps import FailureCode, PrincipalDep
from jobs.errors import Forbidden, InvalidRequest
from jobs.fairness import BATCH, INTERACTIVE
from jobs.lifecycle import NOBODY
from jobs.models import Scope, State
from jobs.options import Priority
from jobs.store.finding import JobFilter

PREFIX = "metadata."
MAX_METADATA = 5
"""Keys of metadata in one request."""
_MAX_TEXT = 1000
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+ -]\d\d:\d\d)")

_ANY_KEY = f"{PREFIX}KEY"
"""How the documentation names the parameters whose names nobody knows."""
States = Annotated[list[State] | None, Query(alias="state", description="Only these; may be given several times.")]
_Time = Annotated[str | None, Query(max_length=40)]


def only(*known: str) -> Any:
    """A dependency that raises InvalidRequest for query parameters that are none of these, nor `metadata.…` where that
    is one. (Named a second time, since a route does not tell its own; a test compares them with the documentation.)"""

    def check(request: Request) -> None:
        for name, value in request.query_params.multi_items():
            if name not in known and not (_ANY_KEY in known and name.startswith(PREFIX)):
                detail = f"there is no parameter {name[:80]!r}; known: {', '.join(known)}"
                raise InvalidRequest(detail, where=f"query.{name[:80]}")
            if "\0" in name + value:
                raise InvalidRequest("no text has a NUL character", where=f"query.{name[:80]}")

    return Depends(check)


def job_filter(
    principal: PrincipalDep,
    request: Request,
    state: States = None,
    code: FailureCode = None,
    created_after: Annotated[_Time, Query(description="RFC 3339; then or later.")] = None,
    created_before: Annotated[_Time, Query(description="RFC 3339; earlier.")] = None,
    priority: Annotated[Priority | None, Query()] = None,
    engine: Annotated[str | None, Query(max_length=100)] = None,
    owner: Annotated[
        str | None,
        Query(max_length=100, description="Id of a key, or `-` for jobs of nobody; needs the scope `admin`."),
    ] = None,
    said: Annotated[
        str | None,
        Query(
            alias=_ANY_KEY,
            description="Only jobs whose `metadata` have this string, number or boolean under KEY, at the top level; "
            f"up to {MAX_METADATA} keys.",
        ),
    ] = None,
) -> JobFilter:
    """Raises InvalidRequest; Forbidden where somebody asks for others' jobs."""
    if owner is not None and Scope.ADMIN not in principal.scopes:
        raise Forbidden("whose jobs are listed is for the scope admin to choose", where="query.owner", limit="admin")
    return JobFilter(
        states=tuple(state or ()),
        code=code,
        metadata=_metadata(request),
        created_after=_moment(created_after, "query.created_after"),
        created_before=_moment(created_before, "query.created_before"),
        priority=None if priority is None else INTERACTIVE if priority == "interactive" else BATCH,
        engine=engine,
        owner=("" if owner == NOBODY else owner) if owner is not None else principal.sees,
    )


JobFilterDep = Annotated[JobFilter, Depends(job_filter)]
JOB_PARAMETERS = (
    "limit", "cursor", "state", "code", "created_after", "created_before", "priority", "engine", "owner", _ANY_KEY,
)  # fmt: skip


def _metadata(request: Request) -> tuple[tuple[str, str], ...]:
    found = tuple(
        (name.removeprefix(PREFIX), value)
        for name, value in request.query_params.multi_items()
        if name.startswith(PREFIX)
    )
    if len(found) > MAX_METADATA:
        raise InvalidRequest(
            "too many keys of metadata at once", where="query.metadata", limit=MAX_METADATA, actual=len(found)
        )
    for key, value in found:
        if not key or max(len(key), len(value)) > _MAX_TEXT:
            raise InvalidRequest(
                "a key of metadata is named behind the point, and neither it nor its value is longer than this",
                where=f"query.{PREFIX}{key[:80]}",
                limit=_MAX_TEXT,
            )
    return found


def _moment(text: str | None, where: str) -> datetime | None:
    """Raises InvalidRequest for what is no time of RFC 3339. A `+` that nobody escaped has become a space."""
    if text is None:
        return None
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError
        head, zone = (text[:-1], "Z") if text[-1] in "Zz" else (text[:-6], text[-6:].replace(" ", "+"))
        return datetime.fromisoformat(head + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        detail = f"{text[:80]!r} is no time of RFC 3339, as 2026-01-31T09:30:00Z"
        raise InvalidRequest(detail, where=where, actual=text[:80]) from None
