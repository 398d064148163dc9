"""Written down in an earlier version's tree: what one worker, user and tick of that version say to their database, word
for word, with the commits.

    statements.py ROOT DATABASE_URL      writes ROOT/statements.json
"""

from __future__ import annotations

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event

from jobs.settings import DatabaseSettings
from jobs.store.database import open_database
from tests.protocol import rows, submit
from tests.writers import RARE, WEIGHTS, Plan, Writer, attempt

STEPS = 260


class Calm(Writer):
    """One that never has a page wait: said again later and faster, everything must happen as it did."""

    def _outcome(self, page: Any) -> Any:
        outcome = super()._outcome(page)
        return type(outcome)(page, outcome.state, outcome.error, outcome.errors)


class Log:
    """Statements by number, and what was said: [number, parameters], or a word for a transaction's ends."""

    def __init__(self) -> None:
        self.statements: dict[str, int] = {}
        self.said: list[Any] = []

    def watch(self, engine: Any) -> None:
        event.listen(engine, "before_cursor_execute", self._execute)
        event.listen(engine, "commit", lambda _connection: self.said.append("commit"))
        event.listen(engine, "rollback", lambda _connection: self.said.append("rollback"))

    def _execute(self, _c: Any, _cursor: Any, statement: str, parameters: Any, _ctx: Any, many: bool) -> None:
        number = self.statements.setdefault(statement, len(self.statements))
        self.said.append([number, _plain(parameters), many])


def _plain(value: Any) -> Any:
    """As JSON. Moments and JSON values of psycopg are marked, so that they are put back as they were."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime | date):
        return {"moment": value.isoformat()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if type(value).__name__ in ("Json", "Jsonb"):
        return {type(value).__name__: value.obj}
    raise TypeError(f"a parameter of a kind that nobody thought of: {value!r}")


def main(root: Path, url: str) -> None:
    database = open_database(DatabaseSettings(database_url=url))
    database.migrate()
    log = Log()
    writer = Calm(Plan(seed=7, steps=0, url=url, objects=root / "objects"))
    log.watch(writer.db.engine)
    for documents in (1, 3, 8):
        submit(writer.db, documents)
    # Everything once at least, and what ends things late.
    names = [*writer.chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=STEPS), *WEIGHTS, *RARE]
    errors = [line for name in names for line in attempt(name, getattr(writer, name))]
    assert not errors, errors
    count = "SELECT 'page', state, count(*) FROM page GROUP BY state UNION ALL " \
            "SELECT 'document', state, count(*) FROM document GROUP BY state UNION ALL " \
            "SELECT 'job', state, count(*) FROM job GROUP BY state"  # fmt: skip
    left = sorted([list(row) for row in rows(database, count)])
    told = {"statements": list(log.statements), "said": log.said, "left": left}
    (root / "statements.json").write_text(json.dumps(told, separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
