"""What `pagemill doctor` tries in a store that is a directory: what jobs/blobs/local.py relies on, once each."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from jobs.blobs.keys import RESERVED

_BODY = b"pagemill doctor: a probe that may be removed\n"


def try_folder(root: Path) -> None:
    """Make a file that must be new, write and sync it, rename it into its place, read it, remove it, and sync the
    folder. Nothing is left. Raises OSError naming the step that failed."""
    folder = root / f"{RESERVED}doctor-{secrets.token_hex(8)}"
    written, placed = folder / "written", folder / "placed"
    try:
        folder.mkdir()
        descriptor = os.open(written, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_BODY)
            file.flush()
            os.fsync(file.fileno())
        written.replace(placed)
        _sync(folder)
        if placed.read_bytes() != _BODY:
            raise OSError(f"{placed} holds other bytes than were written")
    finally:
        for path in (written, placed):
            path.unlink(missing_ok=True)
        if folder.exists():
            folder.rmdir()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
