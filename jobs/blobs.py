"""Every object-store call: S3 (boto3) and a local directory behind one protocol, and all keys.

SEAM: the protocol and the keys stand; the two implementations follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

# --- keys ------------------------------------------------------------------------------------------------------------


def upload_key(day: date, job_id: str, document_id: str) -> str:
    """Where a source is streamed before its job exists; swept when the job never came to be."""
    return f"uploads/{day:%Y-%m-%d}/{job_id}/{document_id}"


def job_prefix(job_id: str) -> str:
    return f"jobs/{job_id}/"


def manifest_key(job_id: str) -> str:
    return f"jobs/{job_id}/job.json"


def page_key(job_id: str, document_id: str, number: int, attempt: int) -> str:
    """The attempt in the key makes a late, doubled write harmless: only the row's attempt is ever read."""
    return f"jobs/{job_id}/{document_id}/pages/{number}.{attempt}.json"


def figure_key(job_id: str, document_id: str, number: int, attempt: int, name: str) -> str:
    return f"jobs/{job_id}/{document_id}/figures/{number}.{attempt}/{name}"


def result_key(job_id: str, document_id: str, attempt: int, filename: str) -> str:
    """`filename`: document.md, document.json or document.txt."""
    return f"jobs/{job_id}/{document_id}/result.{attempt}/{filename}"


@dataclass(frozen=True, slots=True)
class BlobStat:
    key: str
    size: int
    modified: datetime
    etag: str


class BlobMissing(KeyError):
    """No object has this key."""


class BlobWriter(Protocol):
    """Streams one object. Leaving the `with` block without an error makes it visible, whole; otherwise nothing is."""

    def write(self, data: bytes) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """Thread-safe. Raises BlobMissing, StorageUnavailable (network, 5xx, timeouts), StorageFull (no space)."""

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None: ...
    def writer(self, key: str, content_type: str = "application/octet-stream") -> BlobWriter: ...
    def get(self, key: str) -> bytes: ...
    def stream(self, key: str, chunk: int = 1 << 20) -> Iterator[bytes]: ...
    def download(self, key: str, path: Path) -> None: ...
    def local_path(self, key: str) -> Path | None:
        """The object as a readable file, where the store is a directory on this machine; None elsewhere."""

    def stat(self, key: str) -> BlobStat | None: ...
    def list(self, prefix: str) -> Iterator[BlobStat]: ...
    def delete(self, keys: Iterable[str]) -> None: ...
    def delete_prefix(self, prefix: str) -> int: ...
    def presign(self, key: str, seconds: int, filename: str | None = None) -> str | None:
        """A link that anybody may GET for so long; None where the store has none (local directory)."""

    def check(self) -> None:
        """Raise StorageUnavailable or StorageFull when an object cannot be written now."""
