"""Statements written as SQL for both databases.

The protocol's statements update many rows by a list of (document, page, attempt) in one go. Both databases read such
a list from one JSON parameter, so the text of a statement is constant whatever the length of the list: nothing is
compiled per call. Fragments in braces are filled per database:

    {now}            the database's time
    {today}          the database's day (UTC), as text: 2026-01-31
    {later:x}        `x` seconds from now, x an SQL expression
    {json:x}         the text x as a JSON value
    {text_of:x.key}  what the JSON column x has under this key, as text; NULL where there is nothing
    {share} {update} {no_key_update} {update_of_d}   row locks; nothing on SQLite, where the transaction is the lock
    {skip_locked} {skip_locked_p}    the same for who must not wait: rows locked by others are left out
    {list:name(a text, b int)}       the JSON parameter :name as rows

Statements that name documents by id compare `state || ''`, so that PostgreSQL does not see that a partial index would
fit. One that had nothing in it when statistics were made looks like the shortest way for as long as they stand: a claim
of four documents then read all that waited, 7 ms with 20,000 of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import CursorResult, text
from sqlmodel import Session

_LIST = re.compile(r"\{list:(\w+)\(([^)]*)\)\}")
_LATER = re.compile(r"\{later:([^}]+)\}")
_JSON = re.compile(r"\{json:([^}]+)\}")
_TEXT_OF = re.compile(r"\{text_of:([\w.]+)\.(\w+)\}")

_TIME = r"%Y-%m-%d %H\:%M\:%f"  # colons escaped: text() would take `:M` for a parameter
_POSTGRESQL = {
    "{now}": "statement_timestamp()",
    "{today}": "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "{share}": "FOR SHARE",
    "{update}": "FOR UPDATE",
    "{no_key_update}": "FOR NO KEY UPDATE",
    "{update_of_d}": "FOR UPDATE OF d",
    "{skip_locked}": "FOR UPDATE SKIP LOCKED",
    "{skip_locked_p}": "FOR UPDATE OF p SKIP LOCKED",
}
_SQLITE = {
    "{now}": f"strftime('{_TIME}', 'now')",
    "{today}": "strftime('%Y-%m-%d', 'now')",
    "{share}": "",
    "{update}": "",
    "{no_key_update}": "",
    "{update_of_d}": "",
    "{skip_locked}": "",
    "{skip_locked_p}": "",
}


class Sql:
    """One statement. `run(session, …)` executes it; lists of mappings among the parameters travel as JSON."""

    def __init__(self, template: str) -> None:
        self._postgresql = text(_postgresql(template))
        self._sqlite = text(_sqlite(template))

    def run(self, session: Session, **parameters: Any) -> CursorResult[*tuple[Any, ...]]:
        statement = self._sqlite if is_sqlite(session) else self._postgresql
        values = {name: _parameter(value) for name, value in parameters.items()}
        return session.connection().execute(statement, values)


def is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _postgresql(template: str) -> str:
    template = _LATER.sub(r"(statement_timestamp() + make_interval(secs => \1))", template)
    template = _JSON.sub(r"CAST(\1 AS json)", template)
    template = _TEXT_OF.sub(r"(\1 ->> '\2')", template)
    template = _LIST.sub(r"jsonb_to_recordset(CAST(:\1 AS jsonb)) AS \1(\2)", template)
    return _fill(template, _POSTGRESQL)


def _sqlite(template: str) -> str:
    template = _LATER.sub(rf"strftime('{_TIME}', 'now', (\1) || ' seconds')", template)
    template = _JSON.sub(r"\1", template)
    template = _TEXT_OF.sub(r"json_extract(\1, '$.\2')", template)
    template = _LIST.sub(_sqlite_list, template)
    return _fill(template, _SQLITE)


def _sqlite_list(match: re.Match[str]) -> str:
    names = [column.split()[0] for column in match[2].split(",")]
    columns = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
    return f"(SELECT {columns} FROM json_each(:{match[1]})) AS {match[1]}"


def _fill(template: str, fragments: Mapping[str, str]) -> str:
    for fragment, sql in fragments.items():
        template = template.replace(fragment, sql)
    return template


def _parameter(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return orjson.dumps(value).decode()
    return value


def json_value(stored: Any) -> dict[str, Any] | None:
    """A JSON column of a statement's row: parsed already on PostgreSQL, text on SQLite."""
    value: dict[str, Any] | None = orjson.loads(stored) if isinstance(stored, str) else stored
    return value


def within(rows: Iterable[Sequence[Any]], budget: int) -> list[str]:
    """Ids of (id, weight) as far as the budget goes, one at least."""
    found: list[str] = []
    for id_, weight in rows:
        found.append(id_)
        budget -= weight
        if budget <= 0:
            break
    return found


def grouped(rows: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Values by key, in order of first appearance."""
    groups: dict[str, list[Any]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return groups
