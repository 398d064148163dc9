"""Documents' files on this machine: fetched once, kept while somebody reads them and as long as there is room."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.blobs import BlobStore


class _Copy:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self.size = 0
        self.fetched = False
        self.fetching = threading.Lock()


class Sources:
    """Local copies by object key. Where the store is a directory here, its own files are used. Thread-safe."""

    def __init__(
        self,
        blobs: BlobStore,
        directory: Path,
        budget: int,
        on_fetched: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`directory`: for copies, ours alone; what a killed predecessor left there is removed.

        `budget`: bytes of copies kept beyond those in use. `on_fetched` is told the seconds of every download.
        """
        self._on_fetched = on_fetched
        self._blobs = blobs
        self._directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
        self._budget = budget
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, key: str) -> Iterator[Path]:
        """The file of an object, there as long as the block lasts. Raises what `BlobStore.download` does."""
        path = self.take(key)
        try:
            yield path
        finally:
            self.give_back(key)

    def take(self, key: str) -> Path:
        """Like `hold`, to be ended by `give_back`."""
        local = self._blobs.local_path(key)
        if local is not None:
            return local
        copy = self._enter(key)
        try:
            with copy.fetching:
                if not copy.fetched:
                    begun = time.perf_counter()
                    self._blobs.download(key, copy.path)
                    self._on_fetched(time.perf_counter() - begun)
                    copy.size = copy.path.stat().st_size
                    copy.fetched = True
        except BaseException:
            self.give_back(key)
            raise
        return copy.path

    def give_back(self, key: str) -> None:
        with self._lock:
            copy = self._copies.get(key)
            if copy is None:
                return
            copy.users -= 1
            if not copy.users and not copy.fetched:
                del self._copies[key]
            self._make_room()

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def _enter(self, key: str) -> _Copy:
        with self._lock:
            copy = self._copies.get(key)
            if copy is None:
                copy = self._copies[key] = _Copy(self._directory / hashlib.sha256(key.encode()).hexdigest())
            self._copies.move_to_end(key)
            copy.users += 1
            return copy

    def _make_room(self) -> None:
        kept = sum(copy.size for copy in self._copies.values())
        for key, copy in list(self._copies.items()):
            if kept <= self._budget:
                return
            if not copy.users:
                copy.path.unlink(missing_ok=True)
                kept -= copy.size
                del self._copies[key]
