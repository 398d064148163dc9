"""How many messages Celery takes from the broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery

from workers.consumer import spare_threads, thread_count, worker_class
from workers.turns import Turns

pytestmark = pytest.mark.filterwarnings("ignore:You're running the worker with superuser privileges")


def test_as_many_messages_are_taken_as_are_begun_and_a_few_to_spare():
    """Celery has a thread for every message that may be begun; with all of them it would take what others could."""
    turns = Turns(pages=96, messages=24)

    class Recognizer:
        messages = property(lambda _self: turns.begun)

    process = SimpleNamespace(engine=SimpleNamespace(capacity=64), wiring=SimpleNamespace(recognizer=Recognizer()))
    worker = worker_class(Celery(set_as_current=False), process)(pool="threads", concurrency=thread_count(64))
    assert worker.max_concurrency == spare_threads(64) == 12
    begun = [turns.begin(16, 0.0) for _ in range(2)]
    assert worker.max_concurrency == 14
    begun[0].end()
    assert worker.max_concurrency == 13
    assert thread_count(64) == 24 + 12


def test_a_worker_without_an_engine_has_the_spare_ones():
    process = SimpleNamespace(engine=None, wiring=SimpleNamespace(recognizer=None))
    worker = worker_class(Celery(set_as_current=False), process)(pool="threads", concurrency=thread_count(0))
    assert worker.max_concurrency == spare_threads(0) == thread_count(0)
