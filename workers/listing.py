"""Listings: documents of a job that come from a prefix or a manifest are entered in the background, 1,000 at a time.

Run by the worker that has the tick. Each piece is entered in one transaction with its progress, so that whoever dies or
runs it beside us neither loses nor doubles a document.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from jobs import lifecycle
from jobs.blobs import BlobMissing, BlobStore, upload_key
from jobs.blobs.buckets import Location, ObjectStat, Places, parse_location
from jobs.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    DocumentError,
    FileTooLarge,
    InternalError,
    InvalidRequest,
    PagemillError,
    storable,
)
from jobs.ids import day_of, new_document_id
from jobs.lifecycle import UNKNOWN_TYPE, NewDocument
from jobs.models import KeyGrants
from jobs.names import display_name
from jobs.settings import LimitSettings
from jobs.sources import BOM, Grants, check_source, grants_of, is_options, location_of, parse_source, remote_document
from jobs.store import entering, keys
from jobs.store.database import Database
from jobs.store.entering import OpenListing, Step
from workers.retries import Backoff

log = logging.getLogger(__name__)

PIECE = 1000
AT_ONCE = 4
MAX_ERRORS = 10
"""Unexpected failures of a listing, after which it is refused."""
MAX_LINE = 16 * 1024
"""Bytes of a manifest's line."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What keys without a list of their own may read, and what nobody may."""

    granted: KeyGrants
    own: tuple[Location, ...]
    web: bool

    def of(self, db: Database, owner: str) -> Grants:
        with db.read() as session:
            key = keys.get(session, owner) if owner else None
        own = KeyGrants() if key is None else key.grants
        return grants_of(own.over(self.granted), own=self.own)


@dataclass(frozen=True, slots=True)
class Lister:
    """Runs one listing to its end. Thread-safe."""

    db: Database
    blobs: BlobStore
    places: Places
    limits: LimitSettings
    reach: Reach
    backoff: Backoff
    on_entered: Callable[[], None]
    """There are new documents to fetch."""
    on_sealed: Callable[[set[str]], None]
    """These jobs have all their documents, which may have failed all."""
    stopping: threading.Event

    def run(self, listing: OpenListing) -> None:
        """Raises DatabaseUnavailable."""
        try:
            if listing.late:
                raise DeadlineExceeded("the job's deadline passed before all its documents were entered")
            self._enter(listing)
        except DatabaseUnavailable:
            raise
        except (DocumentError, InvalidRequest) as error:
            self._refuse(listing, error)
        except BlobMissing as error:
            self._refuse(listing, InternalError(f"the manifest is gone from the store: {error}"))
        except PagemillError as error:
            self._put_off(listing, error)
        except Exception as error:
            # The edge of one listing; it is tried again, and not for ever.
            log.exception("a listing failed", extra=_about(listing, "listing_failed"))
            if listing.errors >= MAX_ERRORS:
                self._refuse(listing, InternalError(f"{type(error).__name__}: {error}"))
            else:
                self._put_off(listing, InternalError(type(error).__name__))

    def _refuse(self, listing: OpenListing, error: PagemillError) -> None:
        step = Step(listing.id, listing.job, listing.location, listing.cursor, listing.cursor, ended=True)
        self._told(listing, lifecycle.refuse_listing(self.db, self._here(step), error, limit=self.limits.max_documents))

    def _put_off(self, listing: OpenListing, error: PagemillError) -> None:
        log.warning("listing of %s put off: %s", listing.job, error, extra=_about(listing, "listing_put_off"))
        with self.db.write() as session:
            entering.put_off(session, listing.id, self.backoff.after(listing.errors))

    def _here(self, step: Step) -> Step:
        """The step from where the listing has come to meanwhile."""
        with self.db.read() as session:
            cursor = entering.cursor_of(session, step.listing)
        return Step(step.listing, step.job, step.location, cursor, cursor, ended=True)

    def _enter(self, listing: OpenListing) -> None:
        grants = self.reach.of(self.db, listing.owner)
        found = self._objects(listing, grants) if listing.kind == "prefix" else self._lines(listing, grants)
        before, more = listing.cursor, True
        while more and not self.stopping.is_set():
            piece = list(islice(found, PIECE))
            after = piece[-1].cursor if piece else before
            ended = len(piece) < PIECE
            step = Step(listing.id, listing.job, listing.location, before, after, ended)
            documents = [entry.document for entry in piece if entry.document is not None]
            progress = lifecycle.enter_listed(self.db, step, documents, limit=self.limits.max_documents)
            more = self._told(listing, progress)
            before = after

    def _told(self, listing: OpenListing, progress: entering.Progress) -> bool:
        self.on_entered()
        if progress.sealed:
            self.on_sealed({progress.job})
        if progress.ended and listing.kind == "manifest":
            self.blobs.delete([listing.location])  # it may name secrets, and nobody reads it any more
        return progress.more

    def _objects(self, listing: OpenListing, grants: Grants) -> Iterator[_Entry]:
        prefix = parse_location(listing.location, where="url")
        check_source(prefix, grants)
        for stat in self.places.of(prefix).list(prefix.bucket, prefix.path, listing.cursor or None):
            folder = stat.key.endswith("/") and stat.size == 0
            yield _Entry(stat.key, None if folder else self._object(listing, prefix, stat))

    def _object(self, listing: OpenListing, prefix: Location, stat: ObjectStat) -> NewDocument:
        url = f"s3://{prefix.bucket}/{stat.key}"
        error = self._wrong(url, stat)
        fits = error is None
        document = new_document_id()
        return NewDocument(
            id=document,
            name=display_name(stat.key.removeprefix(prefix.path), "document"),
            source_key=upload_key(day_of(listing.job), listing.job, document) if fits else "",
            media_type=UNKNOWN_TYPE,
            bytes=0,
            sha256="",
            error=error,
            source_url=url if fits else None,
            source_etag=stat.etag,
            origin=storable(url),
        )

    def _wrong(self, url: str, stat: ObjectStat) -> DocumentError | InvalidRequest | None:
        """Why this object cannot be fetched: its size, or a key that other calls take for another."""
        limit = self.limits.max_file_bytes
        if stat.size > limit:
            return FileTooLarge(f"larger than {limit} bytes", limit=limit, actual=stat.size).at(storable(url))
        try:
            parse_location(url, where=storable(url))
        except InvalidRequest as error:
            return error
        return None

    def _lines(self, listing: OpenListing, grants: Grants) -> Iterator[_Entry]:
        done = int(listing.cursor or 0)
        for number, line in enumerate(_lines_of(self.blobs.stream(listing.location)), 1):
            if number > done:
                yield _Entry(str(number), self._line(listing, grants, number, line))

    def _line(self, listing: OpenListing, grants: Grants, number: int, line: bytes) -> NewDocument | None:
        """A document, with an error where the line is bad; None for an empty one and for the job's options."""
        line = line.removeprefix(BOM) if number == 1 else line
        if not line.strip() or (number == 1 and is_options(line)):
            return None
        where = f"line {number}"
        document = new_document_id()
        try:
            if len(line) > MAX_LINE:
                raise InvalidRequest("the line is too long", where=where, limit=MAX_LINE)
            source = parse_source(line, where)
            if source.url is None:
                raise InvalidRequest("a manifest names URLs, no uploads", where=where)
            location = location_of(source, where)
            if location is not None and location.is_prefix:
                raise InvalidRequest("a manifest names documents, no prefixes", where=where)
        except InvalidRequest as error:
            return NewDocument(
                id=document, name=where, source_key="", media_type=UNKNOWN_TYPE, bytes=0, sha256="",
                error=error.at(where),
            )  # fmt: skip
        key = upload_key(day_of(listing.job), listing.job, document)
        return remote_document(
            source, document_id=document, source_key=key, where=where, grants=grants, web=self.reach.web
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    cursor: str
    """Where the listing is after it."""
    document: NewDocument | None


def _lines_of(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The lines, however they were cut; no more of one than is needed to see that it is too long."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > 2 * MAX_LINE:
            rest = rest[: MAX_LINE + 1] + rest[-1:]
    if rest:
        yield rest


@dataclass(slots=True)
class Listings:
    """Runs the open listings, some at a time, on threads of its own: a store that hangs must not stop dispatch."""

    lister: Lister
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: dict[int, str] = field(default_factory=dict)
    """Owners by listing."""
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "listing"))

    def start(self) -> None:
        """Begin those that are open and not running here; returns at once. Raises DatabaseUnavailable."""
        with self.lister.db.read() as session:
            found = entering.open_listings(session, 2 * AT_ONCE)
        for listing in found:
            if self._takes(listing):
                self._threads.submit(self._run, listing)

    def _takes(self, listing: OpenListing) -> bool:
        """Whether there is room for it: one owner gets half of it."""
        with self._lock:
            owners = list(self._running.values())
            if listing.id in self._running or len(owners) >= AT_ONCE or owners.count(listing.owner) >= AT_ONCE // 2:
                return False
            self._running[listing.id] = listing.owner
            return True

    def stop(self) -> None:
        """End with the piece that is being entered."""
        self.lister.stopping.set()
        self._threads.shutdown()

    def _run(self, listing: OpenListing) -> None:
        try:
            self.lister.run(listing)
        except PagemillError as error:
            log.warning("listing of %s let go: %s", listing.job, error, extra=_about(listing, "listing_failed"))
        except Exception:
            # The edge of this thread; the listing is begun again.
            log.exception("a listing failed", extra=_about(listing, "listing_failed"))
        finally:
            with self._lock:
                del self._running[listing.id]


def _about(listing: OpenListing, action: str) -> dict[str, str]:
    return {"action": action, "job": listing.job}
