"""Requests per second of a key, over all servers: a sliding window in Redis, by the library `limits`.

Redis is a doorbell and may be away or frozen: a server then counts for itself for a while, and no request waits for
Redis longer than a tenth of a second, the first after each such while alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.errors import RateLimited
from jobs.settings import BrokerSettings

PATIENCE = 0.1
"""Seconds for connecting to Redis, and for each answer."""
AWAY = 5.0
"""Seconds for which a Redis that did not answer is not asked again."""


class Rates:
    """Thread-safe."""

    def __init__(self, settings: BrokerSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._near = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = _shared(settings)
        self._clock = clock
        self._away_until = float("-inf")

    def take(self, key: str, per_second: int | None) -> None:
        """Count a request of this key. Raises RateLimited."""
        if per_second is not None and not self._hit(key, RateLimitItemPerSecond(per_second)):
            raise RateLimited(
                f"more than {per_second} requests a second with this key",
                where="requests_per_second", limit=per_second, retry_after=1,
            )  # fmt: skip

    def _hit(self, key: str, rate: RateLimitItemPerSecond) -> bool:
        if self._shared is not None and self._clock() >= self._away_until:
            try:
                return self._shared.hit(rate, key)
            except StorageError:
                self._away_until = self._clock() + AWAY
        return self._near.hit(rate, key)


def _shared(settings: BrokerSettings) -> SlidingWindowCounterRateLimiter | None:
    """None where the broker is none that `limits` knows (Sentinel is spelled differently in each library)."""
    if not settings.broker_url.startswith(("redis://", "rediss://")):
        return None
    options = {
        "socket_timeout": PATIENCE,
        "socket_connect_timeout": PATIENCE,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        storage = RedisStorage(
            settings.broker_url,
            key_prefix=f"{settings.broker_prefix}rates",
            wrap_exceptions=True,
            **options,  # type: ignore[arg-type]
        )
        return SlidingWindowCounterRateLimiter(storage)
    except (ConfigurationError, StorageError, ValueError):
        return None
