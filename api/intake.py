"""The files of one submission on their way into the object store: hashed, counted and looked at while they pass.

Nothing is held but a piece of one, and small files that together make a piece: the client is read only as fast as the
store takes. What is wrong with a file is a value on its document; what is wrong with the store is an exception.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from typing import TypeVar

import anyio
import anyio.to_thread

from jobs.blobs import BlobStore, upload_key
from jobs.errors import DocumentError, InvalidRequest, ServiceError
from jobs.ids import new_document_id
from jobs.intake import Gathering, IncomingFile
from jobs.lifecycle import NewDocument
from jobs.settings import LimitSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

PIECE = 1 << 18
"""Bytes gathered before a thread is asked to write them: a hop costs 0.1 ms, a network chunk is 64 KiB. A slow client
holds as many for as long as it likes."""
GATHERED = 32
"""Files put together, at most, each smaller than a piece: once they make a piece they are put."""


class Intake:
    """All files of a submission, one after the other."""

    def __init__(self, blobs: BlobStore, limits: LimitSettings, threads: anyio.CapacityLimiter) -> None:
        self.documents: list[NewDocument] = []
        self.manifests: list[str] = []
        """Keys of what was stored beside them."""
        self._blobs = blobs
        self._limits = limits
        self._threads = threads
        self._file: IncomingFile | None = None
        self._piece = bytearray()
        self._wasted = 0
        self._small = Gathering(blobs)

    async def begin(self, job_id: str, day: date, name: str) -> None:
        """The next file. Raises InvalidRequest when there are too many."""
        limit = self._limits.max_files_per_job
        if len(self.documents) >= limit:
            raise InvalidRequest(f"more than {limit} files in one job", where="file", limit=limit)
        document_id = new_document_id()
        key = upload_key(day, job_id, document_id)
        self._file = IncomingFile(self._blobs, key, document_id, name, self._limits.max_file_bytes)

    async def write(self, data: bytes) -> None:
        file = self._current()
        if file.error is not None:
            self._waste(file.error, len(data))
        self._piece += data
        if len(self._piece) >= PIECE:
            piece = self._take_piece()
            await self._thread(lambda: file.write(piece))

    async def end(self) -> None:
        file, piece = self._current(), self._take_piece()
        if file.size:
            self.documents.append(await self._thread(lambda: file.close(piece)))
        else:  # no thread is asked for it alone
            self.documents.append(file.close(piece, self._small))
            if len(self._small) >= GATHERED or self._small.size >= PIECE:
                await self._thread(self._small.put)
        self._file = None

    async def settle(self) -> None:
        """No more files come: all are in the store when this returns."""
        if self._small:
            await self._thread(self._small.put)

    async def discard(self, reason: BaseException) -> None:
        """Take everything back. What cannot be deleted now lies under `uploads/<day>/` and is swept."""
        with anyio.CancelScope(shield=True):
            await self._thread(lambda: self._discard(reason))

    def _discard(self, reason: BaseException) -> None:
        try:
            if self._file is not None:
                self._file.abort(reason)
            self._blobs.delete([*(d.source_key for d in self.documents if d.error is None), *self.manifests])
        except ServiceError as error:
            logger.warning("an abandoned upload is left to the sweeper: %s", error, extra={"action": "upload_left"})

    def _current(self) -> IncomingFile:
        assert self._file is not None, "begin() comes first"
        return self._file

    def _take_piece(self) -> bytes:
        piece = bytes(self._piece)
        self._piece.clear()
        return piece

    def _waste(self, error: DocumentError, size: int) -> None:
        """A refused file's rest is read only to reach its neighbours, and no further than one file may be long."""
        self._wasted += size
        if self._wasted > self._limits.max_file_bytes:
            raise error

    async def _thread(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._threads)
