"""The object store that is a directory: `ROOT/<key>`, and `ROOT/.pagemill-tmp/` for what is still being written.

An object is written beside the others and renamed into its place, so that readers never see half of one. File and
directory are fsynced before a write returns. `kill -9` alone would not need it, the page cache stays; but a row in the
database outlives a power cut, so the object it names must too, or a page would have succeeded without its result.
Measured with 6 kB objects (ext4, virtual disk, two cores, others busy): 1,900 to 2,500 puts/s from 8 threads and 600
to 1,300 from one, where without fsync it was 3,000 to 5,000 and 5,000 to 6,400; 0.25 to 0.35 ms more CPU a put. Those
who put at the same time, or several at once, have since shared what this costs (together.py).

`.pagemill-tmp` also tells a store from the empty mount point of a disk that is not there: without it nothing is
`missing`, the store is away.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from jobs.blobs.base import BlobMissing, BlobStat, NewObject, nothing
from jobs.blobs.files import disk_error, disk_errors, save
from jobs.blobs.keys import RESERVED, check_key, check_prefix
from jobs.blobs.together import Together, Whole
from jobs.errors import InvalidRequest, StorageFull, StorageUnavailable

MIN_FREE = 64 * 1024 * 1024
"""Bytes that must be free for `check` to pass, or a twentieth of a smaller disk."""

_STALE = 24 * 3600
"""Seconds after its last write when a temporary file belongs to nobody any more (its writer was killed)."""

_OPEN = 64
"""Files that one call keeps open at once: a bundle is counted in pages, and a page may have a hundred figures where a
process may often have 1,024 open files."""

_LARGE = 1024 * 1024
"""Bytes from which the flush of a file takes long enough for others to notice: gigabytes take seconds."""

_advise = getattr(os, "posix_fadvise", None)
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_DISK = "the disk of the object store"


class LocalStore:
    """Objects as files under one directory. Any number of threads and processes may share it."""

    bundle: ClassVar[int] = 32

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._temporary = self._root / f"{RESERVED}tmp"
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count()
        self.together = Together(self._move)
        with disk_errors(_DISK):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)  # other people's documents
            self._temporary.mkdir(exist_ok=True)
            self._sweep()

    def _sweep(self) -> None:
        """Remove what killed writers left long ago."""
        oldest = time.time() - _STALE
        for path in self._temporary.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    # --- writing

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self.put_all([NewObject(key, data, content_type)])

    def put_all(self, objects: Sequence[NewObject]) -> None:
        files = [(self._path(new.key), new.data) for new in objects]
        for first in range(0, len(files), _OPEN):
            self._put_some(files[first : first + _OPEN])

    def _put_some(self, files: Sequence[tuple[Path, bytes]]) -> None:
        begun: list[Whole] = []
        try:
            with disk_errors(_DISK):
                for path, data in files:
                    temporary, descriptor = self._create()
                    begun.append(Whole(descriptor, temporary, path))
                    _write(descriptor, data)
                self.together.publish(begun)
        finally:
            for file in begun:
                _discard(file)

    def writer(self, key: str, content_type: str = "application/octet-stream") -> LocalWriter:
        return LocalWriter(self, self._path(key))

    def copy(self, source: str, target: str) -> None:
        """No hard link: it would be as old as the source is, and `pagemill reconcile` takes old objects that no row
        names yet for orphans."""
        pieces = self.stream(source)
        with self.writer(target) as writer:
            for piece in pieces:
                writer.write(piece)

    def _create(self) -> tuple[Path, int]:
        """A new temporary file, open for writing."""
        path = self._temporary / f"{self._name}-{next(self._numbers)}"
        return path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)

    def _move(self, temporary: Path, path: Path) -> set[Path]:
        """Give a whole file its name. Returns the directories that this has changed."""
        changed = {path.parent}
        while True:
            try:
                temporary.replace(path)
                break
            except FileNotFoundError:
                # The folder is new, or a deletion found it empty just now and took it away.
                if not temporary.exists():
                    raise
                changed.update(new.parent for new in self._make_directory(path.parent))
            except (IsADirectoryError, NotADirectoryError):
                raise _conflict(path, self._root) from None
        return changed

    def _make_directory(self, directory: Path) -> list[Path]:
        """The directories that had to be created, the store's own never being one of them."""
        missing = []
        while directory != self._root and not directory.is_dir():
            missing.append(directory)
            directory = directory.parent
        for new in reversed(missing):
            try:
                new.mkdir(exist_ok=True)
            except FileNotFoundError:
                break  # deleted meanwhile: the move will fail, and all of this is tried again
            except (FileExistsError, NotADirectoryError):
                if new.is_dir() or not new.exists():
                    break  # it came and went while we looked: the move will tell
                raise _conflict(new, self._root) from None
        return missing

    # --- reading

    def get(self, key: str) -> bytes:
        with self._reading(key) as path:
            return path.read_bytes()

    def stream(self, key: str, chunk: int = 1 << 20) -> Iterator[bytes]:
        pieces = self._pieces(key, chunk)
        next(pieces)  # opens the file
        return pieces

    def _pieces(self, key: str, chunk: int) -> Iterator[bytes]:
        with self._reading(key) as path, path.open("rb", buffering=0) as file:
            yield b""
            while piece := file.read(chunk):
                yield piece

    def download(self, key: str, path: Path) -> None:
        save(self.stream(key), path)

    def local_path(self, key: str) -> Path | None:
        """Raises BlobMissing. The file must only be read, and may be replaced (not changed) at any time."""
        with self._reading(key) as path:
            if not path.is_file():
                raise FileNotFoundError
            return path

    def stat(self, key: str) -> BlobStat | None:
        try:
            with self._reading(key) as path:
                return _stat(key, path)
        except BlobMissing:
            return None

    @contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        try:
            yield path
        except _ABSENT as error:
            self._require_root()
            raise BlobMissing(key) from error
        except OSError as error:
            raise disk_error(error, _DISK) from error

    def _require_root(self) -> None:
        if not self._temporary.is_dir():
            raise StorageUnavailable("the directory of the object store is not there")

    # --- listing and deleting

    def list(self, prefix: str) -> Iterator[BlobStat]:
        return self._listing(check_prefix(prefix))

    def _listing(self, prefix: str) -> Iterator[BlobStat]:
        with disk_errors(_DISK):
            for key, path in self._walk(prefix):
                with suppress(*_ABSENT):
                    yield _stat(key, path)

    def _walk(self, prefix: str) -> Iterator[tuple[str, Path]]:
        """Files by ascending key. Holds the names of one directory per level in memory, never the whole tree."""
        folder, slash, beginning = prefix.rpartition("/")
        self._require_root()
        pending = [self._entries(folder + slash, beginning)]
        while pending:
            key = next(pending[-1], None)
            if key is None:
                pending.pop()
            elif key.endswith("/"):
                pending.append(self._entries(key, ""))
            else:
                yield key, self._root / key

    def _entries(self, folder: str, beginning: str) -> Iterator[str]:
        """Keys right under a folder, its folders with a slash at the end, in the order of the keys beneath."""
        try:
            with os.scandir(self._root / folder) as entries:
                names = [
                    f"{folder}{entry.name}/" if entry.is_dir() else folder + entry.name
                    for entry in entries
                    if entry.name.startswith(beginning) and not entry.name.startswith(RESERVED)
                ]
        except _ABSENT:
            return iter(())
        return iter(sorted(names))  # by code point, which is the order of UTF-8 too

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with disk_errors(_DISK), suppress(*_ABSENT):
                path.unlink()
                self._prune(path.parent)
            self._require_root()

    def _prune(self, directory: Path) -> None:
        """Remove a directory and those above it, as far as they are empty."""
        while directory != self._root and _remove_empty(directory):
            directory = directory.parent

    def delete_prefix(self, prefix: str, between: Callable[[], None] = nothing) -> int:
        deleted = 0
        with disk_errors(_DISK):
            for _, path in self._walk(check_prefix(prefix)):
                with suppress(FileNotFoundError):
                    path.unlink()
                    deleted += 1
                between()
            for directory in reversed(list(self._directories(prefix))):
                _remove_empty(directory)
            self._prune(self._root / prefix.rpartition("/")[0])
        return deleted

    def _directories(self, prefix: str) -> Iterator[Path]:
        """Directories whose keys start with the prefix, parents before children."""
        folder, slash, beginning = prefix.rpartition("/")
        pending = [(folder + slash, beginning)]
        while pending:
            for key in self._entries(*pending.pop()):
                if key.endswith("/"):
                    yield self._root / key
                    pending.append((key, ""))

    # --- the rest

    def presign(self, key: str, seconds: int, filename: str | None = None) -> str | None:
        check_key(key)
        return None

    def presign_put(self, key: str, seconds: int, size: int) -> str | None:
        check_key(key)
        return None

    def check(self) -> None:
        with disk_errors(_DISK):
            path, descriptor = self._create()
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(bytes(4096))
                    file.flush()
                    os.fsync(descriptor)
                disk = os.statvfs(path)
            finally:
                path.unlink(missing_ok=True)
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        if free < min(MIN_FREE, size // 20):
            raise StorageFull(f"the disk of the object store has {free} bytes left", limit=MIN_FREE, actual=free)

    def close(self) -> None:
        """There is nothing to give up."""

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


class LocalWriter:
    """One object being written. Nothing is left of it when the `with` block raises."""

    def __init__(self, store: LocalStore, path: Path) -> None:
        self._store = store
        self._path = path

    def __enter__(self) -> Self:
        with disk_errors(_DISK):
            temporary, descriptor = self._store._create()
            self._whole = Whole(descriptor, temporary, self._path)
            self._file = os.fdopen(descriptor, "wb", closefd=False)
        return self

    def write(self, data: bytes) -> None:
        with disk_errors(_DISK):
            self._file.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with disk_errors(_DISK):
                if kind is None:
                    self._file.flush()
                    if self._file.tell() > _LARGE:
                        os.fsync(self._whole.descriptor)  # by itself: those who flush together wait for each other
                    self._store.together.publish([self._whole])
        finally:
            # After a full disk the buffered rest fails again; the first failure is the one to tell.
            with suppress(OSError):
                self._file.close()
            _discard(self._whole)


def _write(descriptor: int, data: bytes) -> None:
    """All of it. Its way to the disk begins before it is waited for: files that are flushed together are then written
    side by side (70 us of CPU a file, 105 without)."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    if _advise is not None:
        _advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _discard(file: Whole) -> None:
    """Nothing is left of a file that was given no name."""
    with suppress(OSError):
        os.close(file.descriptor)
    if not file.named:
        with suppress(OSError):
            file.temporary.unlink(missing_ok=True)


def _stat(key: str, path: Path) -> BlobStat:
    found = path.stat()
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a directory", str(path))
    # The inode tells two writes of equal size within one tick of the file system's clock apart.
    etag = f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"
    return BlobStat(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), etag)


def _remove_empty(directory: Path) -> bool:
    """Whether the directory is gone."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True


def _conflict(path: Path, root: Path) -> InvalidRequest:
    key = path.relative_to(root).as_posix()
    return InvalidRequest("in a local store a key cannot be an object and the folder of another one", where=key)
