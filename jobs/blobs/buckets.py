"""Places that are not pagemill's own store: buckets and folders of users, where sources lie and results are wanted.

What lies there belongs to somebody else and changes at any time, so every read and every removal names the content it
means (`etag`). Keys are data: any name that S3 or Linux allows, never a path of our own store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal, Protocol

from jobs.blobs.base import BlobWriter
from jobs.blobs.keys import MAX_KEY_BYTES
from jobs.errors import InvalidRequest
from jobs.settings import BlobSettings

# AWS wants 3 to 63 of lower case; older buckets and other servers have upper case and underscores too.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Location:
    """`s3://bucket/path` or `file:/folder/`. A path that is empty or ends with a slash names everything beneath it."""

    kind: Literal["s3", "file"]
    bucket: str
    """The bucket; an absolute folder without a slash at its end (`/` itself being empty) where the kind is file."""
    path: str

    @property
    def is_prefix(self) -> bool:
        return not self.path or self.path.endswith("/")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.path}" if self.kind == "s3" else f"file:{self.bucket}/{self.path}"

    def covers(self, other: Location) -> bool:
        """Whether everything at `other` lies at this prefix too."""
        if self.kind != other.kind:
            return False
        if self.kind == "file":
            return f"{other.bucket}/{other.path}".startswith(f"{self.bucket}/{self.path}")
        return self.bucket == other.bucket and other.path.startswith(self.path)

    def beside(self, name: str) -> Location:
        """The prefix `name/` next to this one's last folder; in a bucket that is one whole prefix, within it."""
        if self.kind == "file":
            return Location("file", f"{self.bucket.rpartition('/')[0]}/{name}", "")
        return Location("s3", self.bucket, f"{self.path[:-1].rpartition('/')[0]}/{name}/".lstrip("/"))


def parse_location(text: str, *, where: str) -> Location:
    """`s3://bucket/key`, `s3://bucket/prefix/`, `file:/folder/` or `file:///folder/`.

    Raises InvalidRequest: no bucket, a relative folder, a path of more than 1,024 bytes, one with `.` or `..` segments
    (some servers resolve them, and an allow-list would not have seen where to) or with control characters.
    """
    if text.startswith("s3://"):
        bucket, _, path = text.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise InvalidRequest(f"{text[:200]!r} names no bucket: s3://BUCKET/PATH", where=where)
        _check_path(text, path, where)
        return Location("s3", bucket, path)
    if text.startswith("file:"):
        folder = "/" + text.removeprefix("file:").strip("/")
        if not re.match(r"file:/(//|[^/]|$)", text):
            raise InvalidRequest(f"{text[:200]!r} is no absolute folder: file:/FOLDER/", where=where)
        _check_path(text, folder, where)
        return Location("file", str(PurePosixPath(folder)).rstrip("/"), "")
    raise InvalidRequest(f"{text[:200]!r} is no location: s3://BUCKET/PATH or file:/FOLDER/", where=where)


def _check_path(text: str, path: str, where: str) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"{ascii(text)[:200]} is not valid Unicode", where=where) from None
    if size > MAX_KEY_BYTES:
        raise InvalidRequest("a path is too long", where=where, limit=f"{MAX_KEY_BYTES} bytes", actual=f"{size} bytes")
    if _CONTROL.search(path) or not {".", ".."}.isdisjoint(path.split("/")):
        raise InvalidRequest(f"{ascii(text)[:200]} has a segment . or .. or a control character", where=where)


def parse_prefix(text: str, where: str) -> Location:
    """`s3://bucket` or `s3://bucket/prefix/`. Raises InvalidRequest."""
    location = parse_location(text, where=where)
    if location.kind != "s3":
        raise InvalidRequest(f"{text!r} is no bucket: s3://BUCKET/PREFIX/", where=where)
    return location if location.is_prefix else Location("s3", location.bucket, location.path + "/")


def own_places(settings: BlobSettings) -> tuple[Location, ...]:
    """Where pagemill's own store lies: the whole of its prefix."""
    location = (
        parse_location(settings.store_url, where="PAGEMILL_STORE_URL") if settings.store_url[:3] == "s3:" else None
    )
    if location is None:
        return ()
    return (location if location.is_prefix else Location("s3", location.bucket, location.path + "/"),)


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """An object as it was seen."""

    key: str
    """Relative to the bucket or folder."""
    size: int
    """Bytes."""
    etag: str
    """Without quotes; changes with the content. A file's: time of its last write, size and inode."""
    modified: datetime
    """With its time zone; whole seconds, because a listing of some S3 says more than a HEAD of the same object."""
    version: str | None = None
    """Where the bucket keeps versions and the call tells; a listing does not."""
    changed: float | None = None
    """Files only: when content or name last changed, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The very content that was asked for, being read."""

    stat: ObjectStat
    pieces: Iterator[bytes]


class Buckets(Protocol):
    """Thread-safe. StorageUnavailable: network, 5xx, timeouts; StorageFull: no space.

    Reading: SourceForbidden (access denied), SourceUnreachable (no such bucket, or the object is gone), SourceChanged
    (another content lies there now). Writing: OutputForbidden (access denied, no such bucket).
    """

    def stat(self, bucket: str, key: str) -> ObjectStat | None:
        """None where there is no such object."""

    def list(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ObjectStat]:
        """Everything beneath, fetched 1,000 at a time, in the server's order (see BlobStore.list); folders that are
        shown as empty objects whose key ends with a slash included. Files: no dotfiles, no `*.partial`, no links."""

    def open(self, bucket: str, key: str, *, etag: str, chunk: int = 1 << 20) -> AbstractContextManager[Opened]:
        """The object's bytes as long as it is what `etag` says. For a file SourceChanged may come with the last
        piece: what was read is then to be thrown away."""

    def put(self, bucket: str, key: str, data: bytes, content_type: str = "application/octet-stream") -> None: ...

    def writer(self, bucket: str, key: str, content_type: str = "application/octet-stream") -> BlobWriter: ...

    def tag(self, bucket: str, key: str, tags: Mapping[str, str], *, etag: str) -> None:
        """Add tags to an object; others that it has stay. SourceChanged, SourceUnreachable; InvalidRequest for files,
        which have none."""

    def move(self, bucket: str, key: str, to_bucket: str, to_key: str, *, etag: str) -> None:
        """Within a bucket or to another. SourceChanged where another content lies at the key now: that one stays.
        Died half-way, both places have it; the next call ends it. SourceUnreachable where it is gone."""

    def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
        """Only this content, where one is named: SourceChanged otherwise. An absent object is fine."""

    def close(self) -> None: ...


class Places:
    """Both kinds, by location. Nothing is contacted, and boto3 not imported, before it is needed."""

    def __init__(self, settings: BlobSettings) -> None:
        """Buckets are reached with the endpoint and credentials of the store."""
        self._settings = settings

    def of(self, location: Location) -> Buckets:
        return self._s3 if location.kind == "s3" else self._folders

    @cached_property
    def _s3(self) -> Buckets:
        from jobs.blobs.s3_buckets import S3Buckets

        return S3Buckets(self._settings)

    @cached_property
    def _folders(self) -> Buckets:
        from jobs.blobs.folders import Folders

        return Folders()

    def close(self) -> None:
        for name in ("_s3", "_folders"):
            if name in self.__dict__:
                self.__dict__[name].close()
