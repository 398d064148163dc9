"""The doorbell: the Celery app, task and queue names, and `Doorbell`, the only thing that sends messages.

A message says "look there", never "this is so": it may be lost, doubled or late (docs/states.md). It carries ids only,
once for the worker and once as a text for people, which Flower shows (jobs/readable.py). Settings follow
celery-redis.md, section 9.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from jobs.readable import Jobs, documents_shown, pages_shown
from jobs.settings import BrokerSettings, load
from jobs.store.claiming import DocumentRef, PageRef
from jobs.store.sql import grouped
from jobs.store.webhooks import DeliveryRef

RECOGNIZE = "pagemill.recognize"
SPLIT = "pagemill.split"
ASSEMBLE = "pagemill.assemble"
FETCH = "pagemill.fetch"
PURGE = "pagemill.purge"
WEBHOOK = "pagemill.webhook"
PUBLISH = "pagemill.publish"

PURPOSES = ("recognize", "split", "assemble", "deliver")
"""What a worker may serve. `deliver` is whatever talks to the outside or takes its time: files, webhooks, purges."""

BROKER_ERRORS = (KombuError, RedisError, OSError)
"""What a broker that is away, frozen or flushed raises."""


def recognize_queue(engine: str) -> str:
    return f"recognize.{engine}"


def queue_named(name: str) -> Queue:
    """A queue behind the nameless exchange.

    Kombu drops messages to a named exchange silently when its binding is missing in Redis (after FLUSHALL); the
    nameless one needs no binding. Messages are not acknowledged at all: losing one costs a rescue, keeping account of
    each costs two round trips.
    """
    return Queue(name, exchange=Exchange("", type="direct"), routing_key=name, no_ack=True)


def make_app(settings: BrokerSettings, *, patience: float = 5.0) -> Celery:
    """A Celery app that knows the broker and no tasks; `workers.tasks` adds those. `patience`: seconds that an answer
    of the broker may take."""
    app = Celery("pagemill", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=False,  # the database redelivers
        task_default_queue="split",
        task_default_exchange="",
        task_default_routing_key="split",
        task_create_missing_queues=False,
        task_queues=[],
        task_publish_retry=False,  # rescue rings again
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_send_task_events=True,
        task_send_sent_event=False,
        worker_enable_remote_control=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=4,
        broker_transport_options={
            "global_keyprefix": settings.broker_prefix,
            "master_name": settings.broker_master,  # read where the URL names Sentinels
            "socket_timeout": patience,
            "socket_connect_timeout": min(patience, 3.0),
            "socket_keepalive": True,
            "health_check_interval": 15,
            "max_retries": 0,  # a broker that refuses connections is told at once; the next round tries again
        },
    )
    return app


_NOBODY: Jobs = {}


class Doorbell:
    """Sends messages and looks at queues. Every method raises one of BROKER_ERRORS when the broker is away.

    `jobs`: the job of each document, for people who look at messages; workers do not read it.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring_pages(self, engine: str, refs: Sequence[PageRef], jobs: Jobs = _NOBODY) -> None:
        """One `recognize` message for these pages, grouped by document: `{"doc_…": [[number, attempt], …]}`."""
        pages = grouped((ref.document, [ref.number, ref.attempt]) for ref in refs)
        self._send(RECOGNIZE, recognize_queue(engine), {"pages": pages}, pages_shown(refs, jobs))

    def ring_splits(self, refs: Sequence[DocumentRef], jobs: Jobs = _NOBODY) -> None:
        self._send(SPLIT, "split", {"documents": dict(refs)}, documents_shown(refs, jobs))

    def ring_assemblies(self, refs: Sequence[DocumentRef], jobs: Jobs = _NOBODY) -> None:
        self._send(ASSEMBLE, "assemble", {"documents": dict(refs)}, documents_shown(refs, jobs))

    def ring_fetches(self, refs: Sequence[DocumentRef], jobs: Jobs = _NOBODY) -> None:
        self._send(FETCH, "deliver", {"documents": dict(refs)}, documents_shown(refs, jobs))

    def ring_purge(self, job: str) -> None:
        self._send(PURGE, "deliver", {"job": job}, job)

    def ring_webhooks(self, refs: Sequence[DeliveryRef]) -> None:
        self._send(WEBHOOK, "deliver", {"deliveries": dict(refs)}, ", ".join(ref[0] for ref in refs))

    def ring_publications(self) -> None:
        """Documents have ended whose results are wanted elsewhere too; which, the database knows."""
        self._send(PUBLISH, "deliver", {}, "whatever is due")

    def _send(self, task: str, queue: str, arguments: dict[str, Any], shown: str) -> None:
        # Given both texts, Celery writes no `repr` of the arguments itself, which takes longer and is cut off.
        self._app.send_task(task, kwargs=arguments, queue=queue_named(queue), argsrepr="", kwargsrepr=shown)

    def lengths(self, queues: Sequence[str]) -> dict[str, int]:
        """Messages waiting in Redis by queue."""
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            return {queue: channel._size(queue) for queue in queues}

    def waiting(self, queue: str, limit: int) -> list[Waiting]:
        """The messages waiting in Redis, the one to be taken next first, `limit` at most."""
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            key = f"{channel.global_keyprefix}{queue}"
            raw = channel.client.execute_command("LRANGE", key, -limit, -1)
        return [_waiting(message) for message in reversed(raw)]

    def remove(self, queue: str, message: Waiting) -> bool:
        """Take this very message out of the queue. False where it is gone already."""
        with self._app.connection_for_write() as connection:
            channel = connection.default_channel
            key = f"{channel.global_keyprefix}{queue}"
            return bool(channel.client.execute_command("LREM", key, -1, message.raw))

    def close(self) -> None:
        self._app.close()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in Redis."""

    raw: bytes
    id: str
    task: str
    """Empty where it is none of ours."""
    arguments: dict[str, Any]


def _waiting(raw: bytes) -> Waiting:
    """A Celery message of protocol 2 as kombu keeps it in a list of Redis."""
    try:
        envelope = json.loads(raw)
        headers = envelope["headers"]
        _, arguments, _ = json.loads(base64.b64decode(envelope["body"]))
        return Waiting(raw, str(headers["id"]), str(headers["task"]), dict(arguments))
    except (ValueError, KeyError, TypeError):
        return Waiting(raw, "", "", {})


def page_refs(pages: dict[str, list[list[int]]]) -> list[PageRef]:
    """A `recognize` message's pages. Raises TypeError or ValueError on another shape."""
    return [PageRef(document, int(n), int(attempt)) for document, rows in pages.items() for n, attempt in rows]


def __getattr__(name: str) -> Any:
    # `celery -A jobs.queue:app flower` wants a module attribute; nothing else does, and imports have no effects.
    if name == "app":
        app = make_app(load(BrokerSettings))
        # Flower's inspectors each hold one connection while they ask for a second: with four of them it never starts.
        app.conf.broker_pool_limit = 64
        return app
    raise AttributeError(name)
