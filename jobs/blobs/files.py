"""Failures of a disk, as errors of the service."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import ServiceError, StorageFull, StorageUnavailable

# No space; no space for this user; larger than the file system or the process's limit allows.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_error(error: OSError, what: str) -> ServiceError:
    """StorageFull or StorageUnavailable; `what` names the disk."""
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return StorageFull(f"{what} is full: {reason}")
    return StorageUnavailable(f"{what} cannot be used: {reason}")


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, what) from error


def save(pieces: Iterable[bytes], path: Path) -> None:
    """Write a file, or leave none. Raises StorageFull or StorageUnavailable for its disk."""
    try:
        with disk_errors(f"the disk of {path.name}"), path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
