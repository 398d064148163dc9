"""What must hold when it is over. Every function returns sentences; none: all is well.

One webhook row per event belongs here as well, as soon as there are webhooks.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
from sqlalchemy import text

from jobs.blobs import BlobMissing, manifest_key
from tests.chaos.load import Load
from tests.chaos.plans import CODES, JobPlan
from tests.chaos.stage import Stage
from tests.ledger import assert_allowed, assert_exact
from tests.soundness import unsound

SETTLE = 150.0
"""Seconds for everything that is still open when the last fault is over."""
TOLD = 50
"""Sentences of a kind."""

_JOBS = "SELECT id, state, metadata, deleted_at IS NOT NULL, manifest FROM job ORDER BY id"
_UNPURGED = "SELECT id FROM job WHERE deleted_at IS NOT NULL AND purged_at IS NULL"
_PAGES = """SELECT d.job_id, p.document_id, p.number, p.state, p.error, p.attempt, p.crashes, p.errors
    FROM page p JOIN document d ON d.id = p.document_id ORDER BY 1, 2, 3"""


def rows(stage: Stage, query: str) -> list[tuple]:  # type: ignore[type-arg]
    with stage.mill.db.read() as session:
        return [tuple(row) for row in session.connection().execute(text(query))]


def stuck(stage: Stage) -> list[str]:
    """Wait for the end of everything; names what does not come to one."""

    def left() -> list[str]:
        jobs = rows(stage, _JOBS)
        kept = [(id_, state, manifest) for id_, state, _, deleted, manifest in jobs if not deleted]
        found = [f"{id_} is {state}" for id_, state, _ in kept if state in ("queued", "running")]
        found += [f"{row[0]} is deleted and not purged" for row in rows(stage, _UNPURGED)]
        return found or [f"{id_} has no job.json" for id_, _, manifest in kept if not manifest]

    stage.until(lambda: not left(), SETTLE)
    found = left()
    if found:
        found += [f"{row}" for row in rows(stage, "SELECT id, slot, state, heartbeat_at FROM worker ORDER BY id")[-6:]]
    return found[:TOLD]


def violations(stage: Stage, load: Load) -> tuple[list[str], Counter[str]]:
    """Everything that is wrong, and how many pages ended how."""
    counts: Counter[str] = Counter()
    wrong = [*_jobs(stage, load), *_pages(stage, load, counts), *_asserted(stage)]
    ended = [id_ for id_, state, _, deleted, _ in rows(stage, _JOBS) if not deleted]
    with ThreadPoolExecutor(4) as threads:
        for id_, found in zip(ended, threads.map(lambda job: _sound(stage, job), ended), strict=True):
            wrong += [f"{id_}: {sentence}" for sentence in found]
    return wrong + _reconciled(stage), counts


def _jobs(stage: Stage, load: Load) -> Iterator[str]:
    """Every job that was acknowledged is there, none that nobody asked for is."""
    found = {row[0]: row for row in rows(stage, _JOBS)}
    for number, id_ in load.accepted.items():
        if id_ not in found:
            yield f"lost: job {id_} of plan {number} was acknowledged and has no row"
    for id_, state, metadata, deleted, _ in found.values():
        if _plan(load, metadata) is None:
            yield f"{id_} has no plan: {metadata}"
        if deleted and load.done.get(id_) != "delete":
            yield f"{id_} is deleted and nobody asked for it"
        if state == "canceled" and not deleted and load.done.get(id_) != "cancel":
            yield f"{id_} is canceled and nobody asked for it"


def _plan(load: Load, metadata: object) -> JobPlan | None:
    value = orjson.loads(metadata) if isinstance(metadata, str) else metadata
    return load.plans.get(value.get("plan", -1)) if isinstance(value, dict) else None


def _pages(stage: Stage, load: Load, counts: Counter[str]) -> Iterator[str]:
    """No page lost, none doubled, each ended as it was programmed to."""
    jobs = {id_: (state, _plan(load, metadata)) for id_, state, metadata, deleted, _ in rows(stage, _JOBS)
            if not deleted}  # fmt: skip
    numbers: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for job, document, number, state, error, attempt, crashes, errors in rows(stage, _PAGES):
        if job not in jobs or jobs[job][1] is None:
            continue
        job_state, plan = jobs[job]
        assert plan is not None
        counts[state] += 1
        numbers[job][document].append(number)
        value = orjson.loads(error) if isinstance(error, str) else error
        wrong = wrong_end(plan, number, state, (value or {}).get("code"), canceled=job_state == "canceled")
        if wrong:
            yield f"{job} {document}/{number} {wrong} (attempt {attempt}, {crashes} crashes, {errors} errors): {value}"
    for job, (state, plan) in jobs.items():
        sizes = sorted(len(pages) for pages in numbers[job].values())
        if plan is not None and state != "canceled" and sizes != sorted(plan.documents):
            yield f"{job} has documents of {sizes} pages, not {sorted(plan.documents)}"


def wrong_end(plan: JobPlan, number: int, state: str, code: str | None, *, canceled: bool) -> str | None:
    """What is wrong with how this page ended; None where it is as programmed."""
    expected = CODES.get(plan.fault(number) or "")
    if canceled and state in ("canceled", "succeeded"):
        return None
    if expected is None:
        return None if state == "succeeded" else f"is innocent and {state}: {code}"
    return None if state == "failed" and code in expected else f"should fail with {expected} and {state}: {code}"


def _asserted(stage: Stage) -> Iterator[str]:
    for check in (assert_exact, assert_allowed):
        try:
            check(stage.mill.db)
        except AssertionError as error:
            yield from str(error).splitlines()[:TOLD]


def _sound(stage: Stage, job: str) -> list[str]:
    if stage.mill.blobs.stat(manifest_key(job)) is None:
        return ["job.json is not stored"]
    try:
        return unsound(stage.mill, job)
    except BlobMissing as error:
        return [f"not stored: {error}"]


def _reconciled(stage: Stage) -> list[str]:
    """`pagemill reconcile --deep` names nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "reconcile", "--deep", "--json"],
        env=stage.mill.environment(**stage.mill.store, PAGEMILL_DATABASE_URL=stage.mill.database_url)
        | {"PAGEMILL_BROKER_URL": stage.mill.broker_url},
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return []
    try:
        told = orjson.loads(done.stdout)
    except orjson.JSONDecodeError:
        return [f"reconcile: {done.stdout}{done.stderr}"[:2000]]
    named = [f"{d['code']} {d['where']}: {d['expected']}, {d['actual']}" for d in told["differences"]]
    named += [f"not looked at: {sentence}" for sentence in told["not_looked_at"]]
    return [f"reconcile: {sentence}" for sentence in named]
