"""What a worker process tells whoever watches over it: /metrics, /healthz, /readyz (jobs/listener.py).

Healthy is a worker that makes progress, not one that answers: its heartbeat reached the database lately, or found it
away, which is no reason to kill workers; and its engine's loop turns. A worker that starts is healthy: a model takes
what it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from jobs import metrics
from jobs.listener import Listener, with_process
from jobs.settings import EngineSettings, MetricsSettings
from workers.engines.base import Engine
from workers.meter import Meter
from workers.presence import Life
from workers.watchdog import Watchdog


class Monitor:
    """Listens from `start` to `stop`, if anybody wants it; counts in any case."""

    def __init__(
        self, settings: MetricsSettings, meter: Meter, stale: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`stale`: seconds after which a heartbeat that has come to no end is none."""
        self.meter = meter
        self.watchdog: Watchdog | None = None
        self._stale = stale
        self._clock = clock
        self._beat: float | None = None
        self._reason: str | None = None
        metrics.WORKER_READY.gauge(meter.registry).set_function(lambda: float(self.unready() is None))
        self._listener = self._build_listener(settings)

    def _build_listener(self, settings: MetricsSettings) -> Listener | None:
        if settings.metrics_port is None:
            return None
        registry = with_process(self.meter.registry)
        return Listener(
            settings.metrics_host, settings.metrics_port, registry, healthy=self.unhealthy, ready=self.unready
        )

    def start(self) -> None:
        """Raises InvalidRequest where the port is taken."""
        if self._listener is not None:
            self._listener.start()

    def stop(self) -> None:
        self.live(Life.STOPPED)
        if self._listener is not None:
            self._listener.stop()

    def live(self, life: Life, reason: str | None = None) -> None:
        self._reason = reason or self._reason
        self.meter.presence.live(life)

    def beat(self) -> None:
        """A heartbeat came to its end: it reached the database, or knows that it is away."""
        self._beat = self._clock()

    def has_engine(self, engine: Engine, settings: EngineSettings) -> None:
        resident = settings.name == "paddleocr_vl" and settings.vl_backend == "vllm"
        self.meter.has_engine(engine.capacity, settings.vllm_max_num_seqs if resident else None)

    def unready(self) -> str | None:
        """Why no work is claimed."""
        life = self.meter.presence.life
        if life is Life.SERVING:
            return None
        return f"{life.value}: {self._reason}" if self._reason else life.value

    def unhealthy(self) -> str | None:
        """Why this process should be killed."""
        if self.meter.presence.life is Life.STARTING:
            return None
        if self._beat is not None and self._clock() - self._beat > self._stale:
            return f"the last heartbeat ended {self._clock() - self._beat:.0f} s ago, {self._stale:g} s are allowed"
        if self.watchdog is not None and self.watchdog.stands_still:
            return f"the engine's loop has not answered for {self.watchdog.silent:.0f} s"
        return None
