"""Faults of processes and of pages. Stores and network: faults_stores.py."""

from __future__ import annotations

import signal
from collections.abc import Callable

import psutil

from jobs import lifecycle
from jobs.errors import PagemillError
from jobs.models import FINAL
from tests.chaos.failing import POINTS, arm
from tests.chaos.plans import JobPlan
from tests.chaos.registry import FAULTS, Fault, Scene, fault, on_postgres
from tests.chaos.stage import WORKERS, ChaosWorker, faketime

GRACE = 25.0
"""Seconds a worker gets to end: its grace time, and what handing back may take."""
STALE = 4.0
POISON = 1_000_000
"""Plans of faults have numbers of their own, from here on."""


@fault()
def worker_killed(scene: Scene) -> None:
    scene.worker.crash()


@fault()
def worker_tree_killed(scene: Scene) -> None:
    scene.worker.kill()


@fault()
def all_workers_killed(scene: Scene) -> None:
    for worker in scene.stage.workers:
        if worker.running:
            worker.kill()


@fault()
def machine_lost(scene: Scene) -> None:
    """Everything but the stores of record, at once: workers, API, broker."""
    stage = scene.stage
    for service in (*stage.revived, stage.valkey):
        if service.running:
            service.kill()
    stage.valkey.start()


@fault()
def worker_frozen(scene: Scene) -> None:
    """Past the moment when it is declared dead; what it brings afterwards comes too late."""
    worker = scene.worker
    worker.freeze()
    scene.stage.wait(STALE + scene.seconds)
    worker.thaw()


@fault()
def worker_paused(scene: Scene) -> None:
    """For less than that: nobody notices."""
    worker = scene.worker
    worker.freeze()
    scene.stage.wait(scene.seconds / 2)
    worker.thaw()


@fault()
def render_process_killed(scene: Scene) -> None:
    """The processes that open strangers' files, one worker's."""
    for process in scene.worker.tree()[1:]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


@fault()
def worker_terminated(scene: Scene) -> None:
    """A rolling restart: it must end in good order while everything is there."""
    worker = scene.worker
    with scene.stage.holding(worker):
        worker.send(signal.SIGTERM)
        _must_end(scene, worker)


@fault()
def worker_drained(scene: Scene) -> None:
    worker = scene.worker
    with scene.stage.holding(worker):
        try:
            lifecycle.drain(scene.stage.mill.db, worker.incarnation().id)
        except (PagemillError, IndexError):
            worker.send(signal.SIGTERM)
        _must_end(scene, worker)


def _must_end(scene: Scene, worker: ChaosWorker) -> None:
    ended = scene.stage.until(lambda: not worker.running, GRACE)
    status = worker.wait(1) if ended else "running"
    if status != 0:
        scene.violations.append(f"{worker.directory.name} told to end: {status} after {GRACE:g} s")
        worker.kill()


@fault()
def worker_killed_while_ending(scene: Scene) -> None:
    """SIGTERM, and no patience."""
    worker = scene.worker
    with scene.stage.holding(worker):
        worker.send(signal.SIGTERM)
        scene.stage.until(lambda: not worker.running, scene.seconds / 4)
        worker.kill()


@fault()
def api_killed(scene: Scene) -> None:
    scene.stage.api.kill()
    scene.stage.until(lambda: scene.stage.api.running and scene.stage.api._ready(), 30)


@fault(lambda stage: on_postgres(stage) and faketime() is not None)
def worker_clock_ahead(scene: Scene) -> None:
    """A host whose clock is up to an hour fast. (With SQLite there is one host, and its clock is the database's.)"""
    worker = scene.worker
    worker.ahead = 60 * (1 + scene.plan.victim % 60)
    worker.kill()
    scene.stage.until(worker.serves, 20)
    scene.stage.wait(scene.seconds)
    worker.ahead = 0
    if worker.running:
        worker.kill()


@fault()
def two_dispatchers(scene: Scene) -> None:
    """The lease vanishes again and again, so that every worker believes it is the one who acts."""
    mill, left = scene.stage.mill, int(scene.seconds / 0.05)
    while left > 0:
        try:
            with mill.db.write() as session:
                session.connection().exec_driver_sql("DELETE FROM lease WHERE name = 'tick'")
        except PagemillError:
            pass
        scene.stage.wait(0.05)
        left -= 1


@fault()
def everything_paused(scene: Scene) -> None:
    """By hand, and resumed."""
    db = scene.stage.mill.db
    _surely(scene, lambda: lifecycle.pause(db, "-"))
    scene.stage.wait(scene.seconds)
    _surely(scene, lambda: lifecycle.resume(db, "-"))


def _surely(scene: Scene, act: Callable[[], object]) -> None:
    def done() -> bool:
        try:
            act()
        except PagemillError:
            return False
        return True

    if not scene.stage.until(done, 60):
        scene.violations.append("nobody can pause or resume")


# --- pages


@fault()
def page_kills_worker(scene: Scene) -> None:
    """A killer among innocents, until it is found; two of three times beside a second document with one."""
    documents = (6, 4) if scene.plan.victim % 3 else (8,)
    _poison(scene, JobPlan(0, documents, 0.1, {"3": "crash"}), 60)


@fault()
def page_kills_worker_once(scene: Scene) -> None:
    """It dies of something else than the page, as far as anybody can tell afterwards."""
    _poison(scene, JobPlan(0, (5, 5), 0.05, {"2": "crash_once"}), 20)


@fault()
def page_hangs(scene: Scene) -> None:
    _poison(scene, JobPlan(0, (6,), 0.05, {"4": "hang"}), 0)


@fault()
def page_kills_renderer(scene: Scene) -> None:
    _poison(scene, JobPlan(0, (5,), 0.05, {"2": "kill_render"}, render=True), 10)


def _poison(scene: Scene, plan: JobPlan, patience: float) -> None:
    """Submit it, and give the service so many seconds to end it; it is waited for at the end of the run anyhow."""
    numbered = JobPlan(
        POISON + scene.plan.number, plan.documents, plan.seconds, plan.faults, plan.render, through_api=False
    )
    job = scene.load.submit(numbered)
    mill = scene.stage.mill

    def ended() -> bool:
        try:
            return job is None or mill.job(job).state in FINAL
        except PagemillError:
            return False

    if patience:
        scene.stage.until(ended, patience)


# --- a crash at every boundary

WAIT_FOR_CRASH = 8.0
"""Seconds for somebody to pass the place. At some, under this load, nobody may: it is disarmed then."""


def _crash_at(point: str) -> Fault:
    def act(scene: Scene) -> None:
        """All workers are armed: the first that passes the place dies there."""
        workers = [worker for worker in scene.stage.workers if worker.running]
        for worker in workers:
            arm(worker.failpoint, point)
        passed = scene.stage.until(lambda: any(not worker.failpoint.exists() for worker in workers), WAIT_FOR_CRASH)
        scene.missed = not passed
        for worker in workers:
            worker.failpoint.unlink(missing_ok=True)

    return Fault(f"crash_at_{point}", act, lambda _stage: True)


FAULTS.update({found.kind: found for found in map(_crash_at, POINTS)})
assert WORKERS > 1, "somebody must be left to find the dead"
