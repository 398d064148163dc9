"""The watchdog's judgement, look by look."""

from __future__ import annotations

import asyncio
import threading

import pytest

from workers.loop import EngineLoop
from workers.watchdog import LOOKS, Watchdog, resident


@pytest.fixture
def engine_loop():
    loop = EngineLoop()
    loop.start()
    yield loop
    loop.stop()


class Told:
    def __init__(self, loop, memory=None, stall=3600.0):
        self.stalls, self.memory = [], []
        self.watchdog = Watchdog(
            loop.loop, stall=stall, memory=memory, on_stall=self.stalls.append, on_memory=self.memory.append
        )

    def look(self, loop, times=1):
        for _ in range(times):
            answered = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop.loop)
            answered.result(10)  # what the watchdog asked before has been answered as well
            self.watchdog.look()


def test_a_loop_that_answers_never_stalls(engine_loop):
    told = Told(engine_loop)
    told.watchdog.ask()
    told.look(engine_loop, 3 * LOOKS)
    assert told.stalls == []


def test_a_loop_that_stands_still_is_told_of_after_the_stall_time_and_not_before(engine_loop):
    told = Told(engine_loop)
    blocked, go_on = threading.Event(), threading.Event()
    engine_loop.loop.call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(60)))
    assert blocked.wait(10)
    told.watchdog.ask()
    for _ in range(LOOKS - 1):
        told.watchdog.look()
    assert told.stalls == []
    told.watchdog.look()
    assert told.stalls == [3600.0]

    go_on.set()
    told.look(engine_loop, 2)
    assert told.stalls == [3600.0]


def test_memory_is_told_of_only_beyond_its_limit(engine_loop):
    enough, little = Told(engine_loop, memory=2 * resident()), Told(engine_loop, memory=resident() // 2)
    for told in (enough, little):
        told.watchdog.ask()
        told.look(engine_loop)
    assert (enough.memory, little.memory[0] > resident() // 2) == ([], True)


def test_it_looks_by_itself(engine_loop):
    told = Told(engine_loop, memory=1, stall=0.08)
    told.watchdog.start()
    deadline = threading.Event()
    while not told.memory:
        deadline.wait(0.01)
    told.watchdog.stop()
