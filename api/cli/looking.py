"""How Flower is started here, whoever starts it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

MAX_TASKS = 20_000
"""Messages in memory, measured at 5.5 KB each; Flower's own default is five times that."""
FORGET_WORKERS = 3600
"""Seconds after which a worker that is gone is no longer listed, as in our own table."""
COLUMNS = "name,kwargs,worker,state,result,exception,received,runtime,uuid"
_DEFAULTS = {
    "FLOWER_MAX_TASKS": str(MAX_TASKS),
    "FLOWER_PURGE_OFFLINE_WORKERS": str(FORGET_WORKERS),
    "FLOWER_TASKS_COLUMNS": COLUMNS,
    "FLOWER_READ_ONLY": "true",
}


def flower_argv() -> list[str]:
    """Everything is in the environment: arguments are for all to see. A flowerconfig.py of the folder we happen to
    stand in is not read; it could take the login away."""
    return [sys.executable, "-m", "celery", "-A", "jobs.queue:app", "flower", f"--conf={os.devnull}"]


def flower_environment(given: Mapping[str, str]) -> dict[str, str]:
    """`given` with our defaults for what it does not say."""
    return {**_DEFAULTS, **given}
