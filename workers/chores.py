"""What rescue asks of the object store, on a thread of its own: a store that hangs must not stop dispatch."""

from __future__ import annotations

import logging
import threading

from jobs import deletion, dispatch
from jobs.blobs import BlobStore
from jobs.errors import PagemillError
from jobs.ids import new_worker_id
from jobs.spending import Price
from jobs.store import idempotency, leases, uploads, usage
from jobs.store.database import Database
from jobs.sweep import sweep_uploads

log = logging.getLogger(__name__)

SWEEP = "sweep"
SWEEP_EVERY = 6 * 3600.0


class Chores:
    """Closes ended jobs, sweeps uploads. `start` returns at once; while the last round still runs it does nothing."""

    def __init__(self, db: Database, blobs: BlobStore, price: Price | None = None) -> None:
        self._db = db
        self._blobs = blobs
        self._price = price
        self._busy = threading.Lock()

    def start(self) -> None:
        if self._busy.acquire(blocking=False):
            threading.Thread(target=self._run, name="chores", daemon=True).start()

    def wait(self) -> None:
        """Until the round that runs has ended."""
        with self._busy:
            pass

    def _run(self) -> None:
        try:
            dispatch.close_ended(self._db, self._blobs, self._price)
            deletion.drop_sources(self._db, self._blobs)
            if self._sweep_is_due():
                sweep_uploads(self._db, self._blobs)
                with self._db.write() as session:
                    usage.forget(session)
                    idempotency.forget(session)
                    uploads.forget(session)
        except PagemillError as error:
            log.warning("chores put off: %s", error, extra={"action": "chores_failed", "code": error.code})
        except Exception:
            # The edge of this thread; the next round tries again.
            log.exception("chores failed", extra={"action": "chores_failed"})
        finally:
            self._busy.release()

    def _sweep_is_due(self) -> bool:
        """A lease that nobody can renew, because no holder comes twice: taken once in so many hours by whoever asks."""
        with self._db.write() as session:
            return leases.take_lease(session, SWEEP, new_worker_id(), SWEEP_EVERY)
