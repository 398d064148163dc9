"""Many together, or one alone."""

import threading

import pytest

from tests.processes import wait_until
from workers.gate import Gate


class Passer:
    """A thread that passes the gate and stays inside until told."""

    def __init__(self, way):
        self.inside = threading.Event()
        self.leave = threading.Event()
        self._way = way
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        with self._way():
            self.inside.set()
            assert self.leave.wait(30)

    def end(self):
        self.leave.set()
        self._thread.join()


def test_one_alone_waits_for_all_and_goes_before_further_ones():
    gate = Gate()
    first, second = Passer(gate.together), Passer(gate.together)
    assert first.inside.wait(30)
    assert second.inside.wait(30)
    alone = Passer(gate.alone)
    wait_until(lambda: gate._wanting == 1, "it to stand at the gate")
    late = Passer(gate.together)
    first.end()
    assert not alone.inside.is_set()
    second.end()
    assert alone.inside.wait(30)
    assert not late.inside.is_set()
    alone.end()
    assert late.inside.wait(30)
    late.end()


def test_those_that_must_be_alone_never_meet():
    gate, meetings, present = Gate(), [], []

    def suspect():
        for _ in range(50):
            with gate.alone():
                present.append(1)
                meetings.append(len(present))
                present.pop()

    def calm():
        for _ in range(50):
            with gate.together():
                meetings.append(1 + len(present))

    threads = [threading.Thread(target=run) for run in (suspect, suspect, calm, calm)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meetings == [1] * 200


@pytest.mark.parametrize("way", ["together", "alone"])
def test_whoever_fails_inside_leaves(way):
    gate = Gate()
    with pytest.raises(ValueError, match="inside"), getattr(gate, way)():
        raise ValueError("inside")
    for other in (gate.alone, gate.together):
        passer = Passer(other)
        assert passer.inside.wait(30)
        passer.end()
