"""What runs on a thread beside what is measured."""

from __future__ import annotations

import threading
from typing import Self


class Beside:
    """Use as a context manager: `_run` is on a thread until it is left, which sets `_end` and waits for the thread."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        """Until `_end` is set."""
        raise NotImplementedError
