"""What an API server tells whoever watches over it: /metrics, /healthz, /readyz on a port of their own.

Healthy is a server whose event loop answers; a database that is away is no reason to kill it, and none to send nobody
to it: it answers 503 with a Retry-After. `GET /v1/health/ready` is for those who ask whether requests will succeed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from api.census import CensusTaker
from api.traffic import Traffic
from jobs.listener import Listener, with_process
from jobs.settings import MetricsSettings

PATIENCE = 5.0
"""Seconds that the event loop may take to answer."""


class Monitor:
    """One per server. Counts in any case; `listening` is for whoever wants to be asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.traffic = Traffic(self.registry)
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def serving(self, taker: CensusTaker) -> Iterator[None]:
        """Requests are served by the running loop."""
        self.registry.register(taker)
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            self._loop = None
            self.registry.unregister(taker)

    @contextmanager
    def listening(self, settings: MetricsSettings) -> Iterator[None]:
        """Raises InvalidRequest where the port is taken."""
        if settings.metrics_port is None:
            yield
            return
        listener = Listener(
            settings.metrics_host,
            settings.metrics_port,
            with_process(self.registry),
            healthy=self.unhealthy,
            ready=self.unready,
        )
        listener.start()
        try:
            yield
        finally:
            listener.stop()

    def unhealthy(self) -> str | None:
        """Why this process should be killed. One that starts or ends should not."""
        loop = self._loop
        if loop is None:
            return None
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:
            return None  # it ended just now
        return None if answered.wait(PATIENCE) else f"the event loop has not answered for {PATIENCE:g} s"

    def unready(self) -> str | None:
        """Why no requests are served."""
        return "starting or ending" if self._loop is None else self.unhealthy()
