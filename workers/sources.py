"""Documents' files on this machine: fetched once, kept while somebody reads them and as long as there is room."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path

from jobs.blobs import BlobStore

DOWNLOADS = 16
"""Files on their way at once, for pages: a thread each. Further ones wait for one of them."""


class _Copy:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self.size = 0
        self.begun = self.fetched = False
        self.fetching: Future[Path] = Future()
        # Running: who is canceled while waiting for it cancels it for nobody else.
        self.fetching.set_running_or_notify_cancel()


class Sources:
    """Local copies by object key. Where the store is a directory here, its own files are used. Thread-safe.

    Whoever asks for a file that is on its way shares that download, and its end: one thread a file, however many pages
    of it wait.
    """

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
        self._threads = ThreadPoolExecutor(DOWNLOADS, "download")

    @contextmanager
    def hold(self, key: str) -> Iterator[Path]:
        """The file of an object, there as long as the block lasts. Raises what `BlobStore.download` does."""
        path = self.take(key)
        try:
            yield path
        finally:
            self.give_back(key)

    def take(self, key: str) -> Path:
        """Like `hold`, to be ended by `give_back`. Blocks while it, or somebody else, downloads the file."""
        local = self._blobs.local_path(key)
        if local is not None:
            return local
        copy, new = self._enter(key)
        if new:
            self._fetch(key, copy)
        return copy.fetching.result()

    def ask(self, key: str) -> Path | Future[Path]:
        """Like `take` for one who must not keep a thread for as long as a download takes: where the file is not here
        yet, the future of those who wait for it. `give_back` ends this too, but for a future that fails: whoever got
        that holds nothing, and the next to ask has it tried again."""
        local = self._blobs.local_path(key)
        if local is not None:
            return local
        copy, new = self._enter(key)
        if new:
            # With the context of who asks: what is logged there is about that page.
            try:
                self._threads.submit(copy_context().run, self._fetch, key, copy)
            except BaseException as error:  # no thread can be started; one that runs may have come to it all the same
                if self._forget(key, copy):
                    copy.fetching.set_exception(error)
                    raise
        return copy.path if copy.fetched else copy.fetching

    def give_back(self, key: str, asked: Future[Path] | None = None) -> None:
        """`asked`: what `ask` returned, where it was not waited for to its end."""
        with self._lock:
            copy = self._copies.get(key)
            if copy is None or asked not in (None, copy.fetching):
                return
            copy.users -= 1
            self._make_room()

    def close(self) -> None:
        """Nobody reads or waits any more. Blocks while downloads run; those that have not begun never do."""
        self._threads.shutdown()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _enter(self, key: str) -> tuple[_Copy, bool]:
        """The copy, and whether it is new: then it is up to the caller that it is fetched."""
        with self._lock:
            copy = self._copies.get(key)
            new = copy is None
            if copy is None:
                copy = self._copies[key] = _Copy(self._directory / hashlib.sha256(key.encode()).hexdigest())
            self._copies.move_to_end(key)
            copy.users += 1
            return copy, new

    def _fetch(self, key: str, copy: _Copy) -> None:
        """Never raises: whatever goes wrong is told to all who wait, and they hold nothing then."""
        if not self._begin(key, copy):
            return
        try:
            begun = time.perf_counter()
            self._blobs.download(key, copy.path)
            self._on_fetched(time.perf_counter() - begun)
            size = copy.path.stat().st_size
        except BaseException as error:  # noqa: BLE001 - a value: else they would wait for ever
            with self._lock:
                del self._copies[key]
            copy.fetching.set_exception(error)
            return
        with self._lock:
            copy.size, copy.fetched = size, True
            self._make_room()
        copy.fetching.set_result(copy.path)

    def _forget(self, key: str, copy: _Copy) -> bool:
        """False where a thread has come to it."""
        with self._lock:
            if not copy.begun:
                del self._copies[key]
            return not copy.begun

    def _begin(self, key: str, copy: _Copy) -> bool:
        """False where it failed before a thread came to it, or all who asked have let go: then it is forgotten."""
        with self._lock:
            if self._copies.get(key) is not copy:
                return False
            if not copy.users:
                del self._copies[key]
                return False
            copy.begun = True
            return True

    def _make_room(self) -> None:
        kept = sum(copy.size for copy in self._copies.values())
        for key, copy in list(self._copies.items()):
            if kept <= self._budget:
                return
            if copy.fetched and not copy.users:
                with suppress(OSError):  # it goes with the folder; nobody who waits for another may hear of it
                    copy.path.unlink()
                kept -= copy.size
                del self._copies[key]
