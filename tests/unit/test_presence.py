"""Why the engine idles, and who is charged for its time: from a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.metrics import EngineState, Place
from jobs.spending import Price, Spent
from workers.presence import Life, Presence, Stay, engine_state

NOWHERE = dict.fromkeys(Place, 0)


def state(life=Life.SERVING, claiming=0, full=False, **places):
    held = NOWHERE | {Place(name): pages for name, pages in places.items()}
    return engine_state(life, held, claiming=claiming, full=full)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (state(), "no_input"),
        (state(engine=1, fetching=9, rendering=9), "busy"),
        (state(rendering=1, fetching=5), "rendering"),
        (state(fetching=1, storing=40, full=True), "fetching"),
        (state(claimed=3), "claiming"),
        (state(claiming=1), "claiming"),
        (state(storing=5, full=True), "storing"),
        (state(recording=5, full=True, claiming=1), "storing"),
        (state(storing=5), "no_input"),  # there is room for more: none came
        (state(full=True), "no_input"),
        (state(Life.STARTING), "starting"),
        (state(Life.STARTING, engine=1), "busy"),  # messages may come before Celery says that it is ready
        (state(Life.DRAINING), "draining"),
        (state(Life.DRAINING, engine=2), "busy"),
        (state(Life.DRAINING, rendering=2), "rendering"),
        (state(Life.DRAINING, storing=2, full=True), "draining"),
        (state(Life.BROKEN, engine=2), "broken"),
        (state(Life.STOPPED, engine=2), "stopped"),
    ],
)
def test_the_reason_nearest_to_the_engine_is_told(found, expected):
    assert found == EngineState(expected)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def presence(clock):
    made = Presence(clock)
    made.live(Life.SERVING)
    return made


def claimed(presence, pages=1):
    presence.move(None, Place.CLAIMED, pages)
    return [Stay(presence) for _ in range(pages)]


def test_a_page_that_is_alone_is_charged_for_all_of_the_engine(presence, clock):
    [page] = claimed(presence)
    page.go(Place.ENGINE)
    clock.now = 3.0
    page.go(Place.STORING)
    clock.now = 10.0
    assert page.spent == Spent(3_000_000)
    assert page.inside == 3.0


def test_pages_share_the_time_in_which_they_were_inside_together(presence, clock):
    first, second = claimed(presence, 2)
    first.go(Place.ENGINE)
    clock.now = 1.0
    second.go(Place.ENGINE)
    clock.now = 5.0
    first.go(Place.RECORDING)
    clock.now = 6.0
    second.go(None)
    assert first.spent.engine_seconds == 1 + 4 / 2
    assert second.spent.engine_seconds == 4 / 2 + 1
    assert presence.totals().page_seconds == 5 + 5


def test_a_page_that_is_being_rendered_is_charged_for_nothing(presence, clock):
    [page] = claimed(presence)
    page.go(Place.ENGINE)
    with page.away(Place.FETCHING):
        clock.now = 2.0
        page.go(Place.RENDERING)
        with page.away(Place.RENDERING):  # two calls at once
            clock.now = 7.0
        assert page.place is Place.RENDERING, "the other one still runs"
    clock.now = 8.0
    page.go(None)
    assert page.spent.engine_seconds == 1.0
    seconds = presence.totals().seconds
    assert (seconds[EngineState.FETCHING], seconds[EngineState.RENDERING], seconds[EngineState.BUSY]) == (2, 5, 1)


def test_a_page_that_leaves_from_a_call_stays_away(presence):
    [page] = claimed(presence)
    with page.away(Place.RENDERING):
        page.go(None)
    assert sum(presence.totals().places.values()) == 0


def test_tokens_are_added_up(presence):
    [page] = claimed(presence)
    page.spend(100, 7)
    page.spend(50, 3)
    assert page.spent == Spent(0, 150, 10)


def test_a_worker_that_takes_no_more_until_its_pages_are_stored_says_so(presence, clock):
    [page] = claimed(presence)
    page.go(Place.STORING)
    clock.now = 1.0
    presence.full(True)
    clock.now = 4.0
    presence.full(False)
    clock.now = 5.0
    page.go(None)
    seconds = presence.totals().seconds
    assert seconds[EngineState.STORING] == 3.0
    assert seconds[EngineState.NO_INPUT] == 2.0


def test_what_is_broken_does_not_come_to_life_again(presence):
    presence.live(Life.BROKEN)
    presence.live(Life.DRAINING)
    assert presence.life is Life.BROKEN
    presence.live(Life.STOPPED)
    presence.live(Life.SERVING)
    assert presence.life is Life.STOPPED


WAYS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([*Place, None]),
        st.sampled_from(list(Life)),
        st.integers(0, 1000),
    ),
    max_size=60,
)


@given(ways=WAYS)
@settings(max_examples=200, deadline=None)
def test_the_books_add_up_whatever_happens(ways):
    """States to wall time, charges to the time in which something was inside, places to nothing in the end."""
    clock = Clock()
    presence = Presence(clock)
    stays = claimed(presence, 6)
    inside = 0.0
    for which, place, life, millis in ways:
        inside += millis / 1000 * bool(presence.totals().places[Place.ENGINE])
        clock.now += millis / 1000
        stays[which].go(place)
        presence.live(life)
    for stay in stays:
        stay.go(None)
    totals = presence.totals()
    assert sum(totals.seconds.values()) == pytest.approx(clock.now)
    assert sum(stay.spent.engine_micros for stay in stays) == pytest.approx(inside * 1e6, abs=6)
    assert totals.page_seconds == pytest.approx(sum(stay.inside for stay in stays))
    assert sum(totals.places.values()) == 0


def test_a_price_is_of_an_engines_hour():
    assert Price(2.5, "EUR").of(Spent(1_800_000_000)) == 1.25
    assert Price(2.5, "EUR").of(Spent()) == 0
