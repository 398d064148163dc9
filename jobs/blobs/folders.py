"""Folders of users on this machine or a mount; see jobs/blobs/buckets.py. A `bucket` is an absolute folder.

Every folder on the way to a file is opened by its name alone and never through a link, so that whoever may write into
the folder cannot make us read or write outside of it, not even by exchanging a folder for a link while we look.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from jobs.blobs.buckets import ObjectStat, Opened
from jobs.blobs.files import disk_error
from jobs.errors import (
    InvalidRequest,
    OutputForbidden,
    PagemillError,
    SourceChanged,
    SourceForbidden,
    SourceUnreachable,
)

UNFINISHED = ".partial"
"""Names with this end are not taken: whoever writes slowly writes there and renames when all is done."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.EROFS})
_CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG})
"""What a listing leaves out, beneath the folder that it is asked for."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_log = logging.getLogger(__name__)


class Folders:
    """Every folder that this process may open."""

    # --- reading

    def stat(self, bucket: str, key: str) -> ObjectStat | None:
        try:
            with _reading(bucket, key), _parent(bucket, key) as (folder, name):
                return _stat(key, os.stat(name, dir_fd=folder, follow_symlinks=False))
        except SourceUnreachable:
            return None

    def list(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ObjectStat]:
        """By ascending key; holds the names of one folder per level in memory."""
        beneath, slash, beginning = prefix.rpartition("/")
        with _reading(bucket, prefix):
            with _opened_folder(bucket):
                pass  # a mount that is not there is no empty folder
            pending = [_entries(bucket, beneath + slash, beginning)]
            while pending:
                key = next(pending[-1], None)
                if key is None:
                    pending.pop()
                elif key.endswith("/"):
                    if start_after is None or not key < start_after or start_after.startswith(key):
                        pending.append(_entries(bucket, key, ""))
                elif (start_after is None or key > start_after) and (found := _seen(bucket, key)) is not None:
                    yield found

    @contextmanager
    def open(self, bucket: str, key: str, *, etag: str, chunk: int = 1 << 20) -> Iterator[Opened]:
        with _reading(bucket, key), _parent(bucket, key) as (folder, name):
            # NONBLOCK: what is a pipe meanwhile must not hold us.
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            with _reading(bucket, key):
                found = _same(bucket, key, os.fstat(descriptor), etag)
            yield Opened(found, _pieces(bucket, key, descriptor, etag, chunk))
        finally:
            os.close(descriptor)

    # --- writing

    def put(self, bucket: str, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        with self.writer(bucket, key, content_type) as writer:
            writer.write(data)

    def writer(self, bucket: str, key: str, content_type: str = "application/octet-stream") -> FolderWriter:
        return FolderWriter(bucket, key)

    def tag(self, bucket: str, key: str, tags: Mapping[str, str], *, etag: str) -> None:
        raise InvalidRequest("files have no tags", where=_where(bucket, key))

    def move(self, bucket: str, key: str, to_bucket: str, to_key: str, *, etag: str) -> None:
        """By renaming; to another file system by copying, where a file that comes between our last look and the
        removal is lost. Died half-way, the file lies beside its place under a name that the next call looks for."""
        held = f".pagemill-{sha256(os.fsencode(f'{bucket}/{key}/{etag}')).hexdigest()[:32]}"
        with _writing(to_bucket, to_key), _parent(to_bucket, to_key, make=True) as (target, to_name):
            if _taken(bucket, key, held, to_name, target, etag):
                return
        with self.open(bucket, key, etag=etag) as opened, self.writer(to_bucket, to_key) as writer:
            for piece in opened.pieces:
                writer.write(piece)
        self.delete(bucket, key, etag=etag)

    def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
        """Between our look and the removal another file may come; `move` is the safe way to be rid of one."""
        try:
            with _reading(bucket, key), _parent(bucket, key) as (folder, name):
                if etag is not None:
                    _same(bucket, key, os.stat(name, dir_fd=folder, follow_symlinks=False), etag)
                os.unlink(name, dir_fd=folder)
        except SourceUnreachable:
            return

    def close(self) -> None:
        """There is nothing to give up."""


class FolderWriter:
    """One file being written: under a name that nobody takes for a document, then renamed into its place."""

    def __init__(self, bucket: str, key: str) -> None:
        self._bucket, self._key = bucket, key
        self._temporary = f".pagemill-{secrets.token_hex(8)}"

    def __enter__(self) -> Self:
        with _writing(self._bucket, self._key), _parent(self._bucket, self._key, make=True) as (folder, self._name):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._temporary, flags, 0o666, dir_fd=folder), "wb")
            self._folder = os.dup(folder)
        return self

    def write(self, data: bytes) -> None:
        with _writing(self._bucket, self._key):
            self._file.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        published = False
        try:
            if kind is None:
                with _writing(self._bucket, self._key):
                    self._file.flush()
                    os.fsync(self._file.fileno())
                    os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                    published = True
                    os.fsync(self._folder)
        finally:
            # After a full disk the buffered rest fails again on close; the first failure is the one to tell.
            with suppress(OSError):
                self._file.close()
            if not published:
                with suppress(OSError):
                    os.unlink(self._temporary, dir_fd=self._folder)
            os.close(self._folder)


def _taken(bucket: str, key: str, held: str, to_name: str, target: int, etag: str) -> bool:
    """Rename a file into the target folder, first under a name of our own, where nobody else can exchange it. False
    where it lies on another file system."""
    try:
        with _reading(bucket, key), _parent(bucket, key) as (folder, name):
            _same(bucket, key, os.stat(name, dir_fd=folder, follow_symlinks=False), etag)
            if not _renamed(name, held, folder, target):
                return False
            _put_back_others(bucket, key, folder, name, target, held, etag)
    except SourceUnreachable:
        if not _exists(held, target):
            raise
    os.rename(held, to_name, src_dir_fd=target, dst_dir_fd=target)
    return True


def _renamed(name: str, held: str, folder: int, target: int) -> bool:
    try:
        os.rename(name, held, src_dir_fd=folder, dst_dir_fd=target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _put_back_others(bucket: str, key: str, folder: int, name: str, target: int, held: str, etag: str) -> None:
    """What was renamed may be another file than the one we looked at. Where a still newer one came meanwhile, that
    one has overwritten it anyway."""
    try:
        _same(bucket, key, os.stat(held, dir_fd=target, follow_symlinks=False), etag)
    except SourceChanged:
        with suppress(FileExistsError):
            os.link(held, name, src_dir_fd=target, dst_dir_fd=folder, follow_symlinks=False)
        os.unlink(held, dir_fd=target)
        raise


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _entries(bucket: str, prefix: str, beginning: str) -> Iterator[str]:
    """Keys right under a folder, its folders with a slash at the end, ascending."""
    try:
        with _opened_folder(bucket, *prefix.split("/")[:-1]) as folder, os.scandir(folder) as entries:
            names = [
                f"{prefix}{entry.name}{'/' if entry.is_dir(follow_symlinks=False) else ''}"
                for entry in entries
                if entry.name.startswith(beginning) and not entry.name.startswith(".") and not _unfinished(entry)
            ]
    except OSError as error:
        if error.errno in _ABSENT or error.errno == errno.ELOOP:
            return iter(())  # it went while we looked
        if prefix and error.errno in _CLOSED:
            _left_alone(f"{bucket}/{prefix}", error)
            return iter(())
        raise
    return iter(sorted(filter(_speakable, names)))  # by code point, which is the order of UTF-8 too


def _unfinished(entry: os.DirEntry[str]) -> bool:
    is_folder = entry.is_dir(follow_symlinks=False)
    return not is_folder and (entry.name.endswith(UNFINISHED) or not entry.is_file(follow_symlinks=False))


def _speakable(key: str) -> bool:
    """Linux allows names that are no text; a database does not."""
    try:
        key.encode()
    except UnicodeEncodeError:
        _log.warning("a file whose name is not UTF-8 is left alone: %s", ascii(key), extra={"action": "name_ignored"})
        return False
    return True


def _pieces(bucket: str, key: str, descriptor: int, etag: str, chunk: int) -> Iterator[bytes]:
    with _reading(bucket, key):
        while piece := os.read(descriptor, chunk):
            yield piece
        # The file that was opened may have been written to while it was read.
        _same(bucket, key, os.fstat(descriptor), etag)


def _stat(key: str, found: os.stat_result) -> ObjectStat:
    """Raises FileNotFoundError for what is no file."""
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, "not a file")
    return ObjectStat(
        key,
        found.st_size,
        f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}",
        datetime.fromtimestamp(int(found.st_mtime), UTC),
        changed=found.st_ctime,
    )


def _seen(bucket: str, key: str) -> ObjectStat | None:
    """As a listing sees a file: by its whole path, which is quicker. Should a folder on it be a link by now, what is
    seen is never opened: `open` goes step by step."""
    try:
        return _stat(key, Path(f"{bucket}/{key}").lstat())
    except OSError as error:
        if error.errno in _ABSENT or error.errno == errno.ELOOP:
            return None
        if error.errno in _CLOSED:
            _left_alone(f"{bucket}/{key}", error)
            return None
        raise


def _left_alone(path: str, error: OSError) -> None:
    """One folder of another user's, or one that is too deep, must not keep all others from being listed."""
    _log.warning(
        "left alone, it cannot be read: %s (%s)", ascii(path)[:1000], error.strerror, extra={"action": "folder_ignored"}
    )


def _same(bucket: str, key: str, found: os.stat_result, etag: str) -> ObjectStat:
    now = _stat(key, found)
    if now.etag != etag:
        raise SourceChanged("another file lies there now, or it was written to", where=_where(bucket, key))
    return now


@contextmanager
def _opened_folder(bucket: str, *segments: str, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder `segments` beneath `bucket`. The bucket itself may be a link: its owner set it so."""
    folder = os.open(bucket or "/", _FOLDER)
    try:
        for segment in segments:
            folder, parent = _step(folder, segment, make), folder
            os.close(parent)
        yield folder
    finally:
        os.close(folder)


def _step(folder: int, segment: str, make: bool) -> int:
    if segment in ("", ".", ".."):
        raise FileNotFoundError(errno.ENOENT, "no name of a folder")
    if make:
        with suppress(FileExistsError):
            os.mkdir(segment, dir_fd=folder)
    return os.open(segment, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)


@contextmanager
def _parent(bucket: str, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The folder a file lies in, and its name there; `make`: with all that is missing on the way, the bucket too."""
    *segments, name = key.split("/")
    if name in ("", ".", ".."):
        raise FileNotFoundError(errno.ENOENT, "no name of a file")
    if make:
        Path(bucket or "/").mkdir(parents=True, exist_ok=True)
    with _opened_folder(bucket, *segments, make=make) as folder:
        yield folder, name


def _where(bucket: str, key: str) -> str:
    return f"file:{bucket}/{key}"


@contextmanager
def _reading(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _source_error(error, bucket, key) from error


@contextmanager
def _writing(bucket: str, key: str) -> Iterator[None]:
    """A name that is too long, or a file where a folder would have to be, is nothing that a later try mends."""
    try:
        yield
    except OSError as error:
        hopeless = _DENIED | _ABSENT | {errno.ENAMETOOLONG, errno.EISDIR, errno.EEXIST, errno.EINVAL}
        if error.errno in hopeless:
            raise OutputForbidden(
                f"it cannot be written: {error.strerror or type(error).__name__}", where=_where(bucket, key)
            ) from error
        raise disk_error(error, f"the disk of {bucket}") from error


def _source_error(error: OSError, bucket: str, key: str) -> PagemillError:
    where = _where(bucket, key)
    if error.errno in _ABSENT:
        return SourceUnreachable("the file is gone", where=where)
    if error.errno in _DENIED:
        return SourceForbidden(f"the file cannot be read: {error.strerror}", where=where)
    return disk_error(error, f"the disk of {bucket}")
