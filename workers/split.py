"""Split: open documents, find their pages, insert them, seal. Opening happens in a killable subprocess.

What was read before is not even opened: workers/reuse.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field

from jobs.admission import quota_exceeded
from jobs.blobs import BlobMissing
from jobs.errors import CorruptFile, DocumentError, InternalError, PagemillError, TooManyPages
from jobs.models import State
from jobs.options import select_pages
from jobs.settings import LimitSettings
from jobs.store import claiming, closing, submitting, usage
from jobs.store.claiming import ClaimedDocument, DocumentRef
from jobs.store.closing import Finish
from jobs.store.database import Database
from jobs.store.reuse import Original
from jobs.store.submitting import PIECE, Split
from jobs.store.usage import Refusal
from jobs.vault import Vault
from workers.hands import Hands
from workers.meter import Meter
from workers.pages import password_of
from workers.render.lazy import LazyPool
from workers.render.messages import Inspection
from workers.retries import Backoff
from workers.reuse import Reuser
from workers.sources import Sources
from workers.trail import ids_of, on, stages

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Splitter:
    """Runs `split` messages. Thread-safe."""

    db: Database
    pool: LazyPool
    sources: Sources
    vault: Vault | None
    reuser: Reuser
    limits: LimitSettings
    backoff: Backoff
    hands: Hands
    worker_id: Callable[[], str]
    on_split: Callable[[], None]
    """There are new pages to dispatch."""
    on_ended: Callable[[set[str]], None]
    """Documents of these jobs have ended."""
    meter: Meter = field(default_factory=Meter)

    def run(self, refs: Sequence[DocumentRef]) -> int:
        """Split these documents; returns how many were ours. Raises DatabaseUnavailable."""
        with self.db.write() as session:
            claims = claiming.claim_splits(session, self.worker_id(), refs)
        with self.hands.holding(claims), stages("split", claims), ExitStack() as sources:
            originals = self.reuser.find(claims)
            known = [claim for claim in claims if claim.document.id in originals]
            # All are asked for before the first answer is awaited: the subprocess never waits for us in between.
            asked = [(claim, self._ask(claim, sources)) for claim in claims if claim.document.id not in originals]
            asked += [(claim, self._ask(claim, sources)) for claim in self._reuse(known, originals)]
            found = {
                split.document: (claim, split)
                for claim, answer in asked
                if (split := self._found(claim, answer)) is not None
            }
            if self._insert(found) < len(found):
                self._let_go(claims)
        return len(claims)

    def _reuse(self, known: Sequence[ClaimedDocument], originals: Mapping[str, Original]) -> list[ClaimedDocument]:
        """Give them the results of earlier documents. Returns those that must be opened and read after all."""
        if not known:
            return []
        left = self.reuser.give(known, originals)
        self.on_split()
        return left

    def _ask(self, claim: ClaimedDocument, sources: ExitStack) -> Future[Inspection]:
        """Fetch the document and have it opened. Whatever goes wrong is in the future."""
        with on(claim):
            return self._asked(claim, sources)

    def _asked(self, claim: ClaimedDocument, sources: ExitStack) -> Future[Inspection]:
        document = claim.document
        try:
            path = sources.enter_context(self.sources.hold(document.source_key))
            asked = self.pool.inspecting(path, document.media_type, password_of(document, self.vault))
            begun = time.perf_counter()
            asked.add_done_callback(lambda _: self.meter.document("split", time.perf_counter() - begun))
            return asked
        except Exception as error:  # noqa: BLE001 - raised again where the answer is awaited
            failed: Future[Inspection] = Future()
            failed.set_exception(error)
            return failed

    def _found(self, claim: ClaimedDocument, answer: Future[Inspection]) -> Split | None:
        """The document's pages; None where it failed, was put off, or is no longer ours."""
        with on(claim):
            return self._pages_of(claim, answer)

    def _pages_of(self, claim: ClaimedDocument, answer: Future[Inspection]) -> Split | None:
        try:
            return self._selected(claim, answer.result())
        except DocumentError as error:
            self._fail(claim, error)
        except BlobMissing as error:
            self._fail(claim, CorruptFile(f"the source is gone from the store: {error}"))
        except PagemillError as error:
            self._put_off(claim, error)
        except Exception as error:
            # The edge of one document: its neighbours in the message must not suffer.
            log.exception("document %s cannot be split", claim.document.id, extra={"action": "split_failed"})
            self._fail(claim, InternalError(f"{type(error).__name__}: {error}"))
        return None

    def _selected(self, claim: ClaimedDocument, inspection: Inspection) -> Split:
        """Raises InvalidPageRange, TooManyPages."""
        document, count = claim.document, inspection.page_count
        numbers = select_pages(document.options.get("pages"), count)
        if len(numbers) > self.limits.max_pages:
            raise TooManyPages(f"{len(numbers)} pages are selected", limit=self.limits.max_pages, actual=len(numbers))
        return Split(document.id, claim.attempt, count, numbers, self.reuser.key_of(claim))

    def _insert(self, found: Mapping[str, tuple[ClaimedDocument, Split]]) -> int:
        """Small documents together, each larger one in pieces of its own. Returns how many were still ours."""
        small = [split for _, split in found.values() if len(split.numbers) <= PIECE]
        large = [split for _, split in found.values() if len(split.numbers) > PIECE]
        ours, refused = self._insert_small(small)
        for split in large:
            with self.db.write() as session:
                over = usage.charge(session, self.worker_id(), [split], self.limits.key_pages_per_day)
            refused |= over
            if not over:
                ours += self._insert_large(split)
        for document, refusal in refused.items():
            self._fail(found[document][0], quota_exceeded(refusal.limit, refusal.actual))
        return ours + len(refused)

    def _insert_small(self, splits: Sequence[Split]) -> tuple[int, dict[str, Refusal]]:
        if not splits:
            return 0, {}
        with self.db.write() as session:
            refused = usage.charge(session, self.worker_id(), splits, self.limits.key_pages_per_day)
            fitting = [split for split in splits if split.document not in refused]
            sealed = submitting.insert_and_seal(session, self.worker_id(), fitting) if fitting else []
        self.on_split()
        return len(sealed), refused

    def _insert_large(self, split: Split) -> bool:
        """A transaction a piece: the first pages are being read while the last are still being inserted."""
        worker = self.worker_id()
        for start in range(0, len(split.numbers), PIECE):
            with self.db.write() as session:
                piece = split.numbers[start : start + PIECE]
                if not submitting.insert_pages(session, split.document, worker, split.attempt, piece):
                    return False
            self.on_split()
        with self.db.write() as session:
            return submitting.seal(session, split.document, worker, split.attempt, split.source_pages, split.reuse_key)

    def _let_go(self, claims: Sequence[ClaimedDocument]) -> None:
        with self.db.write() as session:
            for claim in claims:
                claiming.let_go(session, claim)

    def _fail(self, claim: ClaimedDocument, error: PagemillError) -> None:
        extra = {"action": "document_failed", "code": error.code, **ids_of(claim)}
        log.warning("document %s failed: %s", claim.document.id, error, extra=extra)
        problem = error.at(claim.document.name).problem().model_dump(exclude_none=True)
        with self.db.write() as session:
            closing.finish_documents(session, [Finish(claim, State.FAILED, with_result=False, error=problem)])
            claiming.let_go(session, claim)
        self.on_ended({claim.document.job_id})

    def _put_off(self, claim: ClaimedDocument, error: PagemillError) -> None:
        """A part of the service is away: back with it, uncounted, for a while."""
        extra = {"action": "split_put_off", "code": error.code, **ids_of(claim)}
        log.warning("document %s put off: %s", claim.document.id, error, extra=extra)
        with self.db.write() as session:
            if not claiming.release_document(session, claim, delay=self.backoff.first):
                claiming.let_go(session, claim)
