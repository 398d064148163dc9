"""Databases as earlier versions left them, and what those versions say, said again."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Json, Jsonb

from tests.services import Postgres

HERE = Path(__file__).parent
REVISIONS = sorted(path.name for path in HERE.iterdir() if path.name.isdigit())
KINDS = ("sqlite", "postgres")


@dataclass(frozen=True)
class Earlier:
    """What one version left in one kind of database."""

    revision: str
    kind: str

    @property
    def notes(self) -> dict[str, str]:
        """Ids of jobs by what is with them, and an API key: see scene.py."""
        found: dict[str, str] = json.loads((HERE / self.revision / f"{self.kind}.notes.json").read_text())
        return found

    @property
    def dump(self) -> str:
        return (HERE / self.revision / f"{self.kind}.sql").read_text()

    @property
    def commit(self) -> str:
        return (HERE / self.revision / "README").read_text().split()[-1].strip(".")

    def unpack(self, folder: Path) -> None:
        """`objects/`: what its store held."""
        with zipfile.ZipFile(HERE / self.revision / f"{self.kind}.zip") as packed:
            packed.extractall(folder, [name for name in packed.namelist() if name.startswith("objects/")])

    def said(self) -> dict[str, Any]:
        """`statements`, `said`, `left`: see statements.py."""
        with zipfile.ZipFile(HERE / self.revision / f"{self.kind}.zip") as packed:
            found: dict[str, Any] = json.loads(packed.read("statements.json"))
            return found


def restore(earlier: Earlier, url: str, postgres: Callable[[], Postgres]) -> None:
    """Its tables and rows into an empty database."""
    if earlier.kind == "sqlite":
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript(earlier.dump)
        connection.close()
    else:
        postgres().program("psql", url.rpartition("/")[2], "-Xqv", "ON_ERROR_STOP=1", text=earlier.dump)


def transactions(said: list[Any]) -> Iterator[tuple[list[Any], str]]:
    """What was said between two ends, and which end."""
    begun: list[Any] = []
    for what in said:
        if isinstance(what, str):
            yield begun, what
            begun = []
        else:
            begun.append(what)


def say_again(
    earlier: Earlier, url: str, meanwhile: Callable[[int], None] = lambda _number: None
) -> tuple[int, list[list[Any]]]:
    """Say everything, transaction by transaction; one that a deadlock or a lock ended is said again, as its version
    would. `meanwhile` is called before each. Returns how many statements, and what must be left."""
    told = earlier.said()
    connection = _Sqlite(url) if earlier.kind == "sqlite" else _Postgres(url)
    count = 0
    try:
        for number, (statements, end) in enumerate(transactions(told["said"])):
            meanwhile(number)
            calls = [(told["statements"][index], _unplain(values), many) for index, values, many in statements]
            while not connection.transact(calls, end):
                pass
            count += len(calls)
    finally:
        connection.close()
    return count, told["left"]


Call = tuple[str, Any, bool]


class _Sqlite:
    def __init__(self, url: str) -> None:
        path = url.removeprefix("sqlite:///")
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA foreign_keys=ON")

    def transact(self, calls: list[Call], end: str) -> bool:
        for statement, values, many in calls:
            cursor = (self._connection.executemany if many else self._connection.execute)(statement, values)
            cursor.fetchall()
        if self._connection.in_transaction:
            self._connection.execute(end)
        return True

    def close(self) -> None:
        self._connection.close()


class _Postgres:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url.replace("+psycopg", ""))

    def transact(self, calls: list[Call], end: str) -> bool:
        try:
            with self._connection.cursor() as cursor:
                for statement, values, many in calls:
                    (cursor.executemany if many else cursor.execute)(statement, values)  # type: ignore[arg-type]
            self._connection.commit() if end == "commit" else self._connection.rollback()
        except psycopg.errors.DeadlockDetected:
            self._connection.rollback()
            return False
        return True

    def close(self) -> None:
        self._connection.close()


_MARKED: dict[str, Callable[[Any], Any]] = {"moment": datetime.fromisoformat, "Json": Json, "Jsonb": Jsonb}


def _unplain(value: Any) -> Any:
    if isinstance(value, list):
        return [_unplain(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and (marked := _MARKED.get(next(iter(value)))):
            return marked(next(iter(value.values())))
        return {key: _unplain(item) for key, item in value.items()}
    return value
