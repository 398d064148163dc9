"""Originals of drop folders: tagged or moved once their results are written, as the settings say.

Only the very object that was read is touched; what arrived at its key meanwhile is another one, and left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import orjson

from jobs.blobs import Buckets, Places
from jobs.errors import SourceChanged, SourceUnreachable
from jobs.inbox import Inbox
from jobs.models import State
from jobs.publishing import ERROR_SUFFIX
from jobs.store import inbox as objects
from jobs.store.database import Database
from jobs.store.inbox import Original
from jobs.store.publishing import Claim

TAG = "pagemill-state"


@dataclass(frozen=True, slots=True)
class Originals:
    """Thread-safe. Documents that did not come from an inbox have no original."""

    db: Database
    places: Places
    inboxes: Sequence[Inbox]

    def see_to(self, claim: Claim) -> None:
        """Raises SourceForbidden, OutputForbidden, ServiceError; safe to call twice."""
        found = self._original(claim)
        if found is None:
            return
        inbox, original = found
        outcome = "failed" if claim.state is State.FAILED else "done"
        with suppress(SourceChanged, SourceUnreachable):
            if inbox.originals == "tag":
                self._tag(inbox, original, outcome)
            elif inbox.originals == "move":
                self._move(inbox, original, claim, outcome)

    def name_of(self, claim: Claim) -> str:
        """The key of the document's source as it is; its name where that is not known."""
        found = self._original(claim)
        return claim.name if found is None else found[1].name

    def _original(self, claim: Claim) -> tuple[Inbox, Original] | None:
        with self.db.read() as session:
            original = objects.original_of(session, claim.document)
        if original is None:
            return None
        # Of an inbox that the settings name no more nothing is touched.
        return next(((i, original) for i in self.inboxes if str(i.location) == original.inbox), None)

    def _tag(self, inbox: Inbox, original: Original, outcome: str) -> None:
        buckets = self.places.of(inbox.location)
        place = self._unmoved(buckets, inbox, original)
        if place is None:
            return
        bucket, key, etag = place
        buckets.tag(bucket, key, {TAG: outcome}, etag=etag)
        with self.db.write() as session:
            objects.note_tagged(session, original.id)

    def _move(self, inbox: Inbox, original: Original, claim: Claim, outcome: str) -> None:
        """From the inbox; or, after a retry, from where it was moved before."""
        buckets = self.places.of(inbox.location)
        to = inbox.failed if outcome == "failed" else inbox.done
        to_key = to.path + claim.path
        place = self._place(buckets, inbox, original, claim)
        if place is None and not self._lies_at(buckets, to.bucket, to_key, original):
            return  # somebody took it away, or another one lies there now
        if outcome == "failed":
            # Before the move: should we die between the two, the next time finds nothing to move any more.
            buckets.put(to.bucket, to_key + ERROR_SUFFIX, orjson.dumps(claim.error or {}), "application/json")
        if place is not None and original.state != outcome:
            bucket, key, etag = place
            buckets.move(bucket, key, to.bucket, to_key, etag=etag)
        if original.state == "failed" and outcome == "done":
            buckets.delete(inbox.failed.bucket, inbox.failed.path + claim.path + ERROR_SUFFIX)
        moved = buckets.stat(to.bucket, to_key)  # a copy may have another etag
        if moved is not None:
            with self.db.write() as session:
                objects.note_moved(session, original.id, outcome, moved.etag)

    def _place(self, buckets: Buckets, inbox: Inbox, original: Original, claim: Claim) -> tuple[str, str, str] | None:
        """Bucket, key and etag of the original, where it still is."""
        if original.state not in ("done", "failed"):
            return self._unmoved(buckets, inbox, original)
        beside = inbox.failed if original.state == "failed" else inbox.done
        bucket, key = beside.bucket, beside.path + claim.path
        stat = buckets.stat(bucket, key)
        return (bucket, key, stat.etag) if stat is not None and stat.etag == original.moved_etag else None

    def _unmoved(self, buckets: Buckets, inbox: Inbox, original: Original) -> tuple[str, str, str] | None:
        """The same in the inbox. The same bytes put again have the same etag on S3, and wait to be read."""
        bucket, key = inbox.location.bucket, inbox.key(original.name)
        stat = buckets.stat(bucket, key)
        if stat is None:
            return None
        now = inbox.found(stat)
        return (bucket, key, now.etag) if (now.etag, now.modified) == (original.etag, original.modified) else None

    def _lies_at(self, buckets: Buckets, bucket: str, key: str, original: Original) -> bool:
        """Whether we died after the move. A copy that got another etag is not known again: better it stays unnoted
        than that somebody else's is taken for it."""
        stat = buckets.stat(bucket, key)
        return stat is not None and stat.etag in (original.etag, original.moved_etag)
