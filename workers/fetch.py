"""Fetch: the files of documents that were submitted by where they lie. Each on a thread of its own; none blocks a task.

What is fetched is pinned: it lies in our store under a key with the attempt, and the row names the winner. So whatever
happens to the original later is harmless, and a doubled fetch of a source that changes meanwhile cannot mix.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from jobs.blobs import BlobMissing, BlobStore
from jobs.blobs.buckets import Places, parse_location
from jobs.errors import (
    DocumentError,
    FileTooLarge,
    InternalError,
    InvalidRequest,
    PagemillError,
    SourceChanged,
    SourceForbidden,
    SourceUnreachable,
    StorageUnavailable,
)
from jobs.intake import IncomingFile, copy_in
from jobs.lifecycle import NewDocument
from jobs.models import KeyLimits, State
from jobs.settings import LimitSettings
from jobs.sources import check_source
from jobs.store import claiming, closing, fetching, keys
from jobs.store.claiming import ClaimedDocument, DocumentRef
from jobs.store.closing import Finish
from jobs.store.database import Database
from jobs.store.fetching import Remote
from jobs.urls import shown
from workers.hands import Hands
from workers.listing import Reach
from workers.outbound import Outbound, OutboundFailed, OutboundRefused, OutboundTooLarge, Reply
from workers.retries import Backoff
from workers.trail import ids_of, stage

log = logging.getLogger(__name__)

THREADS = 16
"""Files fetched at once by one worker."""
MAX_REDIRECTS = 5
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of a server that may say something else in a while."""
UPLOAD = "upload:"
"""Begins the source of a document whose file was put into our own store by a link (POST /v1/uploads)."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Runs `fetch` messages. Thread-safe."""

    db: Database
    blobs: BlobStore
    places: Places
    outbound: Outbound
    reach: Reach
    limits: LimitSettings
    backoff: Backoff
    hands: Hands
    threads: ThreadPoolExecutor
    stopping: threading.Event
    """Set when this worker ends: what is being fetched is given back at once."""
    worker_id: Callable[[], str]
    on_fetched: Callable[[], None]
    """There are new documents to split."""
    on_ended: Callable[[set[str]], None]
    """Documents of these jobs have ended."""

    def run(self, refs: Sequence[DocumentRef]) -> int:
        """Claim these documents and begin to fetch their files; returns how many were ours. Raises
        DatabaseUnavailable."""
        with self.db.write() as session:
            claims = claiming.claim_fetches(session, self.worker_id(), refs)
        self.hands.take(claims)
        try:
            with self.db.read() as session:
                remotes = fetching.remotes(session, [claim.document.id for claim in claims])
        except PagemillError:
            self.hands.put_down(claims)  # the heartbeat hands them back
            raise
        for claim in claims:
            remote = remotes.get(claim.document.id)
            if remote is None:  # deleted and purged in between
                self.hands.put_down([claim])
            else:
                self.threads.submit(self._fetch, claim, remote)
        return len(claims)

    def _fetch(self, claim: ClaimedDocument, remote: Remote) -> None:
        try:
            with stage("fetch_source", claim):
                self._settle(claim, remote)
        except PagemillError as error:
            # The database: the claim is in nobody's hands from here on, and the heartbeat hands it back.
            log.warning("document %s is let go: %s", claim.document.id, error, extra=_about(claim, "fetch_failed"))
        finally:
            self.hands.put_down([claim])

    def _settle(self, claim: ClaimedDocument, remote: Remote) -> None:
        try:
            document = self._got(claim, remote)
            if document.error is not None:
                raise document.error
        except SourceUnreachable as error:
            self._again_or_fail(claim, error)
        except (DocumentError, InvalidRequest) as error:
            self._fail(claim, error)
        except PagemillError as error:
            self._put_off(claim, error)
        except Exception as error:
            # The edge of one document: its neighbours must not suffer.
            log.exception("document %s cannot be fetched", claim.document.id, extra=_about(claim, "fetch_failed"))
            self._fail(claim, InternalError(f"{type(error).__name__}: {error}"))
        else:
            self._note(claim, document)

    def _note(self, claim: ClaimedDocument, document: NewDocument) -> None:
        with self.db.write() as session:
            ours = fetching.note_fetched(
                session, claim, key=document.source_key, media_type=document.media_type, size=document.bytes,
                sha256=document.sha256,
            )  # fmt: skip
            if not ours:
                claiming.let_go(session, claim)
        if ours:
            self.on_fetched()
        else:
            self.blobs.delete([document.source_key])

    # --- getting it

    def _got(self, claim: ClaimedDocument, remote: Remote) -> NewDocument:
        """The file in our store. Raises DocumentError, SourceUnreachable where trying again may help, ServiceError."""
        key = f"{claim.document.source_key.partition('.')[0]}.{claim.attempt}"
        file = _Interruptible(
            self.blobs, key, claim.document.id, claim.document.name, self._max_bytes(remote.owner), self.stopping
        )
        if remote.url.startswith(UPLOAD):
            return self._from_upload(remote, file)
        if remote.url.startswith("s3://"):
            return self._from_bucket(remote, file)
        return self._from_web(remote, file)

    def _max_bytes(self, owner: str) -> int:
        with self.db.read() as session:
            key = keys.get(session, owner) if owner else None
        own = (KeyLimits() if key is None else key.limits).over(KeyLimits.model_validate(self.limits.of_keys()))
        return min(own.file_bytes or self.limits.max_file_bytes, self.limits.max_file_bytes)

    def _from_bucket(self, remote: Remote, file: IncomingFile) -> NewDocument:
        location = parse_location(remote.url, where="url")
        check_source(location, self.reach.of(self.db, remote.owner))  # what was granted may have been taken away
        buckets = self.places.of(location)
        etag = remote.etag
        if etag is None:
            found = buckets.stat(location.bucket, location.path)
            if found is None:
                raise SourceUnreachable("the object is gone", where=remote.url)
            etag = found.etag
        return copy_in(buckets, location.bucket, location.path, etag=etag, file=file)

    def _from_upload(self, remote: Remote, file: IncomingFile) -> NewDocument:
        """What was put into our own store. It stays there, and is swept: a fetch may run twice."""
        key = remote.url.removeprefix(UPLOAD)
        found = self.blobs.stat(key)
        if found is None:
            raise SourceForbidden("nothing was put there, or it has expired", where="upload")
        if remote.etag not in (None, found.etag):
            raise SourceChanged("another file was put there after it was submitted", where="upload")
        try:
            for piece in self.blobs.stream(key):
                file.write(piece)
                if file.error is not None:
                    break
            document = file.close(b"")
            after = self.blobs.stat(key)
            if document.error is None and (after is None or after.etag != found.etag):
                self.blobs.delete([document.source_key])
                raise SourceChanged("another file was put there while it was read", where="upload")
        except BlobMissing:
            file.abort(SourceForbidden())
            raise SourceForbidden("it has expired", where="upload") from None
        except BaseException as error:
            file.abort(error)
            raise
        return document

    def _from_web(self, remote: Remote, file: IncomingFile) -> NewDocument:
        url = remote.url
        ends = time.monotonic() + self.limits.source_timeout
        try:
            for _ in range(MAX_REDIRECTS + 1):
                left = max(0.001, ends - time.monotonic())
                with self.outbound.stream("GET", url, timeout=left, max_bytes=file.max_bytes) as reply:
                    if reply.redirect is None:
                        return _read(reply, file)
                    url = reply.redirect
        except OutboundRefused as error:
            raise SourceForbidden(str(error), where=shown(url)) from None
        except OutboundTooLarge as error:
            raise FileTooLarge(f"larger than {error.limit} bytes", limit=error.limit) from None
        except OutboundFailed as error:
            raise SourceUnreachable(str(error), where=shown(url)) from None
        raise SourceForbidden("too many redirects", where=shown(remote.url), limit=MAX_REDIRECTS)

    # --- what became of it

    def _again_or_fail(self, claim: ClaimedDocument, error: SourceUnreachable) -> None:
        if self.backoff.exhausted(claim.errors):
            self._fail(claim, error)
            return
        with self.db.write() as session:
            delay = self.backoff.after(claim.errors)
            if not claiming.release_document(session, claim, errors=1, delay=delay):
                claiming.let_go(session, claim)

    def _fail(self, claim: ClaimedDocument, error: PagemillError) -> None:
        extra = {**_about(claim, "document_failed"), "code": error.code}
        log.warning("document %s failed: %s", claim.document.id, error, extra=extra)
        problem = error.at(claim.document.name).problem().model_dump(exclude_none=True)
        with self.db.write() as session:
            closing.finish_documents(session, [Finish(claim, State.FAILED, with_result=False, error=problem)])
            claiming.let_go(session, claim)
        self.on_ended({claim.document.job_id})

    def _put_off(self, claim: ClaimedDocument, error: PagemillError) -> None:
        """A part of the service is away: back with it, uncounted, for a while."""
        log.warning("document %s put off: %s", claim.document.id, error, extra=_about(claim, "fetch_put_off"))
        with self.db.write() as session:
            if not claiming.release_document(session, claim, delay=self.backoff.first):
                claiming.let_go(session, claim)


class _Interruptible(IncomingFile):
    """A file that is given up when the worker ends."""

    def __init__(
        self, blobs: BlobStore, key: str, document_id: str, name: str, max_bytes: int, stopping: threading.Event
    ) -> None:
        super().__init__(blobs, key, document_id, name, max_bytes)
        self._stopping = stopping

    def write(self, data: bytes) -> None:
        if self._stopping.is_set():
            raise StorageUnavailable("this worker ends; another one fetches the file")
        super().write(data)


def _read(reply: Reply, file: IncomingFile) -> NewDocument:
    """The answer's body. Raises SourceUnreachable, SourceForbidden, OutboundFailed."""
    where = shown(reply.url)
    if reply.status_code in _BUSY:
        raise SourceUnreachable(f"the server answers {reply.status_code}", where=where, actual=reply.status_code)
    if reply.status_code != 200:
        raise SourceForbidden(f"the server answers {reply.status_code}", where=where, actual=reply.status_code)
    try:
        for piece in reply:
            file.write(piece)
            if file.error is not None:
                break
        document = file.close(b"")
    except BaseException as error:
        file.abort(error)
        raise
    return document if document.error is None else replace(document, sha256="")


def _about(claim: ClaimedDocument, action: str) -> dict[str, object]:
    return {"action": action, **ids_of(claim)}
