"""Removing uploads that never became a job: their API died half-way, or its database did (docs/states.md)."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

from jobs.blobs import BlobStore
from jobs.store import fetching, submitting
from jobs.store.database import Database

log = logging.getLogger(__name__)

AGE = timedelta(days=2)
"""Uploads of a day are left alone for so long: none takes that long to become a job."""
DAYS = 7
"""Days swept each time; with a sweep every few hours none is missed."""


def sweep_uploads(db: Database, blobs: BlobStore, today: date | None = None) -> int:
    """Delete what lies under `uploads/<day>/<job>/` of jobs that do not exist. Returns how many jobs' uploads it was.

    Raises StorageUnavailable, DatabaseUnavailable.
    """
    newest = (today or datetime.now(UTC).date()) - AGE
    swept = 0
    for day in (newest - timedelta(days=n) for n in range(DAYS)):
        prefix = f"uploads/{day:%Y-%m-%d}/"
        found = {stat.key.removeprefix(prefix).partition("/")[0] for stat in blobs.list(prefix)}
        with db.read() as session:
            orphans = found - submitting.existing_jobs(session, sorted(found))
            # What was put by a link and is a document's, which is still to fetch it.
            orphans -= {key.removeprefix(prefix).partition("/")[0] for key in fetching.awaited(session, prefix)}
        for job in sorted(orphans):
            blobs.delete_prefix(f"{prefix}{job}/")
        swept += len(orphans)
    if swept:
        log.info("uploads of %d jobs that never were are deleted", swept, extra={"action": "uploads_swept"})
    return swept
