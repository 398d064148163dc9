"""Events of tasks for Flower, sent together a few times a second.

Celery sends what has happened as soon as its loop comes round: 1.6 messages for each of ours, and an eighth of the
Python that a worker runs while pages take no time. Nobody who looks at Flower sees a fifth of a second.

That an event wakes the loop has a second use: messages are acknowledged early, so the event is all that tells the loop
of a task's end, and only the loop asks the broker again where the worker had its hands full. There each event wakes it.
"""

from __future__ import annotations

import time

from celery.worker.consumer import Consumer

FLUSH_EVERY = 0.2
"""Seconds that an event waits for others, at most."""


MANY = 1000
"""Events that do not wait for it. With Celery's two dozen a task would every now and then send them itself, on its
thread, and wake nobody."""


class PacedConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer. Every event carries the time at which it happened."""

    _covered = 0.0
    """Until when an event is sent by a flush that is on its way already."""
    _hands_full = False
    """The loop has refused a message, and has not been woken since."""

    def on_ready(self) -> None:
        """Connected, the first time or again: the channel is a new one."""
        super().on_ready()
        self.event_dispatcher.buffer_limit = MANY
        qos = self.task_consumer.channel.qos
        can_consume = qos.can_consume

        def noticed() -> bool:
            # Before it looks: a task that ends right after would find nobody to wake.
            before, self._hands_full = self._hands_full, True
            can = bool(can_consume())
            if can:
                self._hands_full = before
            return can

        qos.can_consume = noticed

    def on_send_event_buffered(self) -> None:
        """In the thread of the task. One that has ended is no longer counted when its event comes."""
        now = time.monotonic()
        if self.hub and now >= self._covered:
            self._covered = now + FLUSH_EVERY
            self.hub.call_soon(self._flush_later)
        elif self.hub and self._hands_full:
            self._hands_full = False
            self.hub.call_soon(_come_round)

    def _flush_later(self) -> None:
        """In the loop. A connection that breaks takes the timer with it: the next event sets another one."""
        self.hub.call_later(FLUSH_EVERY, self._flush_events)

    def stop(self) -> None:
        self._flush_events()
        super().stop()


def _come_round() -> None:
    """The loop asks the broker on its way."""
