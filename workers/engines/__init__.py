"""Engine names and where they live. Strings, so that nothing is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from workers.engines.base import Engine

ENGINES: dict[str, str] = {
    "echo": "workers.engines.echo:EchoEngine",
    "paddleocr_vl": "workers.engines.paddleocr_vl.engine:PaddleOcrVlEngine",
    "rapidocr": "workers.engines.rapidocr.engine:RapidOcrEngine",
}


def build_engine(settings: EngineSettings) -> Engine:
    """An engine by name, not yet started. Raises EngineUnavailable when the name or its libraries are missing."""
    try:
        target = ENGINES[settings.name]
    except KeyError:
        raise EngineUnavailable(
            f"there is no engine {settings.name!r}; known: {', '.join(sorted(ENGINES))}", where="PAGEMILL_ENGINE"
        ) from None
    module, _, name = target.partition(":")
    try:
        engine: Engine = getattr(import_module(module), name)(settings)
    except ImportError as error:
        raise EngineUnavailable(
            f"engine {settings.name!r} cannot be imported: {error}; is its extra installed?", where="PAGEMILL_ENGINE"
        ) from error
    return engine
