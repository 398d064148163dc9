"""One run: the schedule carried out on one database, then everything looked at."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.chaos import faults as _faults  # noqa: F401 - enters its faults
from tests.chaos import faults_stores as _stores  # noqa: F401
from tests.chaos.invariants import stuck, violations
from tests.chaos.load import Load
from tests.chaos.metering import misread
from tests.chaos.plans import FaultPlan, Schedule, draw
from tests.chaos.registry import FAULTS, Scene
from tests.chaos.report import Happened, Report
from tests.chaos.stage import Stage
from tests.chaos.watching import Watcher

RECOVERS = 60.0
"""Seconds until the next page succeeds, or it is a violation."""
STALLED = 15.0
"""Seconds without a fault after which the next one comes although it is not due yet: faults slow the load down."""

Say = Callable[[str], None]


def run(database: str, seed: int, faults: int, pages: int, folder: Path, say: Say = print, only: str = "") -> Report:
    """`folder`: kept where something is wrong. `only`: kinds, separated by commas, instead of all."""
    command = f"python -m tests.chaos --seed {seed} --faults {faults} --pages {pages} --database {database}"
    report = Report(seed, database, command + (f" --only {only}" if only else ""))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Stage(folder, database) as stage:
        kinds = _kinds(stage, report, only)
        try:
            _carry_out(stage, draw(seed, kinds, faults, pages), report, say)
        except BaseException:
            _keep(stage, folder, report)
            raise
        if report.violations:
            _keep(stage, folder, report)
    if not report.violations:
        shutil.rmtree(folder)
    return report


def _kinds(stage: Stage, report: Report, only: str) -> list[str]:
    wanted = only.split(",") if only else list(FAULTS)
    report.left_out = [kind for kind in wanted if not FAULTS[kind].possible(stage)]
    return [kind for kind in wanted if FAULTS[kind].possible(stage)]


def _carry_out(stage: Stage, schedule: Schedule, report: Report, say: Say) -> None:
    began = time.monotonic()
    watcher = Watcher(stage.mill.db)
    load = Load(stage, schedule.jobs, lambda: watcher.open_jobs)
    watcher.start()
    load.start()
    ends: list[float] = []
    try:
        for plan in schedule.faults:
            happened, scene = _one(stage, load, watcher, plan, began)
            say(f"{happened.at:6.1f} s  {load.pages:6d} pages  {plan.kind} ({happened.lasted:.1f} s)")
            if scene.missed:
                report.missed.append(plan.kind)
                continue
            ends.append(began + happened.at + happened.lasted)
            report.faults.append(happened)
        stage.calm()
        load.allowed = 10**9
        _finish_load(stage, load, report)
        report.violations += stuck(stage)
    finally:
        stage.calm()
        load.stop()
        load.join(60)
        watcher.stop()
    for happened, end in zip(report.faults, ends, strict=True):
        happened.recovery = watcher.recovery(end)
        report.violations += [f"{happened.kind}: {sentence}" for sentence in happened.violations]
    _look(stage, load, watcher, report)
    report.seconds = time.monotonic() - began


def _finish_load(stage: Stage, load: Load, report: Report) -> None:
    def ended() -> bool:
        before = load.pages
        if stage.until(lambda: not load.is_alive() or load.pages > before, RECOVERS):
            return not load.is_alive()
        raise TimeoutError

    try:
        while not ended():
            continue
    except TimeoutError:
        report.violations.append(f"the load makes no progress after {load.pages} pages")
    if load.error is not None:
        report.violations.append(f"the load ended: {load.error!r}")


def _one(stage: Stage, load: Load, watcher: Watcher, plan: FaultPlan, began: float) -> tuple[Happened, Scene]:
    """Wait until it is due, carry it out, and unless it is drawn otherwise wait until it is got over.

    Some of the load comes with the fault, the rest of its share behind it, so that there is work to recover with.
    """
    load.allowed = plan.due + plan.share // 2
    stage.until(lambda: load.pages >= plan.due or not load.is_alive(), STALLED)
    started = time.monotonic()
    scene = Scene(stage, load, plan)
    FAULTS[plan.kind].act(scene)
    ended = time.monotonic()
    load.allowed = plan.due + plan.share
    happened = Happened(plan.number, plan.kind, started - began, ended - started, violations=scene.violations)
    if not plan.rush and not stage.until(lambda: _recovered(watcher, ended), RECOVERS):
        happened.violations.append(f"no page succeeded within {RECOVERS:g} s")
    return happened, scene


def _recovered(watcher: Watcher, since: float) -> bool:
    return watcher.recovery(since) is not None or not watcher.open_jobs


def _look(stage: Stage, load: Load, watcher: Watcher, report: Report) -> None:
    report.violations += sorted(watcher.violations)
    found, counts = violations(stage, load)
    report.violations += found
    report.pages, report.jobs = dict(counts), len(load.accepted)
    report.succeeded, report.looks = watcher.succeeded, watcher.looks
    report.violations += misread(stage)
    report.violations += stage.end()


def _keep(stage: Stage, folder: Path, report: Report) -> None:
    """Logs, the database, the report: what is needed to understand it."""
    report.kept = str(folder)
    for name, log in stage.logs().items():
        shutil.copy(log, folder / f"{name}.log")
    if stage.postgres:
        dump = stage.postgres._install / "bin" / "pg_dump"
        with (folder / "database.sql").open("wb") as file:
            subprocess.run([dump, "--dbname", stage.postgres.url_of("chaos").replace("+psycopg", "")], stdout=file)
    else:
        with (
            closing(sqlite3.connect(stage.disk.path / "pagemill.db")) as source,
            closing(sqlite3.connect(folder / "database.db")) as copy,
        ):
            source.backup(copy)
    (folder / "report.json").write_bytes(report.json())
