"""What the three apps have in common: Celery as its docs recommend it for long tasks on Redis."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_ready

BROKER, VISIBILITY = "BENCH_BROKER", "BENCH_VISIBILITY"
READY = "the worker is ready"


def make_app(name: str, **settings: object) -> Celery:
    """BENCH_VISIBILITY: a visibility timeout in seconds with restores that look every second; else Celery's, 1 h."""
    app = Celery(name, broker=os.environ[BROKER])
    app.conf.update(
        task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True, **settings
    )
    if VISIBILITY in os.environ:
        app.conf.broker_transport_options = {
            "visibility_timeout": int(os.environ[VISIBILITY]),
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        }
    return app


def prefetch(flush: int, threads: int) -> int:
    """The multiplier with which each thread has a list of so many messages and one more list waits, so that whoever
    ends one finds the next; Celery multiplies it by the threads. Rounded up: a list that lacks a message waits for its
    interval."""
    return -(-(threads + 1) * flush // threads)


@worker_ready.connect
def _say_so(**_: object) -> None:
    print(READY, flush=True)
