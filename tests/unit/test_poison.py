"""A worker that dies again and again, by the rules of jobs/poison.py: who ends, who succeeds, after how many deaths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from jobs.poison import ALONE, GROUP_SHARE, GROUPED, Company, company, last_crash, parties

LONE_DEATHS = 3
Party = Sequence[int]
Kills = Callable[[Party], bool]


def rounds(waiting: dict[int, int], capacity: int) -> Iterator[Party]:
    """What a worker holds at once, one after the other: whoever may have any company first, then the suspects."""
    calm = [page for page, crashes in waiting.items() if company(crashes) is Company.ANY]
    yield from (calm[start : start + capacity] for start in range(0, len(calm), capacity))
    yield from (party for _, party in parties(waiting.items(), capacity))


def run(pages: int, capacity: int, kills: Kills) -> tuple[set[int], int]:
    """Pages that failed, and how many deaths it took until every page had ended."""
    waiting, failed, deaths = dict.fromkeys(range(pages), 0), set(), 0
    while waiting:
        party = next(rounds(waiting, capacity))
        if not kills(party):
            for page in party:
                del waiting[page]
            continue
        deaths += 1
        for page in party:
            waiting[page] += 1
            if waiting[page] >= last_crash(LONE_DEATHS):
                failed.add(page)
                del waiting[page]
    return failed, deaths


def killers(*guilty: int) -> Kills:
    return lambda party: not set(guilty).isdisjoint(party)


def test_one_killer_among_sixteen():
    assert run(16, 16, killers(11)) == ({11}, last_crash(LONE_DEATHS))


def test_three_killers_at_once():
    failed, deaths = run(64, 64, killers(1, 2, 63))
    # Two deaths of all, one of each of the two groups that hold killers, three alone of each killer.
    assert (failed, deaths) == ({1, 2, 63}, 2 + 2 + 3 * LONE_DEATHS)


def test_one_that_only_kills_beside_others_is_read_in_the_end():
    failed, deaths = run(16, 16, lambda party: 5 in party and len(party) > 1)
    assert (failed, deaths) == (set(), ALONE)


def test_two_that_only_kill_together_are_read_in_the_end():
    failed, _ = run(64, 64, lambda party: {3, 4} <= set(party))
    assert failed == set()


@given(
    st.integers(1, 60),
    st.integers(1, 64),
    st.sets(st.integers(0, 59), max_size=6),
    st.sets(st.integers(0, 59), max_size=4),
)
def test_killers_end_and_innocents_succeed(pages, capacity, guilty, in_company):
    """Those `in_company` kill only beside others. Deaths depend on how many kill, not on how many pages there are."""

    def kills(party: Party) -> bool:
        return killers(*guilty)(party) or (len(party) > 1 and killers(*in_company)(party))

    failed, deaths = run(pages, capacity, kills)

    there = set(range(pages))
    assert failed == guilty & there
    assert deaths <= last_crash(LONE_DEATHS) * len((guilty | in_company) & there)


@given(st.lists(st.integers(0, 9), max_size=80), st.integers(1, 128))
def test_each_suspect_is_in_one_party(crashes, capacity):
    pages = list(enumerate(crashes))
    told = list(parties(pages, capacity))
    assert sorted(page for _, party in told for page in party) == [page for page, n in pages if n >= GROUPED]
    for found, party in told:
        assert found is company(crashes[party[0]])
        assert {company(crashes[page]) for page in party} == {found}
        assert 1 <= len(party) <= (max(1, capacity // GROUP_SHARE) if found is Company.GROUP else 1)
