"""The database's clock, the only one: `now()` as SQL on both databases, and the column type that fits it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, String, TypeDecorator, literal
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, FunctionElement
from sqlalchemy.types import TypeEngine

_SQLITE_FORMAT = "%Y-%m-%d %H:%M:%f"  # %f is seconds with milliseconds in SQLite


class Timestamp(TypeDecorator[datetime]):
    """UTC. TIMESTAMPTZ on PostgreSQL; on SQLite text `YYYY-MM-DD HH:MM:SS.mmm`, so that comparing is ordering."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(23))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        return None if value is None else value.astimezone(UTC)


class _Now(FunctionElement[datetime]):
    type = Timestamp()
    inherit_cache = True
    name = "now"


def now(plus: float | ColumnElement[float] | None = None) -> _Now:
    """The database's time at the start of the statement, `plus` seconds later (earlier where negative)."""
    if plus is None:
        return _Now()
    return _Now(literal(plus) if isinstance(plus, int | float) else plus)


@compiles(_Now, "postgresql")
def _now_postgresql(element: _Now, compiler: SQLCompiler, **kw: Any) -> str:
    if not len(element.clauses):
        return "statement_timestamp()"
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(_Now, "sqlite")
def _now_sqlite(element: _Now, compiler: SQLCompiler, **kw: Any) -> str:
    if not len(element.clauses):
        return f"(strftime('{_SQLITE_FORMAT}', 'now'))"
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('{_SQLITE_FORMAT}', 'now', {seconds} || ' seconds'))"


def rfc3339(stored: datetime | str) -> str:
    """A timestamp as a statement's row gives it, in either database's form, as RFC 3339 with milliseconds."""
    if isinstance(stored, str):
        return stored.replace(" ", "T") + "Z"
    return stored.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
