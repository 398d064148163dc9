"""Reuse: a document that was read before gets the earlier result's pages, copied within the store.

Everything is copied before anything is inserted, and only counts if the original's job was not deleted by then: before
a purge deletes the first object, the deletion is committed. Interleavings: docs/decisions/0009-result-cache.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

from jobs.blobs import BlobMissing, BlobStore, figure_key, job_prefix, page_key
from jobs.errors import PagemillError, ServiceError, StorageUnavailable
from jobs.reuse import request_key
from jobs.settings import LimitSettings
from jobs.store import claiming, reuse
from jobs.store.claiming import ClaimedDocument
from jobs.store.database import Database
from jobs.store.reuse import Original
from workers.retries import Backoff

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reuser:
    """Gives claimed documents earlier results. Thread-safe."""

    db: Database
    blobs: BlobStore
    limits: LimitSettings
    backoff: Backoff
    threads: Executor
    """Where objects are copied side by side; nothing else runs there that waits for it."""
    stopping: threading.Event
    """Set when this worker ends: what is being copied is given back at once."""

    def key_of(self, claim: ClaimedDocument) -> str | None:
        """By which an equal document is found; None where none is wanted (jobs/reuse.py)."""
        document = claim.document
        return request_key(
            owner=document.owner, sha256=document.sha256, media_type=document.media_type, engine=document.engine,
            options=document.options, has_password=document.password is not None, default=self.limits.cache,
        )  # fmt: skip

    def find(self, claims: Sequence[ClaimedDocument]) -> dict[str, Original]:
        """By document: an earlier result that it may get. Raises DatabaseUnavailable."""
        keys = [(claim, key) for claim in claims if (key := self.key_of(claim)) is not None]
        if not keys:
            return {}
        with self.db.read() as session:
            found = reuse.find(session, keys)
        fitting = {document: o for document, o in found.items() if len(o.pages) <= self.limits.max_pages}
        if not fitting:
            return {}
        with self.db.write() as session:
            noted = reuse.note_copying(session, [c for c in claims if c.document.id in fitting])
        return {document: original for document, original in fitting.items() if document in noted}

    def give(self, claims: Sequence[ClaimedDocument], originals: Mapping[str, Original]) -> list[ClaimedDocument]:
        """Copy, insert and seal. Returns the documents that must be read after all; the others are given theirs, put
        off, or no longer ours. Raises DatabaseUnavailable."""
        return [claim for claim in claims if not self._given(claim, originals[claim.document.id])]

    def _given(self, claim: ClaimedDocument, original: Original) -> bool:
        try:
            return self._give(claim, original)
        except PagemillError:
            raise
        except Exception:
            # The edge of one document: it can be read, whatever is wrong with the earlier one.
            log.exception("document %s cannot be copied", original.document, extra=_about(claim, "reuse_failed"))
            return False

    def _give(self, claim: ClaimedDocument, original: Original) -> bool:
        """False where the document must be read: the original went away, or cannot be copied."""
        copied: list[str] = []
        try:
            self._copy(claim, original, copied)
        except BlobMissing:
            self._forget(copied)
            return False
        except ServiceError as error:
            self._put_off(claim, error)
            return True
        with self.db.read() as session:
            there = reuse.still_there(session, [original.document])
        if not there:
            self._forget(copied)
            return False
        with self.db.write() as session:
            ours = reuse.insert_copied(session, claim, original, self.key_of(claim) or "")
            if not ours:
                claiming.let_go(session, claim)
        if not ours:
            self._forget(copied)
        return True

    def _copy(self, claim: ClaimedDocument, original: Original, copied: list[str]) -> None:
        """Figures and results under the claim's attempt; `copied` names what may have been written, also where this
        raises. Returns or raises when no copy is under way any more. Raises BlobMissing, ServiceError."""
        pairs = [*self._figures(claim, original), *_results(claim, original)]
        copied.extend(target for _, target in pairs)
        failures = [error for error in self.threads.map(self._copy_one, pairs) if error is not None]
        missing = [error for error in failures if isinstance(error, BlobMissing)]
        if failures:
            raise (missing or failures)[0]

    def _copy_one(self, pair: tuple[str, str]) -> BlobMissing | ServiceError | None:
        """What was wrong, as a value: all others are waited for."""
        if self.stopping.is_set():
            return StorageUnavailable("this worker ends; another one copies the result")
        try:
            self.blobs.copy(*pair)
        except (BlobMissing, ServiceError) as error:
            return error
        return None

    def _figures(self, claim: ClaimedDocument, original: Original) -> Iterator[tuple[str, str]]:
        """Of the attempts that count; a page read twice has left others beside them."""
        prefix = f"{job_prefix(original.job_id)}{original.document}/figures/"
        numbers = {f"{number}.{attempt}": number for number, attempt in original.pages}
        document = claim.document
        for stat in self.blobs.list(prefix):
            attempt, _, name = stat.key.removeprefix(prefix).partition("/")
            if attempt in numbers:
                yield stat.key, figure_key(document.job_id, document.id, numbers[attempt], claim.attempt, name)

    def _forget(self, copied: Sequence[str]) -> None:
        """No row will name these. Nobody else writes under this attempt; what stays, reconcile finds."""
        with suppress(ServiceError):
            self.blobs.delete(copied)

    def _put_off(self, claim: ClaimedDocument, error: PagemillError) -> None:
        log.warning("document %s put off: %s", claim.document.id, error, extra=_about(claim, "reuse_put_off"))
        with self.db.write() as session:
            if not claiming.release_document(session, claim, delay=self.backoff.first):
                claiming.let_go(session, claim)


def _results(claim: ClaimedDocument, original: Original) -> Iterator[tuple[str, str]]:
    document = claim.document
    for number, attempt in original.pages:
        yield (
            page_key(original.job_id, original.document, number, attempt),
            page_key(document.job_id, document.id, number, claim.attempt),
        )


def _about(claim: ClaimedDocument, action: str) -> dict[str, str]:
    return {"action": action, "job": claim.document.job_id, "document": claim.document.id}
