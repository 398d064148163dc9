"""Scan: objects of drop folders become documents, each once, whoever scans and however often.

A sweep compares the listing with the table, 1,000 objects in one statement; what nobody has taken is claimed, copied
as long as it is what was seen, and entered as a job, up to so many objects each. A hint does the same with one key.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from jobs import lifecycle, publishing
from jobs.blobs import BlobStore, ObjectStat, Places, upload_key
from jobs.errors import (
    PagemillError,
    ServiceError,
    SourceChanged,
    SourceForbidden,
    SourceUnreachable,
)
from jobs.hints import Hint
from jobs.ids import new_document_id, new_job_id, new_worker_id
from jobs.inbox import Inbox
from jobs.intake import IncomingFile, copy_in
from jobs.lifecycle import NewDocument, Terms
from jobs.names import display_name
from jobs.options import JobOptions
from jobs.settings import InboxSettings, LimitSettings
from jobs.store import inbox as objects
from jobs.store import publishing as publications
from jobs.store.database import Database, Session
from jobs.store.inbox import Found
from jobs.vault import Vault

log = logging.getLogger(__name__)

PAGE = 1000
"""Objects compared in one statement: as many as a listing's page has."""
BATCH_BYTES = 1 << 30
"""Of the objects of one job, beside the first: a document does not wait long for its neighbours to be copied."""
CLAIM = 120.0
"""Seconds for which objects are ours without another word; renewed while they are copied."""
LISTEN = 2.0
"""Seconds between two looks whether copying is to go on."""
FORBIDDEN_AGAIN = 600.0
"""Seconds after which an object that may not be read is tried again."""


@dataclass(slots=True)
class Sweep:
    """What was seen and done."""

    listed: int = 0
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """An object of an inbox that nobody has taken."""

    stat: ObjectStat
    found: Found


@dataclass(frozen=True, slots=True)
class Scanner:
    """Thread-safe."""

    db: Database
    blobs: BlobStore
    places: Places
    inboxes: Sequence[Inbox]
    settings: InboxSettings
    limits: LimitSettings
    options: JobOptions
    engine: str
    vault: Vault | None
    threads: ThreadPoolExecutor
    claim: float = CLAIM

    def sweep(self, inbox: Inbox, go_on: Callable[[], bool] = lambda: True) -> Sweep:
        """Take everything in the inbox that nobody has taken; `go_on` is asked before each piece.

        Raises SourceForbidden, SourceUnreachable (the bucket or folder itself), ServiceError.
        """
        sweep, fresh = Sweep(), list[Seen]()
        listing = self.places.of(inbox.location).list(inbox.location.bucket, inbox.location.path)
        while go_on():
            page = list(islice(listing, PAGE))
            sweep.listed += len(page)
            fresh += self._fresh(inbox, page)
            while fresh and (len(fresh) >= self.settings.inbox_batch or len(page) < PAGE) and go_on():
                batch, fresh = _batch(fresh, self.settings.inbox_batch)
                sweep.taken += self.take(inbox, batch, go_on)
            if len(page) < PAGE:
                break
        return sweep

    def look(self, hints: Iterable[Hint]) -> int:
        """Take the objects under these keys, where they lie in an inbox and nobody has. Returns how many.

        Raises SourceForbidden, ServiceError.
        """
        taken = 0
        for inbox in self.inboxes:
            stats = [stat for hint in hints if (stat := self._hinted(inbox, hint)) is not None]
            fresh = self._fresh(inbox, stats)
            while fresh:
                batch, fresh = _batch(fresh, self.settings.inbox_batch)
                taken += self.take(inbox, batch)
        return taken

    def _hinted(self, inbox: Inbox, hint: Hint) -> ObjectStat | None:
        if not inbox.holds(hint.bucket, hint.key):
            return None
        return self.places.of(inbox.location).stat(hint.bucket, hint.key)

    def _fresh(self, inbox: Inbox, stats: Iterable[ObjectStat]) -> list[Seen]:
        settled = time.time() - self.settings.inbox_settle
        seen = [
            Seen(stat, inbox.found(stat))
            for stat in stats
            if inbox.accepts(stat) and (stat.changed is None or stat.changed <= settled)
        ]
        if not seen:
            return []
        with self.db.read() as session:
            unknown = objects.unknown(session, [s.found.id for s in seen])
        return [s for s in seen if s.found.id in unknown]

    def take(self, inbox: Inbox, seen: Sequence[Seen], go_on: Callable[[], bool] = lambda: True) -> int:
        """Make one job of those of these objects that are nobody's yet. Returns how many became documents.

        `go_on` is asked now and then; where it says no, what is copied by then is the job, and the rest is let go.
        Raises ServiceError, once what could be copied is a job and the rest is let go.
        """
        holder = new_worker_id()
        with self.db.write() as session:
            ours = objects.claim(session, str(inbox.location), [s.found for s in seen], holder, self.claim)
        if not ours:
            return 0
        batch = _Batch(self, inbox, holder, ours)
        batch.copy([s for s in seen if s.found.id in ours], go_on)
        return batch.end()


def _batch(fresh: list[Seen], limit: int) -> tuple[list[Seen], list[Seen]]:
    """The next job's objects, and the rest."""
    size = 0
    for number, seen in enumerate(fresh[:limit]):
        size += seen.stat.size
        if size > BATCH_BYTES and number:
            return fresh[:number], fresh[number:]
    return fresh[:limit], fresh[limit:]


class _Lost(Exception):
    """Others have taken some of our objects: we were too slow."""

    def __init__(self, ids: set[str]) -> None:
        super().__init__(f"{len(ids)} objects were taken over")
        self.ids = ids


@dataclass(slots=True)
class _Batch:
    """Claimed objects on their way to become one job."""

    scanner: Scanner
    inbox: Inbox
    holder: str
    ours: dict[str, str]
    """When each was taken, by id."""
    job: str = field(default_factory=new_job_id)
    documents: dict[str, NewDocument] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    """May not be read now; later perhaps."""
    error: ServiceError | None = None

    def copy(self, seen: Sequence[Seen], go_on: Callable[[], bool]) -> None:
        self.names = {s.found.id: s.found.name for s in seen}
        running = {self.scanner.threads.submit(self._copy_one, s): s.found.id for s in seen}
        pending: set[Future[NewDocument]] = set(running)
        renewed = time.monotonic()
        while pending:
            done, pending = wait(pending, timeout=LISTEN)
            for future in done:
                self._note(running[future], future)
            if pending and time.monotonic() - renewed > self.scanner.claim / 3:
                renewed = time.monotonic()
                with self.scanner.db.write() as session:
                    objects.renew(session, self.holder, list(self.ours), self.scanner.claim)
            if pending and (self.error is not None or not go_on()):
                pending -= {future for future in pending if future.cancel()}

    def _copy_one(self, seen: Seen) -> NewDocument:
        location, document = self.inbox.location, new_document_id()
        key = upload_key(datetime.now(UTC).date(), self.job, document)
        name = display_name(seen.found.name, "document")
        file = IncomingFile(self.scanner.blobs, key, document, name, self.scanner.limits.max_file_bytes)
        buckets = self.scanner.places.of(location)
        return copy_in(buckets, location.bucket, seen.stat.key, etag=seen.stat.etag, file=file)

    def _note(self, object_id: str, future: Future[NewDocument]) -> None:
        try:
            self.documents[object_id] = future.result()
        except (SourceChanged, SourceUnreachable):
            self.gone.append(object_id)
        except SourceForbidden as error:
            self.forbidden.append(object_id)
            log.warning("%s may not be read: %s", error.where, error, extra={"action": "inbox_forbidden"})
        except ServiceError as error:
            self.error = error
        except Exception:
            # The edge of one object: what nobody expected of it must not keep its neighbours out for ever.
            self.forbidden.append(object_id)
            log.exception("an object cannot be taken: %s", self.names[object_id], extra={"action": "inbox_failed"})

    def end(self) -> int:
        """Enter the job; what is not in it is let go. Returns how many documents it has."""
        try:
            while self.documents and not self._entered():
                pass
        except ServiceError:
            raise  # the job may have been committed all the same; copies of none are swept as abandoned uploads
        except Exception:
            # Each sweep would come here again, and the store fill up until the sweeper comes.
            self._drop_copies()
            raise
        finally:
            self._let_go()
        if self.error is not None:
            raise self.error
        return len(self.documents)

    def _entered(self) -> bool:
        scanner, options = self.scanner, self.scanner.options
        metadata = {"inbox": str(self.inbox.location)} | options.metadata
        try:
            lifecycle.submit(
                scanner.db,
                job_id=self.job,
                options=options.model_copy(update={"metadata": metadata}),
                engine=options.engine or scanner.engine,
                documents=list(self.documents.values()),
                vault=scanner.vault,
                owner=self.inbox.owner,
                terms=Terms(scanner.limits.job_timeout, scanner.limits.retention, scanner.limits.source_retention),
                within=self._within,
            )
        except _Lost as lost:
            for object_id in lost.ids:
                del self.documents[object_id]
            return False
        return True

    def _within(self, session: Session) -> None:
        made = [(object_id, document.id) for object_id, document in self.documents.items()]
        still_ours = objects.submit(session, self.holder, self.job, made)
        if len(still_ours) < len(made):
            raise _Lost(self.documents.keys() - still_ours)
        inbox = self.inbox
        publications.insert(
            session,
            [
                publishing.publication(
                    inbox.output,
                    document,
                    publishing.folder_of(self.names[object_id], inbox.output, inbox.done, inbox.failed),
                    self.ours[object_id],
                )
                for object_id, document in made
            ],
        )

    def _drop_copies(self) -> None:
        try:
            self.scanner.blobs.delete(d.source_key for d in self.documents.values() if d.source_key)
        except PagemillError as error:
            log.warning("copies stay until they are swept: %s", error, extra={"action": "inbox_copies_kept"})

    def _let_go(self) -> None:
        """Objects that did not become documents; those that did are no longer ours to let go."""
        rest = [i for i in self.ours if i not in self.gone and i not in self.forbidden]
        try:
            with self.scanner.db.write() as session:
                objects.skip(session, self.holder, self.gone)
                objects.renew(session, self.holder, self.forbidden, FORBIDDEN_AGAIN)
                objects.renew(session, self.holder, rest, 0.0)
        except PagemillError as error:
            log.warning("claims run out by themselves: %s", error, extra={"action": "inbox_claims_kept"})
