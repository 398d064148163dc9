"""Processes that are started before what they need is there: they import meanwhile, and go on when the latch opens.

The latch is a pipe of which a process holds the reading end: it is open when nobody holds the other one any more. So it
stays open for whoever is started later, and whoever waits does not wait for ever for a parent that died.
"""

from __future__ import annotations

import os

VARIABLE = "PAGEMILL_LATCH"
"""By which a process is told the file descriptor that it inherited."""


class Latch:
    """Of whoever starts processes."""

    def __init__(self) -> None:
        # Of the first one children inherit a copy, under the same number.
        self.descriptor, self._other = os.pipe()

    def open(self) -> None:
        """Once; everybody goes on."""
        other, self._other = self._other, -1
        if other >= 0:
            os.close(other)

    def close(self) -> None:
        """Nobody is started any more."""
        self.open()
        os.close(self.descriptor)


def wait(descriptor: str | None) -> None:
    """Until it is open; at once where there is none. `descriptor`: the value of `VARIABLE`, where it is set."""
    if descriptor is not None:
        with os.fdopen(int(descriptor), "rb") as latch:
            latch.read()
