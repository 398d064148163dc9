"""What each statement took, from PostgreSQL's own log of a sample of them (it has no pg_stat_statements here)."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from jobs import store
from jobs.store.sql import Sql

SHARE = 0.1
"""Of all statements, that are logged."""
SETTINGS = {
    "log_min_duration_sample": "0",
    "log_statement_sample_rate": str(SHARE),
    "log_parameter_max_length": "0",
    "log_line_prefix": "%m [%p] ",
    "log_autovacuum_min_duration": "0",
}
"""Of the server whose log is read."""

_RECORD = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] ", re.MULTILINE)
_DURATION = re.compile(r"LOG:  duration: ([\d.]+) ms  (?:execute [^:]*|statement): (.*)", re.DOTALL)
_VACUUM = re.compile(r'LOG:  automatic (?:aggressive )?vacuum of table "[^"]*\.(\w+)"')
_PARAMETER = re.compile(r"\$\d+|%\(\w+\)s(?:::\w+)?|(?<![:\w]):\w+")

Times = dict[str, tuple[int, float]]
"""By statement: how many were logged, and their milliseconds together."""


class StatementLog:
    """Reads on from where it stopped."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._rest = path, path.stat().st_size, ""
        self.vacuums: dict[str, int] = defaultdict(int)
        """Of each table, so far."""

    def read(self) -> Times:
        """What was logged since the last time."""
        with self._path.open(errors="replace") as file:
            file.seek(self._at)
            text = self._rest + file.read()
            self._at = file.tell()
        begins = [found.start() for found in _RECORD.finditer(text)]
        self._rest = text[begins[-1] :] if begins else text  # the last one may not be whole yet
        taken: dict[str, list[float]] = defaultdict(list)
        for start, end in itertools.pairwise(begins):
            self._note(text[start:end], taken)
        return {name: (len(times), sum(times)) for name, times in taken.items()}

    def _note(self, record: str, taken: dict[str, list[float]]) -> None:
        if (found := _DURATION.search(record)) is not None:
            taken[name_of(found[2])].append(float(found[1]))
        elif (vacuum := _VACUUM.search(record)) is not None:
            self.vacuums[vacuum[1]] += 1


def name_of(statement: str) -> str:
    """Where it stands in jobs/store, as `claiming._CLAIM_PAGES`; its beginning where it stands nowhere."""
    plain = _plain(statement)
    return _known().get(plain, plain[:60])


@cache
def _known() -> dict[str, str]:
    found = {}
    for module in pkgutil.iter_modules(store.__path__):
        for name, value in vars(importlib.import_module(f"jobs.store.{module.name}")).items():
            if isinstance(value, Sql):
                found.setdefault(_plain(value._postgresql.text), f"{module.name}.{name}")
    return found


def _plain(statement: str) -> str:
    return _PARAMETER.sub("?", " ".join(statement.split()))
