"""Device slots: which place on its host a worker process takes, so that its next incarnation can take over its pages.

A slot is held by a file lock, which the kernel frees when the process dies: two living workers never share one, and a
restarted worker finds its predecessor's slot free. `pagemill worker --devices` takes the slots of its workers on CPUs
itself and holds them as long as it lives: each worker is handed its lock, so that after a death the next one is in the
same slot, and no stranger has come in between.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path

from jobs.errors import InvalidRequest

HANDED = "PAGEMILL_SLOT_LOCK"
"""The variable by which a worker is told the file descriptor of its slot's lock, which its supervisor took."""


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """A slot by name, ours until `release` or death."""

    name: str
    unique: str
    """The name among all slots of all installations that share a directory; can be a file's name."""
    descriptor: int
    """Of the locked file: whoever inherits it holds the slot too."""

    def release(self) -> None:
        os.close(self.descriptor)


def scope_of(database_url: str) -> str:
    """Tells installations with different databases apart, in names on this host."""
    return sha256(database_url.encode()).hexdigest()[:12]


def take_slot(host: str, device: str, name: str | None, scope: str, handed: str | None = None) -> HeldSlot:
    """The slot `name`, or the first free one of the device's: `cpu-0`, `cpu-1`, …; `gpu3-0`, … for the card 3.

    `scope` keeps installations with different databases on one host apart. `handed`: the value of `HANDED`, where it is
    set. Raises InvalidRequest when `name` is taken by a living worker.
    """
    directory = Path(tempfile.gettempdir()) / f"pagemill-slots-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    place = f"gpu{device}" if device.isdigit() else device
    names = [name] if name is not None else (f"{place}-{number}" for number in count())
    for candidate in names:
        unique = f"{scope}.{host}.{candidate}".replace("/", "_")
        path = directory / f"{unique}.lock"
        descriptor = _handed(handed, path) if handed is not None else _lock(path)
        if descriptor is not None:
            return HeldSlot(candidate, unique, descriptor)
    raise InvalidRequest(f"another worker on this host holds slot {name!r}", where="PAGEMILL_SLOT", actual=name)


def _handed(text: str, path: Path) -> int | None:
    """The descriptor that was handed to us, if it is this file's and locked for us: a variable that came from elsewhere
    names another file, and then the lock is taken as usual. What we start does not get it."""
    try:
        descriptor = int(text)
        ours = os.path.samestat(os.fstat(descriptor), path.stat())
    except (ValueError, OverflowError, OSError):
        ours = False
    if not ours:
        return _lock(path)
    os.set_inheritable(descriptor, False)
    try:
        fcntl.flock(
            descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB
        )  # nothing new where it is locked already, as it should be
    except BlockingIOError:
        return None
    return descriptor


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
