"""What reconcile looks at, and how patient it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.blobs import BlobStore
from jobs.dispatch import RescueRules
from jobs.queue import Doorbell
from jobs.settings import TimerSettings
from jobs.spending import Price
from jobs.store.database import Database

LATE = 12
"""Rescue intervals after which what every rescue does must have been done: a minute with default timers."""
ORPHAN_AGE = 3600.0
"""Seconds for which an object that no row names is left alone: whoever wrote it may still be about to say so."""
UPLOAD_AGE = 2 * 24 * 3600.0
"""The same for uploads, whose job is entered when the last file has come (jobs/sweep.py)."""
PURGE_AGE = 3600.0
"""Seconds in which a deleted job must be purged, divided by the time factor."""
WORKER_AGE = 2 * 3600.0
"""Seconds after its last heartbeat when an ended worker's row must be gone: twice what rescue waits."""
HORIZON = 24 * 3600.0
"""Seconds of delay that nobody ever sets; twice the longest back-off where that is more."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds before something that is on its way counts as late."""

    stale: float
    """A heartbeat older than this is a death; nobody is judged before having been watched for so long (rule 6)."""
    late: float
    """What rescue does at every interval is done by then."""
    ring_expires: float
    purge: float = PURGE_AGE
    orphan: float = ORPHAN_AGE
    upload: float = UPLOAD_AGE
    worker: float = WORKER_AGE
    horizon: float = HORIZON


def patience(timers: TimerSettings) -> Patience:
    """From the clockwork of the workers, which must have the same settings."""
    return Patience(
        stale=timers.scaled("heartbeat_stale"),
        late=LATE * timers.scaled("rescue_every"),
        ring_expires=timers.scaled("ring_expires"),
        purge=PURGE_AGE / timers.time_factor,
        horizon=max(HORIZON, 2 * timers.scaled("backoff_max")),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service as reconcile is given them."""

    db: Database
    blobs: BlobStore
    bell: Doorbell
    patience: Patience
    rules: RescueRules
    fix: bool = False
    deep: bool = False
    """Read every stored result and source too, not only their names and sizes."""
    price: Price | None = None
    """For job.json that is written again."""
    blind: list[str] = field(default_factory=list)
    """What could not be looked at, one sentence each."""
