"""A render pool that is started by its first page, for engines that seldom render and workers that seldom split."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings
from workers.render.messages import Inspection
from workers.render.pool import PoolPage, RenderPool


class LazyPool:
    """A RenderPool, made on demand. Thread-safe."""

    def __init__(self, processes: int, page_half: str | None, engine: EngineSettings, limits: LimitSettings) -> None:
        self._arguments = (processes, page_half, engine, limits)
        self._lock = threading.Lock()
        self._pool: RenderPool | None = None

    def start(self) -> RenderPool:
        """The running pool; a new one where the last gave up. Raises EngineUnavailable when no process can start."""
        with self._lock:
            if self._pool is None or self._pool.closed is not None:
                pool = RenderPool(*self._arguments)
                pool.start()
                self._pool = pool
            return self._pool

    def page(
        self, path: Path, media_type: str, number: int, options: PageOptions, dpi: int, password: str | None = None
    ) -> PoolPage:
        """As `RenderPool.page`. Blocks while the first page starts the processes."""
        return self.start().page(path, media_type, number, options, dpi, password)

    def inspecting(self, path: Path, media_type: str, password: str | None = None) -> Future[Inspection]:
        """As `RenderPool.inspecting`. Blocks while the first document starts the processes."""
        return self.start().inspecting(path, media_type, password)

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.close()
