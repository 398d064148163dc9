"""One file on its way into the object store: hashed, counted and looked at while it passes.

What is wrong with a file is a value on its document; what is wrong with the store is an exception.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

from jobs.blobs import BlobStore, BlobWriter, NewObject
from jobs.blobs.buckets import Buckets
from jobs.errors import DocumentError, FileTooLarge
from jobs.lifecycle import NewDocument
from jobs.media import SNIFF_BYTES, sniff


class Writers(Protocol):
    """What of a store takes files in."""

    def writer(self, key: str, content_type: str = ...) -> BlobWriter: ...


class Gathering:
    """Small files that are put together, which costs a local store a fraction of putting each."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._objects: list[NewObject] = []

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(new.data) for new in self._objects)

    def writer(self, key: str, content_type: str = "application/octet-stream") -> BlobWriter:
        return _Gathered(self._objects, key, content_type)

    def put(self) -> None:
        """All of them. Raises StorageUnavailable, StorageFull."""
        self._blobs.put_all(self._objects)
        self._objects.clear()


class _Gathered:
    def __init__(self, objects: list[NewObject], key: str, content_type: str) -> None:
        self._objects, self._key, self._content_type = objects, key, content_type
        self._pieces: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def write(self, data: bytes) -> None:
        self._pieces.append(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._objects.append(NewObject(self._key, b"".join(self._pieces), self._content_type))


class IncomingFile:
    """One file. Blocking; used by one thread at a time."""

    def __init__(self, blobs: BlobStore, key: str, document_id: str, name: str, max_bytes: int) -> None:
        self.id = document_id
        self.key = key
        self.name = name
        self.error: DocumentError | None = None
        self.size = 0
        self._blobs: Writers = blobs
        self.max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._head = b""
        self._media_type = "application/octet-stream"
        self._writer: BlobWriter | None = None

    def write(self, data: bytes) -> None:
        """Raises StorageUnavailable, StorageFull; what is wrong with the file is kept in `error`."""
        self._hash.update(data)
        self.size += len(data)
        if self.error is not None:
            return
        if self.size > self.max_bytes:
            self.refuse(FileTooLarge(f"larger than {self.max_bytes} bytes", limit=self.max_bytes))
        elif self._writer is not None:
            self._writer.write(data)
        else:
            self._head += data
            if len(self._head) >= SNIFF_BYTES:
                self._open()

    def close(self, last: bytes, gathering: Gathering | None = None) -> NewDocument:
        """The rest, and the file becomes visible in the store; or its error stays. One of which nothing came before
        may be gathered instead, to be put with others."""
        if gathering is not None:
            self._blobs = gathering
        self.write(last)
        if self.error is None and self._writer is None:
            self._open()
        if self.error is None and self._writer is not None:
            writer, self._writer = self._writer, None
            writer.__exit__(None, None, None)
        return NewDocument(
            id=self.id,
            name=self.name,
            source_key=self.key if self.error is None else "",  # nothing lies there; a retry leaves it alone
            media_type=self._media_type,
            bytes=self.size,
            sha256=self._hash.hexdigest(),
            error=self.error,
        )

    def abort(self, reason: BaseException) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.__exit__(type(reason), reason, None)

    def _open(self) -> None:
        try:
            self._media_type = sniff(self._head, self.size)
        except DocumentError as error:
            self.refuse(error)
            return
        writer = self._blobs.writer(self.key, self._media_type)
        self._writer = writer.__enter__()
        self._writer.write(self._head)
        self._head = b""

    def refuse(self, error: DocumentError) -> None:
        """Nothing of it is kept, and nothing more; what still comes is counted."""
        self.error = error.at(self.name)
        self._head = b""
        self.abort(error)


def copy_in(buckets: Buckets, bucket: str, key: str, *, etag: str, file: IncomingFile) -> NewDocument:
    """Copy a user's object into our store as long as it is what `etag` says; from then on it may change or go.

    What is wrong with the content is the document's `error`, and then the rest is not read: no hash is known. Raises
    SourceChanged, SourceUnreachable, SourceForbidden, ServiceError, and nothing lies in the store then.
    """
    try:
        with buckets.open(bucket, key, etag=etag) as opened:
            if opened.stat.size > file.max_bytes:
                file.refuse(
                    FileTooLarge(f"larger than {file.max_bytes} bytes", limit=file.max_bytes, actual=opened.stat.size)
                )
            for piece in opened.pieces if file.error is None else ():
                file.write(piece)
                if file.error is not None:
                    break
            document = file.close(b"")
    except BaseException as error:
        file.abort(error)
        raise
    if document.error is None:
        return document
    return replace(document, bytes=opened.stat.size, sha256="")
