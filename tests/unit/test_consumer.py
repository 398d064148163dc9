"""How many messages Celery takes from the broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery

from workers.consumer import spare_threads, thread_count, worker_class

pytestmark = pytest.mark.filterwarnings("ignore:You're running the worker with superuser privileges")


def worker_of(capacity, begun):
    recognizer = SimpleNamespace(messages=begun)
    process = SimpleNamespace(engine=SimpleNamespace(capacity=capacity), wiring=SimpleNamespace(recognizer=recognizer))
    worker = worker_class(Celery(set_as_current=False), process)(pool="threads", concurrency=thread_count(capacity))
    return worker, recognizer


def test_as_many_messages_are_taken_as_are_begun_and_a_few_to_spare():
    """Celery has a thread for every message that may be begun; with all of them it would take what others could."""
    worker, recognizer = worker_of(64, begun=20)
    assert worker.max_concurrency == spare_threads(64) + 20 == 32
    recognizer.messages = 19
    assert worker.max_concurrency == 31
    assert thread_count(64) == 24 + 12


@pytest.mark.parametrize(("capacity", "full"), [(1, 2), (8, 6), (64, 6), (256, 24)])
def test_what_fills_the_engine_is_taken_whatever_else_the_worker_does(capacity, full):
    """Splits and assemblies filled the spare ones; the limit then shrank with every message of pages that ended, to
    nothing, and the engine idled while pages waited. `full`: messages whose pages are 1.5 times the capacity."""
    for begun in range(full + 1):
        worker, _ = worker_of(capacity, begun)
        assert worker.max_concurrency == spare_threads(capacity) + full <= thread_count(capacity)


def test_a_worker_without_an_engine_has_the_spare_ones():
    process = SimpleNamespace(engine=None, wiring=SimpleNamespace(recognizer=None))
    worker = worker_class(Celery(set_as_current=False), process)(pool="threads", concurrency=thread_count(0))
    assert worker.max_concurrency == spare_threads(0) == thread_count(0)
