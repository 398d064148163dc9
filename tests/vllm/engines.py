"""The processes of workers that hold vLLM."""

from __future__ import annotations

import psutil

from tests.installation import WorkerService

ENGINE_DIED = 70
"""`workers.consumer.ENGINE_DIED`, which a test must not import: it would bring Celery into this process."""


def engine_cores(worker: WorkerService) -> list[psutil.Process]:
    """vLLM's EngineCore processes below the worker."""
    return [process for process in worker.tree()[1:] if _is_core(process)]


def engine_core(worker: WorkerService) -> psutil.Process:
    [found] = engine_cores(worker)
    return found


def _is_core(process: psutil.Process) -> bool:
    try:
        return "EngineCore" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
