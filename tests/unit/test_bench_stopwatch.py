"""CPU time by step: what is inside a step is not counted twice."""

import pytest

from tests.bench.rendering.stopwatch import Stopwatch


class Clock:
    """Nanoseconds that pass only when told."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def spend(self, seconds):
        self.now += int(seconds * 1e9)


class Work:
    def __init__(self, clock):
        self.clock = clock

    def outer(self):
        self.clock.spend(1)
        self.inner()
        self.inner()
        self.clock.spend(0.5)
        return "done"

    def inner(self):
        self.clock.spend(2)

    def failing(self):
        self.clock.spend(3)
        raise ArithmeticError


@pytest.fixture
def watched():
    clock = Clock()
    watch, work = Stopwatch(clock), Work(clock)
    for name in ("outer", "inner", "failing"):
        watch.watch(work, name, name)
    return watch, work


def test_a_step_is_counted_without_the_steps_inside_it(watched):
    watch, work = watched
    assert work.outer() == "done"
    assert watch.read() == {"outer": 1.5, "inner": 4.0}


def test_a_step_that_raises_counts(watched):
    watch, work = watched
    with pytest.raises(ArithmeticError):
        work.failing()
    work.inner()
    assert watch.read() == {"failing": 3.0, "inner": 2.0}


def test_a_reading_starts_anew(watched):
    watch, work = watched
    work.inner()
    watch.read()
    assert watch.read() == {}


def test_a_step_that_is_not_there_is_an_error(watched):
    with pytest.raises(AttributeError):
        watched[0].watch(watched[1], "gone", "gone")
