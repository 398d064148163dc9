"""Events of tasks for Flower, sent together a few times a second.

Celery sends what has happened as soon as its loop comes round: 1.6 messages for each of ours, and an eighth of the
Python that a worker runs while pages take no time. Nobody who looks at Flower sees a fifth of a second. Two dozen
events do not wait for it.
"""

from __future__ import annotations

import time

from celery.worker.consumer import Consumer

FLUSH_EVERY = 0.2
"""Seconds that an event waits for others, at most."""


class PacedConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer. Every event carries the time at which it happened."""

    _covered = 0.0
    """Until when an event is sent by a flush that is on its way already."""

    def on_send_event_buffered(self) -> None:
        """In the thread of the task."""
        now = time.monotonic()
        if self.hub and now >= self._covered:
            self._covered = now + FLUSH_EVERY
            self.hub.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        """In the loop. A connection that breaks takes the timer with it: the next event sets another one."""
        self.hub.call_later(FLUSH_EVERY, self._flush_events)

    def stop(self) -> None:
        self._flush_events()
        super().stop()
