"""The event at a task's end wakes the worker's loop where that has refused a message: nothing else would."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from workers.events import PacedConsumer


class Paced(PacedConsumer):
    """As it is once connected, with a hub that notes who is to be called."""

    def __init__(self) -> None:
        self.called: list[Any] = []
        self.free = True
        self.on_look: Callable[[], object] = lambda: None
        self.init_callback = None
        self.hub = SimpleNamespace(call_soon=self.called.append)
        self.event_dispatcher = SimpleNamespace(buffer_limit=24)
        self.qos_of_channel = SimpleNamespace(can_consume=self._look)
        self.task_consumer = SimpleNamespace(channel=SimpleNamespace(qos=self.qos_of_channel))
        self.on_ready()

    def _look(self) -> bool:
        free = self.free
        self.on_look()
        return free

    def may_consume(self) -> bool:
        """As the loop asks."""
        return bool(self.qos_of_channel.can_consume())

    def woken(self) -> int:
        """How often the next event wakes the loop."""
        before = len(self.called)
        self.on_send_event_buffered()
        return len(self.called) - before


@pytest.fixture
def paced() -> Paced:
    """With a flush of events on its way."""
    made = Paced()
    assert made.woken() == 1
    return made


def test_events_wait_for_the_flush_while_messages_are_taken(paced: Paced) -> None:
    assert paced.may_consume()
    assert paced.woken() == 0


def test_a_task_that_ends_wakes_a_loop_that_has_its_hands_full(paced: Paced) -> None:
    # A worker with four threads took four messages in a fifth of a second.
    paced.free = False
    assert not paced.may_consume()
    assert paced.woken() == 1
    assert paced.woken() == 0, "once is enough until it has looked"
    assert not paced.may_consume()
    assert paced.woken() == 1


def test_a_task_that_ends_while_the_loop_looks_wakes_it(paced: Paced) -> None:
    paced.free = False
    woken: list[int] = []
    paced.on_look = lambda: woken.append(paced.woken())
    assert not paced.may_consume()
    assert woken == [1]


def test_what_was_refused_for_one_queue_is_not_forgotten_for_another(paced: Paced) -> None:
    paced.free = False
    paced.may_consume()
    paced.free = True
    assert paced.may_consume()
    assert paced.woken() == 1
