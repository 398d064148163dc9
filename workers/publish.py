"""Publish: write what documents ended with to where it is wanted beside our own store, then see to their originals.

Files first, the Markdown last of them, so that whoever waits for it finds all it links. Whatever fails is tried again
with growing delays; every step may run twice. While a target is being written it is held for `HOLD` seconds, renewed
as long as it takes, and a writer that was too slow to renew writes no more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import orjson

from jobs import tracing
from jobs.blobs import BlobMissing, BlobStore, Buckets, Location, Places, parse_location, result_key
from jobs.context import about
from jobs.errors import InternalError, PagemillError, StorageUnavailable
from jobs.figures import winning_figures
from jobs.ids import new_worker_id
from jobs.models import PublicationState, State
from jobs.publishing import ODD
from jobs.store import publishing
from jobs.store.database import Database
from jobs.store.publishing import Claim
from workers.originals import Originals

log = logging.getLogger(__name__)

BATCH = 16
HOLD = 600.0
"""Seconds for which a target is ours without another word. One call to S3 ends after three tries of two timeouts of
20 s, and we begin none when less than half of the time is left and it cannot be renewed."""
TURN = 15.0
"""Seconds after which a message has had its turn; the next round of rescue rings again."""
GIVE_UP = 40
"""Attempts. With the delays below that is about 30 hours."""
DELAY, MAX_DELAY = 5.0, 3600.0

_TYPES = {".md": "text/markdown; charset=utf-8", ".json": "application/json", ".jpg": "image/jpeg", ".png": "image/png"}


class _TooSlow(Exception):
    """Another one may write there now."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Runs `publish` messages. Thread-safe."""

    db: Database
    blobs: BlobStore
    places: Places
    originals: Originals
    threads: ThreadPoolExecutor
    stopping: threading.Event
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> int:
        """Write whatever is due, for `TURN` seconds at most; nothing where another message is at it already. Returns
        how many documents are seen to. Raises DatabaseUnavailable."""
        if not self._busy.acquire(blocking=False):
            return 0
        try:
            done, end = 0, time.monotonic() + TURN
            while not self.stopping.is_set() and time.monotonic() < end and (claims := self._claims()):
                done += sum(self.threads.map(self._publish, claims))
            return done
        finally:
            self._busy.release()

    def _claims(self) -> list[Claim]:
        with self.db.write() as session:
            return publishing.claim(session, new_worker_id(), BATCH, HOLD)

    def _publish(self, claim: Claim) -> bool:
        """Whether this document is seen to."""
        with about(job=claim.job, document=claim.document), tracing.span("publish", claim.job, document=claim.document):
            return self._seen_to(claim)

    def _seen_to(self, claim: Claim) -> bool:
        try:
            state = self._write(claim)
            with self.db.write() as session:
                return publishing.finish(session, claim, state)
        except _TooSlow:
            log.warning("%s was written too slowly", claim.document, extra={"action": "publish_lost"})
        except PagemillError as error:
            self._put_off(claim, error)
        except Exception as error:
            # The edge of one document: what nobody expected of it is its error, and its neighbours go on.
            log.exception("document %s cannot be published", claim.document, extra={"action": "publish_failed"})
            self._put_off(claim, InternalError(f"{type(error).__name__}: {error}"))
        return False

    def _write(self, claim: Claim) -> PublicationState:
        if claim.state is State.CANCELED:
            return PublicationState.CANCELED
        location = parse_location(claim.location, where="location")
        if not claim.written:
            _Writing(self.db, self.places.of(location), location, claim).write(self._files(claim))
            with self.db.write() as session:
                publishing.note_written(session, claim)
        self.originals.see_to(claim)
        return PublicationState.PUBLISHED

    def _put_off(self, claim: Claim, error: PagemillError) -> None:
        problem = error.problem().model_dump(exclude_none=True)
        last = claim.attempts >= GIVE_UP
        log.warning(
            "document %s is not published%s: %s", claim.document, ", given up" if last else "", error,
            extra={"action": "publish_failed", "code": error.code},
        )  # fmt: skip
        with self.db.write() as session:
            if last:
                publishing.finish(session, claim, PublicationState.FAILED, problem)
            else:
                publishing.release(session, claim, min(DELAY * 2 ** (claim.attempts - 1), MAX_DELAY), problem)

    def _files(self, claim: Claim) -> Iterator[tuple[str, Iterable[bytes]]]:
        """What is to lie in the document's folder, in order."""
        if claim.path.startswith(f"{ODD}/"):
            yield "source.json", [orjson.dumps({"document": claim.document, "name": self.originals.name_of(claim)})]
        if claim.result_attempt is None:
            yield "error.json", [orjson.dumps(claim.error or {})]
            return
        for name, key in winning_figures(self.db, self.blobs, claim.job, claim.document):
            yield f"figures/{name}", self._stored(key)
        for name in ("document.json", "document.md"):
            yield name, self._stored(result_key(claim.job, claim.document, claim.result_attempt, name))

    def _stored(self, key: str) -> Iterator[bytes]:
        try:
            yield from self.blobs.stream(key)
        except BlobMissing as missing:
            # Deleted meanwhile, and then the publication goes with it; or lost, and then a retry makes it again.
            raise StorageUnavailable(f"a stored object is missing: {key}") from missing


@dataclass(slots=True)
class _Writing:
    """One document's folder being written while its target is ours."""

    db: Database
    buckets: Buckets
    location: Location
    claim: Claim
    held_since: float = field(default_factory=time.monotonic)

    def write(self, files: Iterable[tuple[str, Iterable[bytes]]]) -> None:
        """Raises OutputForbidden, ServiceError."""
        names = set()
        for name, pieces in files:
            self._hold_on()
            names.add(name)
            with self.buckets.writer(self.location.bucket, self._key(name), _type_of(name)) as writer:
                for piece in pieces:
                    writer.write(piece)
                    self._hold_on()
        if self.claim.earlier:
            # What an end of before left; figures of it may stay, nothing links them any more.
            for name in {"document.md", "document.json", "error.json"} - names:
                self._hold_on()
                self.buckets.delete(self.location.bucket, self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.location.path}{self.claim.path}/{name}"

    def _hold_on(self) -> None:
        if time.monotonic() - self.held_since < HOLD / 2:
            return
        with self.db.write() as session:
            if not publishing.renew(session, self.claim, HOLD):
                raise _TooSlow
        self.held_since = time.monotonic()


def _type_of(name: str) -> str:
    return _TYPES.get(name[name.rfind(".") :], "application/octet-stream")
