"""Reuse: a document that was read before gets the earlier result's pages, copied within the store.

Everything is copied before anything is inserted, and only counts if the original's job was not deleted by then: before
a purge deletes the first object, the deletion is committed. Interleavings: docs/decisions/0009-result-cache.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field

from jobs.blobs import BlobMissing, BlobStore, figure_key, job_prefix, page_key
from jobs.errors import PagemillError, ServiceError, StorageUnavailable
from jobs.reuse import request_key
from jobs.settings import LimitSettings
from jobs.store import claiming, reuse
from jobs.store.claiming import ClaimedDocument, DocumentRef
from jobs.store.database import Database
from jobs.store.locks import share_worker
from jobs.store.recording import SMALL
from jobs.store.reuse import Gift, Original
from jobs.store.submitting import PIECE
from workers.retries import Backoff
from workers.trail import ids_of

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Copying:
    """One document's copies on their way."""

    gift: Gift
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Source and target of every object."""
    failure: Exception | None = None


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
    worker_id: Callable[[], str]
    on_assemblies: Callable[[list[ClaimedDocument]], None]
    """Small documents that were given a result, claimed for assembling."""

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
        keyed = [(claim, key) for claim in claims if (key := self.key_of(claim)) is not None]
        gifts = [Gift(claim, originals[claim.document.id], key) for claim, key in keyed]
        copies = self._copy([_Copying(gift) for gift in gifts])
        with self.db.read() as session:
            there = reuse.still_there(session, [gift.original.document for gift in gifts])
        good = [c for c in copies if c.failure is None and c.gift.original.document in there]
        self._insert([c for c in good if len(c.gift.original.pages) <= PIECE])
        for large in (c for c in good if len(c.gift.original.pages) > PIECE):
            self._insert([large])
        return self._left_over([c for c in copies if c not in good])

    def _insert(self, copies: Sequence[_Copying]) -> None:
        """In one transaction; small documents are assembled at once, as if this worker had recorded their last page."""
        if not copies:
            return
        worker, gifts = self.worker_id(), [c.gift for c in copies]
        with self.db.write() as session:
            alive = share_worker(session, worker)
            ours = set(reuse.insert_copied(session, worker, gifts))
            small = [
                DocumentRef(g.claim.document.id, g.claim.attempt) for g in gifts
                if g.claim.document.id in ours and len(g.original.pages) <= SMALL
            ]  # fmt: skip
            assemblies = claiming.claim_assemblies(session, worker, small) if alive else []
            lost = [c for c in copies if c.gift.claim.document.id not in ours]
            for copying in lost:
                claiming.let_go(session, copying.gift.claim)
        for copying in lost:
            self._forget(copying)
        if assemblies:
            self.on_assemblies(assemblies)

    def _left_over(self, copies: Sequence[_Copying]) -> list[ClaimedDocument]:
        """Put off those for which the store was away. Returns the others, of which no copy is kept."""
        to_read = []
        for copying in copies:
            if isinstance(copying.failure, ServiceError):
                self._put_off(copying.gift.claim, copying.failure)
            else:
                self._forget(copying)
                to_read.append(copying.gift.claim)
        return to_read

    def _copy(self, copies: list[_Copying]) -> list[_Copying]:
        """All objects of all documents, side by side. Returns when no copy is under way any more."""
        for copying in copies:
            try:
                copying.pairs += [*self._figures(copying.gift), *_results(copying.gift)]
            except ServiceError as error:
                copying.failure = error
        work = [(copying, pair) for copying in copies for pair in copying.pairs]
        for copying, failure in self.threads.map(self._copy_one, work):
            # One that is missing decides: waiting would not bring it back.
            if isinstance(failure, BlobMissing) or copying.failure is None:
                copying.failure = failure or copying.failure
        return copies

    def _copy_one(self, work: tuple[_Copying, tuple[str, str]]) -> tuple[_Copying, Exception | None]:
        """What was wrong, as a value: all others are waited for."""
        copying, pair = work
        if self.stopping.is_set():
            return copying, StorageUnavailable("this worker ends; another one copies the result")
        try:
            self.blobs.copy(*pair)
        except (BlobMissing, ServiceError) as error:
            return copying, error
        except Exception as error:
            # The edge of one document: it can be read, whatever is wrong with the earlier one.
            log.exception("%s cannot be copied", pair[0], extra=_about(copying.gift.claim, "reuse_failed"))
            return copying, error
        return copying, None

    def _figures(self, gift: Gift) -> Iterator[tuple[str, str]]:
        """Of the attempts that count; a page read twice has left others beside them."""
        claim, original = gift.claim, gift.original
        prefix = f"{job_prefix(original.job_id)}{original.document}/figures/"
        numbers = {f"{number}.{attempt}": number for number, attempt in original.pages}
        document = claim.document
        for stat in self.blobs.list(prefix):
            attempt, _, name = stat.key.removeprefix(prefix).partition("/")
            if attempt in numbers:
                yield stat.key, figure_key(document.job_id, document.id, numbers[attempt], claim.attempt, name)

    def _forget(self, copying: _Copying) -> None:
        """No row will name these. Nobody else writes under this attempt; what stays, reconcile finds."""
        with suppress(ServiceError):
            self.blobs.delete(target for _, target in copying.pairs)

    def _put_off(self, claim: ClaimedDocument, error: PagemillError) -> None:
        log.warning("document %s put off: %s", claim.document.id, error, extra=_about(claim, "reuse_put_off"))
        with self.db.write() as session:
            if not claiming.release_document(session, claim, delay=self.backoff.first):
                claiming.let_go(session, claim)


def _results(gift: Gift) -> Iterator[tuple[str, str]]:
    document, original = gift.claim.document, gift.original
    for number, attempt in original.pages:
        yield (
            page_key(original.job_id, original.document, number, attempt),
            page_key(document.job_id, document.id, number, gift.claim.attempt),
        )


def _about(claim: ClaimedDocument, action: str) -> dict[str, object]:
    return {"action": action, **ids_of(claim)}
