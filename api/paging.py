"""Lists in pieces: `limit` and an opaque `cursor`; the answer's `next_cursor` is None at the end."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Query

from jobs.errors import InvalidRequest
from jobs.ids import is_id

MAX_LIMIT = 1000
T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the answer before.")]


def id_cursor(cursor: str | None, prefix: str) -> str | None:
    """Raises InvalidRequest for what was never a cursor."""
    if cursor is not None and not is_id(cursor, prefix):
        raise InvalidRequest("this is no cursor of this list", where="query.cursor", actual=cursor)
    return cursor


def number_cursor(cursor: str | None, start: int) -> int:
    """Raises InvalidRequest for what was never a cursor."""
    if cursor is None:
        return start
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 9):
        raise InvalidRequest("this is no cursor of this list", where="query.cursor", actual=cursor)
    return int(cursor)


def cut(items: list[T], limit: int) -> tuple[list[T], bool]:
    """Of `limit + 1` fetched items those that were asked for, and whether there are more."""
    return items[:limit], len(items) > limit
