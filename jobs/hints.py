"""S3 event messages: which keys somebody says are new. A hint only makes us look at once; sweeps are the truth.

A lost, doubled or forged message therefore harms nothing. They travel in a list of the broker's Redis: from
`POST /v1/inbox/events`, or pushed there by the S3 server itself (`PAGEMILL_INBOX_EVENTS_LIST`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import orjson
from celery import Celery
from redis import Redis

LIST = "inbox.events"
"""Behind the broker's prefix: what came by HTTP."""
MAX_WAITING = 100_000
"""Messages in the list; beyond that the oldest go, and a sweep finds what they told."""
MAX_AT_ONCE = 200

_BUCKETS = "/buckets/"
"""Where SeaweedFS keeps buckets; its own events name whole paths."""


class Hint(NamedTuple):
    bucket: str
    key: str


def parse_hints(message: bytes | str) -> list[Hint]:
    """What a message says was written: S3 event JSON (`Records`), as AWS, MinIO and Ceph send it, also inside of the
    list that MinIO pushes to Redis; an EventBridge event (`detail`); an event of SeaweedFS (`key`). Each once.

    Whatever else it may be tells nothing. Raises ValueError for what is no JSON.
    """
    try:
        found = list(_hints(orjson.loads(message), depth=0))
    except orjson.JSONDecodeError as error:
        raise ValueError(str(error)) from None
    return list(dict.fromkeys(found))


def _hints(value: Any, depth: int) -> Iterator[Hint]:
    if depth > 4:  # MinIO's list of `Event`s of records is 3 deep
        return
    if isinstance(value, list):
        for item in value:
            yield from _hints(item, depth + 1)
    elif isinstance(value, dict):
        yield from _of_record(value)
        for name in ("Records", "Event"):
            if isinstance(value.get(name), list):
                yield from _hints(value[name], depth + 1)


def _of_record(record: dict[str, Any]) -> Iterator[Hint]:
    with suppress(KeyError, TypeError, AttributeError):
        if "s3" in record and "Removed" not in str(record.get("eventName")):
            # Form-encoded, a plus for a space: the one thing that all servers agree on.
            yield from _hint(record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"]))
        elif "detail" in record:
            yield from _hint(record["detail"]["bucket"]["name"], record["detail"]["object"]["key"])
        elif str(record["key"]).startswith(_BUCKETS) and record.get("event_type") != "delete":
            bucket, _, key = record["key"].removeprefix(_BUCKETS).partition("/")
            yield from _hint(bucket, key)


def _hint(bucket: Any, key: Any) -> Iterator[Hint]:
    if isinstance(bucket, str) and isinstance(key, str) and bucket and key:
        yield Hint(bucket, key)


class HintList:
    """The messages in Redis. Every method raises one of `jobs.queue.BROKER_ERRORS` when the broker is away."""

    def __init__(self, app: Celery, prefix: str, extra: str | None = None) -> None:
        """`extra`: a further list, named as it is, that others push to."""
        self._app = app
        self._own = prefix + LIST
        self._lists = [self._own, *([extra] if extra else [])]

    def push(self, hints: Sequence[Hint]) -> None:
        messages = [orjson.dumps({"detail": {"bucket": {"name": h.bucket}, "object": {"key": h.key}}}) for h in hints]
        with self._app.connection_for_write() as connection:
            redis = _plain(connection)
            redis.rpush(self._own, *messages)
            redis.ltrim(self._own, -MAX_WAITING, -1)

    def pop(self, timeout: float) -> list[bytes | str]:
        """Messages. Waits for the first one; what else is there comes with it, MAX_AT_ONCE at most."""
        with self._app.connection_for_read() as connection:
            redis = _plain(connection)
            first = redis.blpop(self._lists, timeout=timeout)
            if first is None:
                return []
            name, message = first
            more = redis.lpop(name, MAX_AT_ONCE - 1)
        return [message, *(more if isinstance(more, list) else [])]


def _plain(connection: Any) -> Redis:
    """A client on kombu's own connections, so that Sentinel URLs work too, but with names taken as they are."""
    return Redis(connection_pool=connection.default_channel.pool)
