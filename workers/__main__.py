"""`python -m workers`: one worker process, configured by PAGEMILL_… variables.

Exit status: 0 after a shutdown in good order, 1 when it cannot start, 70 when its engine died or its loop
stood still, 75 when it drained because it had too much memory.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any, NoReturn

from jobs import latch, logs, tracing
from jobs.errors import PagemillError
from jobs.settings import LogSettings, environment, load

log = logging.getLogger(__name__)


def main() -> int:
    # While it starts it holds no page; a model that loads would answer a signal late or never. Celery takes them over.
    signal.signal(signal.SIGTERM, _leave)
    try:
        logs.set_up(load(LogSettings))
        tracing.set_up("pagemill-worker")
        from workers.config import load_settings
        from workers.consumer import Consumer

        latch.wait(environment().get(latch.VARIABLE))
        return Consumer(load_settings()).run()
    except PagemillError as error:
        logs.last_words("pagemill worker", error)
        return 1


def _leave(_number: int, _frame: Any) -> NoReturn:
    log.warning("told to end before it took work", extra={"action": "left"})
    os._exit(0)  # what it started dies with it


if __name__ == "__main__":
    sys.exit(main())
