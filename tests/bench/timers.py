"""How long the default timers take: until a killed worker's pages run again, until a cancel frees the engine.

Nothing is divided by a factor here. PostgreSQL, Valkey, echo pages that take a minute.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from jobs import lifecycle
from jobs.models import FINAL
from jobs.options import EchoOptions
from tests.documents import pdf
from tests.installation import Installation, WorkerService
from tests.services import Postgres, Valkey

CAPACITY = 16
ROUNDS = 5
LONG = EchoOptions(seconds={"*": 60.0})


def run() -> str:
    with _installation() as mill:
        rescued = sorted(_kill(mill) for _ in range(ROUNDS))
        with mill.worker():
            freed = sorted(_cancel(mill) for _ in range(ROUNDS))
    return "\n".join(
        [
            f"{ROUNDS} times each; s, median (least to most)",
            _row("worker and its tree killed, to the last of its pages claimed by another", rescued),
            _row("job canceled that fills the engine, to the next job of 16 pages read", freed),
        ]
    )


@contextmanager
def _installation() -> Iterator[Installation]:
    settings = {"PAGEMILL_TIME_FACTOR": "1", "PAGEMILL_ENGINE_CAPACITY": str(CAPACITY)}
    with (
        tempfile.TemporaryDirectory() as root,
        Valkey() as valkey,
        Postgres(fsync=True) as postgres,
        Installation(Path(root), postgres.create_database("bench"), valkey.url, settings=settings) as mill,
    ):
        yield mill


def _kill(mill: Installation) -> float:
    """Two workers at first, none of which comes back: the other one has to notice."""
    doomed, other = mill.worker(), mill.worker()
    with doomed, other:
        job = mill.submit(pdf(CAPACITY), echo=LONG)  # half of what the two can hold: the other one has room for all
        mill.until(lambda: _held(mill, doomed) and mill.count(job)["running"] == CAPACITY, "all pages to be held")
        held, name = _held(mill, doomed), doomed.incarnation().id
        begun = time.perf_counter()
        doomed.kill()
        seconds = _until(begun, lambda: _claimed_again(mill, job, name) == held)
        lifecycle.cancel(mill.db, job)
    return seconds


def _cancel(mill: Installation) -> float:
    job = mill.submit(pdf(4 * CAPACITY), echo=LONG)
    mill.until(lambda: mill.count(job)["running"] >= CAPACITY, "the engine to be full")
    after = mill.submit(pdf(CAPACITY))
    time.sleep(1.0)  # its pages are rung and wait
    begun = time.perf_counter()
    lifecycle.cancel(mill.db, job)
    return _until(begun, lambda: mill.job(after).state in FINAL)


def _held(mill: Installation, worker: WorkerService) -> int:
    return worker.incarnation().pages_running


def _claimed_again(mill: Installation, job: str, dead: str) -> int:
    """Pages that died with a worker (that is all a crash can come from here) and that another holds."""
    with mill.db.read() as session:
        query = (
            "SELECT count(*) FROM page p JOIN document d ON d.id = p.document_id WHERE d.job_id = :job"
            " AND p.state = 'running' AND p.crashes > 0 AND p.worker <> :dead"
        )
        return int(session.connection().execute(text(query), {"job": job, "dead": dead}).scalar_one())


def _until(begun: float, condition: Callable[[], bool]) -> float:
    while not condition():
        assert time.perf_counter() - begun < 120, "not in two minutes"
        time.sleep(0.05)
    return time.perf_counter() - begun


def _row(name: str, taken: list[float]) -> str:
    return f"{name}: {taken[len(taken) // 2]:.1f} ({taken[0]:.1f} to {taken[-1]:.1f})"
