"""Whether what Prometheus is told adds up: the API's numbers are those of the rows, the workers' are possible.

A worker that is killed takes its counters with it, so what those that live say must lie between what only they can have
recorded (rows that name their present incarnation) and every end that was ever written down.
"""

from __future__ import annotations

from collections import Counter

import orjson

from jobs.errors import DatabaseUnavailable
from tests.chaos.invariants import rows
from tests.chaos.stage import Stage
from tests.ledger import moves
from tests.scraping import Scrape, scrape

_KINDS = {"pages": "page", "documents": "document", "jobs": "job"}


def misread(stage: Stage) -> list[str]:
    """Everything that does not add up, a sentence each. The API server and the workers still run, all work is done."""
    if not stage.until(lambda: stage.api.running and all(worker.serves() for worker in stage.workers), 30):
        return ["no metrics: not every process runs"]
    return [*_census(stage, scrape(stage.api_metrics)), *_workers(stage)]


def _census(stage: Stage, told: Scrape) -> list[str]:
    wrong = []
    for name, table in _KINDS.items():
        purged = " WHERE purged_at IS NULL" if table == "job" else ""
        counted = Counter(dict(rows(stage, f"SELECT state, count(*) FROM {table}{purged} GROUP BY state")))
        wrong += _differences(f"pagemill_{name}", told.by(f"pagemill_{name}", "state"), counted)
    for table in ("page", "document"):
        errors = rows(stage, f"SELECT error FROM {table} WHERE state = 'failed'")
        counted = Counter(_code(error) for (error,) in errors)
        wrong += _differences(f"pagemill_{table}s_failed", told.by(f"pagemill_{table}s_failed", "code"), counted)
    return wrong


def _code(error: object) -> str:
    value = orjson.loads(error) if isinstance(error, str) else error
    return str(value.get("code", "")) if isinstance(value, dict) else ""


def _differences(name: str, told: dict[str, float], counted: Counter[str]) -> list[str]:
    return [
        f"metrics: {name} says {told.get(label, 0):g} {label!r}, there are {counted[label]}"
        for label in sorted(told.keys() | counted.keys())
        if told.get(label, 0) != counted[label]
    ]


def _workers(stage: Stage) -> list[str]:
    ever = Counter(
        new for _, old, new, *_ in moves(stage.mill.db, "page") if old == "running" and new in ("succeeded", "failed")
    )
    wrong, total = [], Counter[str]()
    for number, worker in enumerate(stage.workers):
        told = scrape(worker.metrics)
        recorded = Counter({k: int(v) for k, v in told.by("pagemill_worker_pages_total", "outcome").items()})
        total += recorded
        try:
            name = worker.incarnation().id
        except DatabaseUnavailable:
            return ["metrics: the database is away"]
        query = f"SELECT state, count(*) FROM page WHERE worker = '{name}' GROUP BY state"
        for state, pages in rows(stage, query):
            if state in ("succeeded", "failed") and recorded[state] < pages:
                wrong.append(f"metrics: worker {number} counted {recorded[state]} {state} of its own {pages}")
    return wrong + [
        f"metrics: living workers counted {total[state]} {state}, {ever[state]} ever were"
        for state in total
        if total[state] > ever[state]
    ]
