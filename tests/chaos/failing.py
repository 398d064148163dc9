"""`python -m tests.chaos.failing`: a worker that dies at one exact place when it is told to.

Its functions are wrapped from outside, so that the product carries no hooks. The file that CHAOS_FAILPOINT names holds
the place's name while it is armed; whoever passes there next removes the file and is killed, as by `kill -9`.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

VARIABLE = "CHAOS_FAILPOINT"

When = Literal["before", "after"]

POINTS: dict[str, tuple[str, str, When]] = {
    "claim_not_begun": ("jobs.store.claiming", "claim_pages", "before"),
    "claim_not_committed": ("jobs.store.claiming", "claim_pages", "after"),
    "claim_committed": ("workers.hands", "Hands.take", "before"),
    "put_not_begun": ("workers.pages", "ResultWriter.put_pages", "before"),
    "put_done": ("workers.pages", "ResultWriter.put_pages", "after"),
    "record_not_begun": ("jobs.store.recording", "record", "before"),
    "record_not_committed": ("jobs.store.recording", "record", "after"),
    "record_committed": ("workers.recorder", "Recorder._record", "after"),
    "ring_stamped": ("jobs.dispatch", "_send", "before"),
    "ring_half_sent": ("jobs.queue", "Doorbell.ring_pages", "after"),
    "ring_sent": ("jobs.dispatch", "_send", "after"),
    "split_not_committed": ("jobs.store.submitting", "insert_and_seal", "after"),
    "split_committed": ("workers.split", "Splitter._insert", "after"),
    "assembly_put": ("workers.assemble", "Assembler._put_whole", "after"),
    "finish_not_committed": ("jobs.store.closing", "finish_documents", "after"),
    "manifest_put": ("jobs.store.closing", "close_job", "before"),
    "close_not_committed": ("jobs.store.closing", "close_job", "after"),
    "close_committed": ("jobs.lifecycle", "close", "after"),
    "rescue_not_committed": ("jobs.store.rescue", "take_back_pages", "after"),
}
"""Module, function, and on which side of it. After: only where it did something."""


def arm(file: Path, point: str) -> None:
    assert point in POINTS
    file.write_text(point)


def install(file: Path) -> None:
    """Wrap every place in POINTS."""
    for point, (module, name, when) in POINTS.items():
        owner: Any = import_module(module)
        *parents, last = name.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, last, _wrapped(getattr(owner, last), point, when, file))


def _wrapped(function: Callable[..., Any], point: str, when: When, file: Path) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            _pass(point, file)
        result = function(*args, **kwargs)
        if when == "after" and (result is None or result):
            _pass(point, file)
        return result

    return wrapper


def _pass(point: str, file: Path) -> None:
    try:
        armed = file.read_text()
    except FileNotFoundError:
        return
    if armed == point:
        file.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    install(Path(os.environ[VARIABLE]))
    from workers.__main__ import main

    sys.exit(main())
