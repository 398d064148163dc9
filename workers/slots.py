"""Device slots: which place on its host a worker process takes, so that its next incarnation can take over its pages.

A slot is held by a file lock, which the kernel frees when the process dies: two living workers never share one, and a
restarted worker finds its predecessor's slot free.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from jobs.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """A slot by name, ours until `release` or death."""

    name: str
    unique: str
    """The name among all slots of all installations that share a directory; can be a file's name."""
    _descriptor: int

    def release(self) -> None:
        os.close(self._descriptor)


def take_slot(host: str, device: str, name: str | None, scope: str) -> HeldSlot:
    """The slot `name`, or the first free one of the device's: `cpu-0`, `cpu-1`, …; `gpu3-0`, … for the card 3.

    `scope` keeps installations with different databases on one host apart. Raises InvalidRequest when `name` is taken
    by a living worker.
    """
    directory = Path(tempfile.gettempdir()) / f"pagemill-slots-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    place = f"gpu{device}" if device.isdigit() else device
    names = [name] if name is not None else (f"{place}-{number}" for number in count())
    for candidate in names:
        unique = f"{scope}.{host}.{candidate}".replace("/", "_")
        descriptor = _lock(directory / f"{unique}.lock")
        if descriptor is not None:
            return HeldSlot(candidate, unique, descriptor)
    raise InvalidRequest(f"another worker on this host holds slot {name!r}", where="PAGEMILL_SLOT", actual=name)


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
