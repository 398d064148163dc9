"""Mending that runs something again: a page whose result is lost, a document's files, a job's end.

Each step is a transaction that leaves everything as it was or a state from which workers and rescue go on; job.json is
forgotten, committed, and deleted in the order of docs/decisions/0002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlmodel import Session

from jobs import lifecycle
from jobs.blobs import BlobStore, manifest_key
from jobs.spending import Price
from jobs.store import ending, mending
from jobs.store.database import Database


def run_again(
    db: Database, blobs: BlobStore, job: str, document: str, lost: Sequence[tuple[int, int]] = ()
) -> bool:  # fmt: skip
    """Read the lost pages (number, attempt) again and assemble the document anew.

    False, and nothing done, where nothing of it may run: canceled, deleted, gone, or in a worker's hands just now.
    """
    return _without_manifest(
        db,
        blobs,
        job,
        lambda session: mending.lock_lost(session, job, document),
        lambda session: mending.run_again(session, job, document, lost),
    )


def close_anew(db: Database, blobs: BlobStore, job: str, price: Price | None = None) -> bool:
    """Reopen a job whose end is wrong, and close it where all its documents have ended. False where it is canceled."""
    reopened = _without_manifest(
        db,
        blobs,
        job,
        lambda session: mending.lock_reopenable(session, job),
        lambda session: mending.reopen_job(session, job),
    )
    if reopened:
        lifecycle.close(db, blobs, job, price)
    return reopened


def write_manifest(db: Database, blobs: BlobStore, job: str, price: Price | None = None) -> bool:
    """Put job.json once more. False where the row does not say that it is there: whoever closes the job puts it."""
    with db.write() as session:
        if not mending.lock_manifest(session, job):
            return False
        ending.forget_manifest(session, job)
    return lifecycle.close(db, blobs, job, price)


def _without_manifest(
    db: Database, blobs: BlobStore, job: str, lock: Callable[[Session], bool], reopen: Callable[[Session], None]
) -> bool:
    """As a retry does: note that job.json does not count, commit, and only then delete it and reopen."""
    while True:
        with db.write() as session:
            if not lock(session):
                return False
            if ending.forget_manifest(session, job):
                continue
            blobs.delete([manifest_key(job)])
            reopen(session)
        return True
