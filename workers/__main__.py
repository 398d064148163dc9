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

from jobs.errors import PagemillError


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # While it starts it holds no page; a model that loads would answer a signal late or never. Celery takes them over.
    signal.signal(signal.SIGTERM, _leave)
    from workers.config import load_settings
    from workers.consumer import Consumer

    try:
        return Consumer(load_settings()).run()
    except PagemillError as error:
        where = f" ({error.where})" if error.where else ""
        sys.stderr.write(f"pagemill worker: {error.code}: {error}{where}\n")
        return 1


def _leave(_number: int, _frame: Any) -> NoReturn:
    sys.stderr.write("pagemill worker: told to end before it took work\n")
    os._exit(0)  # what it started dies with it


if __name__ == "__main__":
    sys.exit(main())
