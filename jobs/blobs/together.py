"""Files made durable together: who ends some while others are being flushed shares the next flush with all who wait.

The first to come flushes for everybody, then hands over to one of those who came meanwhile. Nobody is told that a file
is in its place before the file and its folder are on the disk. One thread alone does what it would do without others.

Measured with files of 600 bytes (ext4, virtual disk, two cores): flushing each file and its folder by itself takes
330 us of CPU a file, sixteen of one folder together 70.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import PagemillError


@dataclass(eq=False, slots=True)
class Whole:
    """A file whose bytes are all written, under a temporary name."""

    descriptor: int
    """Open until it is durable, or given up."""
    temporary: Path
    path: Path
    named: bool = False
    durable: bool = False
    error: OSError | PagemillError | None = None


@dataclass(eq=False, slots=True)
class _Waiting:
    """What one caller brought."""

    files: Sequence[Whole]
    settled: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Free when the files are settled, or when it is this caller's turn to flush for all."""


class Together:
    """Thread-safe; one for each store."""

    def __init__(self, move: Callable[[Path, Path], Iterable[Path]]) -> None:
        """`move`: gives a file its name; returns the folders that have to be flushed for it."""
        self._move = move
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._doubtful: set[Path] = set()
        """Folders whose last flush failed. Whoever comes next finds what is new in them and does not know that."""

    def publish(self, files: Sequence[Whole]) -> None:
        """Returns when all are durable under their names. Raises OSError, and what `move` raises, of the first of these
        files that is not; the others may be."""
        ours = _Waiting(files)
        ours.turn.acquire()
        with self._lock:
            self._waiting.append(ours)
            behind, self._busy = self._busy, True
        if behind:
            ours.turn.acquire()
        if not ours.settled:
            self._lead()
        for file in files:
            if not file.durable:
                raise file.error or OSError(errno.EIO, "it was not flushed")

    def _lead(self) -> None:
        """Flush for all who wait, this caller among them, and hand over."""
        with self._lock:
            group, self._waiting = self._waiting, []
        try:
            self._flush([file for waiting in group for file in waiting.files])
        finally:
            self._hand_over()
            for waiting in group:
                waiting.settled = True
                waiting.turn.release()

    def _hand_over(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting[0].turn.release()
            else:
                self._busy = False

    def _flush(self, files: Sequence[Whole]) -> None:
        """All files first, then their names, then the folders, each once."""
        for file in files:
            try:
                os.fsync(file.descriptor)
            except OSError as error:
                file.error = error
        for folder in self._moved(files):
            try:
                _sync_folder(folder)
                self._doubtful.discard(folder)
            except OSError as error:
                self._doubtful.add(folder)
                for file in files:
                    if folder in file.path.parents:
                        file.error = file.error or error
        for file in files:
            file.durable = file.error is None

    def _moved(self, files: Sequence[Whole]) -> Iterable[Path]:
        """The folders that have changed, and those above the files that may be lost with all beneath them."""
        folders: dict[Path, None] = {}
        for file in files:
            if file.error is not None:
                continue
            try:
                changed = self._move(file.temporary, file.path)
            except (OSError, PagemillError) as error:
                file.error = error
            else:
                file.named = True
                folders.update(dict.fromkeys(changed))
                if self._doubtful:
                    folders.update(dict.fromkeys(self._doubtful.intersection(file.path.parents)))
        return folders


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # deleted again meanwhile, with what was in it
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
