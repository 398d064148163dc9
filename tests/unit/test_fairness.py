"""Turns: who gets the free slots."""

from __future__ import annotations

from collections import Counter
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from jobs.fairness import BATCH, BATCH_SHARE, INTERACTIVE, Caps, Flight, Turn, fill, quotas, reserved


def batch(job, owner=""):
    return Turn(BATCH, owner, job)


def urgent(job, owner=""):
    return Turn(INTERACTIVE, owner, job)


def flight_of(**jobs):
    """Batch pages in flight by job, of the owner ''."""
    flight = Flight()
    for job, count in jobs.items():
        flight.add(batch(job), count)
    return flight


def test_nobody_waits_or_nothing_is_free():
    assert quotas(5, [], Flight()) == {}
    assert quotas(0, [batch("a")], Flight()) == {}


def test_the_oldest_is_first_among_equals():
    assert quotas(2, [batch("c"), batch("a"), batch("b")], Flight()) == {batch("a"): 1, batch("b"): 1}


def test_slots_fill_the_lowest_first():
    assert quotas(6, [batch("a"), batch("b"), batch("c")], flight_of(a=9, b=2)) == {batch("b"): 2, batch("c"): 4}


def test_a_thousand_jobs_of_one_owner_weigh_as_much_as_one_of_another():
    many = [batch(f"a{number:04}", "many") for number in range(1000)]
    found = quotas(10, [*many, batch("z", "one")], Flight())
    assert found == dict.fromkeys(many[:5], 1) | {batch("z", "one"): 5}


def test_interactive_gets_all_but_what_batch_is_due():
    found = quotas(16, [batch("a"), urgent("b")], Flight())
    assert found == {batch("a"): 2, urgent("b"): 14}


def test_batch_that_has_its_share_in_flight_waits():
    assert quotas(4, [batch("a"), urgent("b")], flight_of(a=3)) == {urgent("b"): 4}


def test_one_class_alone_gets_everything():
    assert quotas(4, [urgent("b")], Flight()) == {urgent("b"): 4}
    assert quotas(4, [batch("b")], Flight()) == {batch("b"): 4}


def test_the_smallest_window_starves_nobody():
    assert reserved(1, Flight()) == 1
    flight = flight_of(a=1)
    assert reserved(1, flight) == 0


class Backlog:
    """Jobs with so many things waiting; what is stamped is gone."""

    def __init__(self, waiting):
        self.waiting = Counter(waiting)
        self.asked = 0

    def stamp(self, told):
        self.asked += 1
        found = []
        for turn, count in told.items():
            given = min(count, self.waiting[turn])
            self.waiting[turn] -= given
            found += [(turn, turn)] * given
        return found

    def turns(self):
        return [turn for turn, count in self.waiting.items() if count]


def test_what_a_small_job_leaves_goes_to_the_others():
    backlog = Backlog({batch("a"): 5000, batch("b"): 3})
    flight = Flight()
    taken = fill(64, backlog.turns(), flight, backlog.stamp)
    assert Counter(taken) == {batch("a"): 61, batch("b"): 3}
    assert (flight.total, flight.jobs["a"], flight.owners[""]) == (64, 61, 64)
    assert backlog.asked == 2


def test_a_job_that_turns_out_to_be_empty_stops_nobody():
    """Its pages were locked, or canceled between the two statements."""
    backlog = Backlog({batch("b"): 9})
    assert fill(4, [batch("a"), batch("b")], Flight(), backlog.stamp) == [batch("b")] * 4


def test_a_batch_share_that_nobody_can_use_goes_to_interactive():
    backlog = Backlog({urgent("a"): 99})
    assert fill(16, [batch("b"), urgent("a")], Flight(), backlog.stamp) == [urgent("a")] * 16


def one_by_one(free, waiting, flight):
    """The rule said plainly: slot by slot, the next one."""
    waiting = Counter(waiting)
    taken = []
    while free and any(waiting.values()):
        open_ = [turn for turn, count in waiting.items() if count]
        both = {turn.priority for turn in open_} == {INTERACTIVE, BATCH}
        due = both and reserved(free, flight) > 0
        class_ = BATCH if due else min(turn.priority for turn in open_)
        turn = min(
            (turn for turn in open_ if turn.priority == class_),
            key=lambda turn: (flight.owners[turn.owner], flight.jobs[turn.job], turn.job),
        )
        waiting[turn] -= 1
        flight.add(turn, 1)
        taken.append(turn)
        free -= 1
    return taken


@st.composite
def scenes(draw, classes=(INTERACTIVE, BATCH)):
    """Slots, jobs of some owners with what waits, and what is in flight."""
    count = draw(st.integers(0, 12))
    turns = [Turn(draw(st.sampled_from(classes)), draw(st.sampled_from(["", "k1", "k2"])), f"j{number:02}")
             for number in range(count)]  # fmt: skip
    waiting = {turn: draw(st.sampled_from([1, 2, 3, 50])) for turn in turns}
    flight = Flight()
    for turn in turns:
        flight.add(turn, draw(st.sampled_from([0, 0, 1, 4, 9])))
    return draw(st.integers(0, 40)), waiting, flight


def copy(flight):
    return Flight(Counter(flight.classes), Counter(flight.owners), Counter(flight.jobs))


@given(scenes())
def test_all_free_slots_are_given_while_somebody_waits_and_batch_has_its_share(scene):
    free, waiting, flight = scene
    backlog, before = Backlog(waiting), flight.total
    taken = fill(free, backlog.turns(), flight, backlog.stamp)
    assert len(taken) == min(free, sum(waiting.values()))
    assert all(count <= waiting[turn] for turn, count in Counter(taken).items())
    assert flight.total == before + len(taken)
    left = {turn.priority for turn in backlog.turns()}
    taken_of = Counter(turn.priority for turn in taken)
    if BATCH in left and taken_of[INTERACTIVE]:
        assert flight.classes[BATCH] * BATCH_SHARE >= flight.total
    if INTERACTIVE in left and taken_of[BATCH]:
        assert (flight.classes[BATCH] - 1) * BATCH_SHARE < flight.total


@given(st.sampled_from([INTERACTIVE, BATCH]).flatmap(lambda class_: scenes((class_,))))
def test_within_a_class_the_lowest_that_waits_is_never_passed_over(scene):
    """Whoever was given a slot stands at most one above everybody who still waits, as giving slot by slot ends."""
    free, waiting, flight = scene
    plain, backlog = copy(flight), Backlog(waiting)
    taken = fill(free, backlog.turns(), flight, backlog.stamp)
    assert len(taken) == len(one_by_one(free, waiting, plain))
    assert flight.owners == plain.owners
    for turn, other in product(set(taken), backlog.turns()):
        assert flight.owners[turn.owner] <= flight.owners[other.owner] + 1
        assert turn.owner != other.owner or flight.jobs[turn.job] <= flight.jobs[other.job] + 1


# --- caps

KEY, OTHER = "key_" + "1" * 32, "key_" + "2" * 32


def capped(own=None, default=None, elsewhere=None, **owners):
    flight = Flight(caps=Caps(own or {}, default), elsewhere=Counter(elsewhere or {}))
    flight.owners.update(owners)
    return flight


def test_an_owner_gets_what_its_cap_leaves_and_others_the_rest():
    found = quotas(16, [batch("a", KEY), batch("b", KEY), batch("c", OTHER)], capped({KEY: 3}))
    assert found == {batch("a", KEY): 2, batch("b", KEY): 1, batch("c", OTHER): 13}


def test_what_is_in_flight_here_and_elsewhere_counts_against_the_cap():
    flight = capped({KEY: 8}, elsewhere={KEY: 5}, **{KEY: 1})
    assert flight.left(KEY) == 2
    assert quotas(16, [batch("a", KEY)], flight) == {batch("a", KEY): 2}
    assert quotas(16, [batch("a", KEY)], capped({KEY: 8}, **{KEY: 9})) == {}


def test_the_default_cap_is_for_keys_alone():
    flight = capped({OTHER: 9}, default=2)
    assert [flight.left(owner) for owner in (KEY, OTHER, "", "scans")] == [2, 9, None, None]


def test_slots_of_a_capped_class_go_to_the_other():
    waiting = [urgent("a", KEY), batch("b", OTHER)]
    taken = fill(
        16, waiting, capped({KEY: 2}), lambda told: [(turn, turn) for turn, n in told.items() for _ in range(n)]
    )
    assert Counter(turn.job for turn in taken) == {"a": 2, "b": 14}


def test_nobody_who_waits_may_have_more():
    asked = []
    assert fill(16, [batch("a", KEY)], capped({KEY: 1}, **{KEY: 1}), lambda told: asked.append(told) or []) == []
    assert asked == []


@given(
    st.lists(st.tuples(st.sampled_from([INTERACTIVE, BATCH]), st.sampled_from([KEY, OTHER, ""])), max_size=12),
    st.integers(0, 40),
    st.integers(1, 10),
    st.integers(1, 10),
)
def test_no_cap_is_passed_and_no_slot_is_wasted(turns, free, one, two):
    waiting = [Turn(priority, owner, f"{n:02}") for n, (priority, owner) in enumerate(turns)]
    flight = capped({KEY: one, OTHER: two})
    taken = fill(free, waiting, flight, lambda told: [(turn, turn) for turn, n in told.items() for _ in range(n)])
    counts = Counter(turn.owner for turn in taken)
    assert counts[KEY] <= one
    assert counts[OTHER] <= two
    owners = {turn.owner for turn in waiting}
    possible = free if "" in owners else min(free, one * (KEY in owners) + two * (OTHER in owners))
    assert len(taken) == possible
