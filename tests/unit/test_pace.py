"""How fast a worker says it reads, from a modelled history."""

from __future__ import annotations

import pytest

from workers.pace import WINDOW, Pace

BEAT = 5.0


class Worker:
    """Tells its pace every five seconds of a clock of its own."""

    def __init__(self):
        self.now = 1000.0
        self.pace = Pace(lambda: self.now)

    def spans(self, count, pages, *, busy):
        """So many spans between heartbeats with so many pages each; the last one's pace."""
        for _ in range(count):
            self.now += BEAT
            self.pace.add(pages)
            told = self.pace.measured(busy)
        return told


@pytest.fixture
def worker():
    return Worker()


def test_nothing_is_told_of_a_worker_that_has_read_nothing(worker):
    assert worker.spans(3, 0, busy=False) is None
    assert worker.spans(3, 0, busy=True) is None, "its first page is not done yet"


def test_pages_by_seconds(worker):
    assert worker.spans(4, 10, busy=True) == pytest.approx(2.0)


def test_a_slow_page_counts_with_all_the_time_it_took(worker):
    worker.spans(11, 0, busy=True)
    assert worker.spans(1, 1, busy=False) == pytest.approx(1 / 60)


def test_idle_time_does_not_make_it_slow(worker):
    worker.spans(4, 10, busy=True)
    worker.spans(10, 0, busy=False)
    assert worker.spans(4, 10, busy=True) == pytest.approx(2.0)


def test_what_was_long_ago_is_forgotten(worker):
    worker.spans(40, 100, busy=True)
    spans = int(WINDOW / BEAT)
    assert worker.spans(spans, 5, busy=True) == pytest.approx(1.0), "slower pages have come"
    assert worker.spans(spans - 1, 0, busy=False) is not None
    assert worker.spans(1, 0, busy=False) is None
