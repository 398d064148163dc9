"""What an object store promises, whichever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Protocol, Self


@dataclass(frozen=True, slots=True)
class BlobStat:
    key: str
    size: int
    """Bytes."""
    modified: datetime
    """With its time zone."""
    etag: str
    """Without quotes. Changes when the object is replaced."""


def nothing() -> None:
    """What is done between two pieces of work where nothing is to be done."""


class BlobMissing(KeyError):
    """No object has this key."""


class NewObject(NamedTuple):
    key: str
    data: bytes
    content_type: str = "application/octet-stream"


class BlobWriter(Protocol):
    """Streams one object. Leaving the `with` block without an error makes it visible, whole; otherwise nothing is."""

    def write(self, data: bytes) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """Thread-safe. Raises BlobMissing, StorageUnavailable (network, 5xx, timeouts), StorageFull (no space).

    A name that cannot be a key (see `check_key`) is an InvalidRequest in every call. Objects are replaced whole: who
    reads one sees the old bytes or the new ones. When `put` or a writer's `with` block returns, the object is on disk.
    """

    bundle: ClassVar[int]
    """So many objects are best put by one call of `put_all`; 1 where each goes by itself and several side by side."""

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None: ...
    def put_all(self, objects: Sequence[NewObject]) -> None:
        """The same for several. Where it raises, none, some or all of them were put."""

    def writer(self, key: str, content_type: str = "application/octet-stream") -> BlobWriter: ...
    def copy(self, source: str, target: str) -> None:
        """The object under another key as well, with its type, where the store can without our seeing its bytes. An
        object of its own, as new as if it had been put: nothing done to the source shows in it."""

    def get(self, key: str) -> bytes: ...
    def stream(self, key: str, chunk: int = 1 << 20) -> Iterator[bytes]:
        """Pieces of at most `chunk` bytes. BlobMissing comes at the call, not with the first piece."""

    def download(self, key: str, path: Path) -> None:
        """Into a file, which is removed again when the download fails."""

    def local_path(self, key: str) -> Path | None:
        """The object as a readable file, where the store is a directory on this machine; None elsewhere."""

    def stat(self, key: str) -> BlobStat | None: ...
    def list(self, prefix: str) -> Iterator[BlobStat]:
        """By ascending key; objects written or deleted meanwhile may or may not be among them.

        Some S3 (SeaweedFS) sort folder by folder: `a/z` before `a-b`, where others compare the whole key.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Keys without an object are fine."""

    def delete_prefix(self, prefix: str, between: Callable[[], None] = nothing) -> int:
        """How many objects were deleted. Half-written ones go too. `between` is called again and again meanwhile, after
        a thousand objects at most; what it raises ends it."""

    def presign(self, key: str, seconds: int, filename: str | None = None) -> str | None:
        """A link that anybody may GET for so long; None where the store has none (local directory)."""

    def presign_put(self, key: str, seconds: int, size: int) -> str | None:
        """A link that anybody may PUT exactly so many bytes to for so long; None where the store has none."""

    def check(self) -> None:
        """Raise StorageUnavailable or StorageFull when an object cannot be written now."""

    def close(self) -> None:
        """Give up connections. The store must not be used after."""
