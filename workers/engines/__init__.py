"""Engine names and where they live. Strings, so that nothing is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from workers.engines.base import Engine, Whole

ENGINES: dict[str, str] = {
    "echo": "workers.engines.echo:EchoEngine",
    "paddleocr_vl": "workers.engines.paddleocr_vl.engine:PaddleOcrVlEngine",
    "rapidocr": "workers.engines.rapidocr.engine:RapidOcrEngine",
}

WHOLES: dict[str, str] = {
    "paddleocr_vl": "workers.engines.paddleocr_vl.restructure:restructuring",
}
"""By engine: what makes a `Whole` of a document's options, or None where they ask for nothing. Any worker can import
it, whatever its own engine."""


def build_whole(engine: str, options: dict[str, Any]) -> Whole | None:
    """What looks across the pages of a document that this engine read; None where nothing does.

    `options`: the job's, as stored.
    """
    if engine not in WHOLES:
        return None
    module, _, name = WHOLES[engine].partition(":")
    whole: Whole | None = getattr(import_module(module), name)(options)
    return whole


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
