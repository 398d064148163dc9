"""When an error is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.settings import TimerSettings, WorkerSettings
from workers.retries import Backoff, backoff_of


def test_delays_double_up_to_the_longest():
    backoff = Backoff(first=2, longest=30, tries=9)
    assert [backoff.after(errors) for errors in range(6)] == [2, 4, 8, 16, 30, 30]


@given(st.integers(0, 2000))
def test_however_often_it_fails_the_delay_is_bounded(errors):
    assert 2 <= Backoff(first=2, longest=300, tries=3).after(errors) <= 300


def test_tries_count_the_first_one():
    backoff = Backoff(first=1, longest=1, tries=3)
    assert [backoff.exhausted(errors) for errors in range(4)] == [False, False, True, True]
    assert Backoff(first=1, longest=1, tries=1).exhausted(0)


def test_the_time_factor_shortens_both_bounds():
    timers = TimerSettings(time_factor=10, backoff_base=2, backoff_max=300)
    assert backoff_of(timers, WorkerSettings(max_errors=5)) == Backoff(first=0.2, longest=30, tries=5)
