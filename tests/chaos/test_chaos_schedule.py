"""A short run of `make chaos` on each database, and what must hold of the run itself."""

from importlib import import_module

import pytest

from tests.chaos import faults as _faults  # noqa: F401
from tests.chaos import faults_stores as _stores  # noqa: F401
from tests.chaos.failing import POINTS
from tests.chaos.invariants import wrong_end
from tests.chaos.jobs import SEED
from tests.chaos.plans import JobPlan, draw
from tests.chaos.registry import FAULTS
from tests.chaos.report import quantile
from tests.chaos.run import run

FAULTS_HERE, PAGES = 6, 400
KINDS = sorted(FAULTS)


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_a_short_schedule_of_faults(database, tmp_path):
    report = run(database, SEED, FAULTS_HERE, PAGES, tmp_path / "run")
    assert report.violations == [], f"repeat: {report.command}"
    assert len(report.faults) + len(report.missed) == FAULTS_HERE
    assert report.succeeded > PAGES / 2
    assert report.looks > 0


def test_a_seed_is_a_schedule():
    assert draw(1, KINDS, 50, 3000) == draw(1, KINDS, 50, 3000)
    assert draw(1, KINDS, 50, 3000) != draw(2, KINDS, 50, 3000)


def test_every_kind_has_its_turn():
    assert sorted(plan.kind for plan in draw(7, KINDS, len(KINDS), 3000).faults) == KINDS


def test_faults_are_spread_over_the_load_and_come_in_order():
    due = [plan.due for plan in draw(7, KINDS, 100, 3000).faults]
    assert due == sorted(due)
    assert due[0] < 100
    assert 2800 < due[-1] < 3000


def test_plans_make_up_the_pages_that_were_asked_for():
    jobs = draw(7, KINDS, 10, 3000).jobs
    assert sum(job.pages for job in jobs) == 3000
    assert {job.operation for job in jobs} == {None, "cancel", "delete", "retry", "prioritize"}


@pytest.mark.parametrize(
    ("number", "state", "code", "canceled", "wrong"),
    [
        (1, "succeeded", None, False, False),
        (1, "failed", "page_crashed", False, True),
        (1, "canceled", None, True, False),
        (1, "canceled", None, False, True),
        (1, "failed", "engine_error", True, True),
        (2, "failed", "page_crashed", False, False),
        (2, "failed", "engine_error", False, True),
        (2, "succeeded", None, False, True),
        (3, "succeeded", None, False, False),
        (3, "failed", "engine_error", False, True),
    ],
)
def test_only_what_is_programmed_to_fail_may_fail(number, state, code, canceled, wrong):
    plan = JobPlan(0, (3,), 0.0, {"2": "crash", "3": "error_once"})
    assert bool(wrong_end(plan, number, state, code, canceled=canceled)) is wrong


def test_quantiles():
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.95) == 3.0
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert quantile([0.0, 1.0], 0.95) == pytest.approx(0.95)


@pytest.mark.parametrize("point", POINTS)
def test_every_place_to_die_exists(point):
    module, name, _ = POINTS[point]
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
