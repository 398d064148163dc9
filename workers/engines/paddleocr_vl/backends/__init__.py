"""What reads one crop: a model resident in this process, or servers that hold it. Names and where they live."""

from __future__ import annotations

from importlib import import_module

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from workers.engines.paddleocr_vl.backends.base import Backend

BACKENDS: dict[str, str] = {
    "vllm": "workers.engines.paddleocr_vl.backends.vllm:VllmBackend",
    "openai": "workers.engines.paddleocr_vl.backends.openai:OpenAiBackend",
}


def build_backend(settings: EngineSettings) -> Backend:
    """The backend that the settings name, not yet started. Raises EngineUnavailable when a library is missing."""
    module, _, name = BACKENDS[settings.vl_backend].partition(":")
    try:
        backend: Backend = getattr(import_module(module), name)(settings)
    except ImportError as error:
        raise EngineUnavailable(
            f"backend {settings.vl_backend!r} cannot be imported: {error}; is its extra installed?",
            where="PAGEMILL_VL_BACKEND",
        ) from error
    return backend
