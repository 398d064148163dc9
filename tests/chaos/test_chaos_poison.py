"""Pages that kill, hang or fill memory, among pages that do no harm: the guilty end, the innocent succeed (rule 7)."""

import orjson

from jobs.blobs import page_key
from jobs.models import State
from jobs.options import EchoOptions
from jobs.poison import last_crash
from tests.documents import pdf

ALONE = 3
"""PAGEMILL_MAX_CRASHES as it is."""


def until_ended(chaos):
    """A supervisor starts the worker again each time. Returns how often it did."""
    deaths = 0

    def over():
        nonlocal deaths
        chaos.notice()
        deaths += chaos.revive()
        return chaos.ended()

    chaos.mill.until(over, "the guilty to be found", 150)
    return deaths


def ends(chaos, job):
    """How every page of a job ended that did not succeed: number, code, crashes."""
    return [(p.number, p.error.code, p.crashes) for p in chaos.mill.pages(job) if p.state != "succeeded"]


def test_one_killer_among_sixteen(chaos):
    """All sixteen are in flight at once. Handing them out again as they were would starve the same fifteen for ever."""
    chaos.worker()
    poisoned = chaos.submit(pdf(16), echo=EchoOptions(faults={"11": "crash"}, seconds={"*": 0.3, "11": 0.2}))
    chaos.submit(pdf(40), echo=EchoOptions(seconds={"*": 0.05}))

    assert until_ended(chaos) == last_crash(ALONE)

    assert ends(chaos, poisoned) == [(11, "page_crashed", last_crash(ALONE))]
    chaos.settle([State.PARTIAL, State.SUCCEEDED])


def test_three_killers_at_once_and_one_that_only_kills_beside_others(chaos):
    """And pages that hang, that fill memory, whose answer has no end."""
    chaos.worker(PAGEMILL_PAGE_TIMEOUT="5")
    kills = {"2": "crash", "7": "crash", "12": "crash", "14": "crash_beside"}
    poisoned = chaos.submit(pdf(16), echo=EchoOptions(faults=kills, seconds={"*": 0.2}))
    odd = {"1": "hang", "2": "memory"}
    strange = chaos.submit(pdf(8), echo=EchoOptions(faults=odd, seconds={"*": 0.05}))

    cut = chaos.submit(pdf(1), echo=EchoOptions(faults={"1": "endless"}))
    until_ended(chaos)

    assert ends(chaos, poisoned) == [(number, "page_crashed", last_crash(ALONE)) for number in (2, 7, 12)]
    assert [end[:2] for end in ends(chaos, strange)] == [(1, "page_timeout"), (2, "engine_error")]
    [[document, number, state, attempt]] = chaos.mill.page_rows(cut)
    stored = orjson.loads(chaos.mill.blobs.get(page_key(cut, document, number, attempt)))
    assert (state, [warning["code"] for warning in stored["warnings"]]) == ("succeeded", ["output_truncated"])
    chaos.jobs.remove(cut)  # it says more than its number
    chaos.settle([State.PARTIAL, State.PARTIAL])
