"""The modelled server as a child of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from tests.bench.environments import ROOT, environment
from tests.bench.modelled import Model, Reading, idle_share
from tests.processes import HOST, Service, free_port


@dataclass(frozen=True, slots=True)
class Meters:
    """What the server saw."""

    begin: Reading
    """Its start, or when it was told to forget."""
    first: Reading
    """When the first request came."""
    last: Reading
    """When the last one came."""
    now: Reading
    answered: dict[str, int]
    """Requests by kind."""
    most: int
    """Requests that were there at once."""
    image_tokens: int
    flight: list[tuple[float, int]]

    @classmethod
    def parse(cls, told: Any) -> Meters:
        """Raises RuntimeError where nobody asked for anything."""
        if told["first"] is None:
            raise RuntimeError("nothing was asked of the server")
        begin, first, last, now = (Reading.parse(told[name]) for name in ("begin", "first", "last", "now"))
        return cls(begin, first, last, now, told["answered"], told["most"], told["image_tokens"], told["flight"])

    def idle(self, model: Model, seconds: float) -> float:
        """Share of the engine's work in so many seconds that it was not asked for, since `begin`."""
        return 1 - (self.now.done - self.begin.done) / (model.full * seconds)

    def idle_between(self, model: Model) -> float:
        """Idle share while there was more to come; 0 where everything came at once."""
        return idle_share(model, self.first, self.last) if self.last.at > self.first.at else 0.0


class StubServer(Service):
    """`stub.py` with this model."""

    name = "stub"

    def __init__(self, model: Model) -> None:
        super().__init__(free_port())
        self._model = model
        self._python = environment("openai")

    def _command(self) -> list[str]:
        path = ["/usr/bin/env", f"PYTHONPATH={ROOT}", str(self._python)]
        return [*path, "-m", "tests.bench.peers.stub", str(self.port), str(self._model)]

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://{HOST}:{self.port}/health", timeout=2).is_success
        except httpx.TransportError:
            return False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    def meters(self) -> Meters:
        return Meters.parse(httpx.get(f"http://{HOST}:{self.port}/meters", timeout=10).json())

    def forget(self) -> None:
        """All requests so far, as if it had just started."""
        httpx.post(f"http://{HOST}:{self.port}/forget", timeout=10).raise_for_status()

    def cpu(self) -> float:
        """CPU seconds since its start; half of one is that start."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)
