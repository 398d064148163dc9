"""Delete, expire, purge: the only way jobs and what they were made from go away. Their states are jobs/lifecycle.py's.

What is deleted is forgotten for everybody at once; its objects and rows go when nobody can write more (rule 10).
"""

from __future__ import annotations

from collections.abc import Callable

from jobs.blobs import BlobStore, job_prefix, nothing
from jobs.ids import day_of
from jobs.store import ending, reading, retention
from jobs.store.database import Database

PURGED_AT_ONCE = 1000
"""Documents and pages of a job up to which its delete purges it too: about a second, of a folder or an S3."""
SOURCES_AT_ONCE = 1000
"""Files deleted between two calls of `between`: one request of an S3."""


def delete(db: Database, blobs: BlobStore, job_id: str) -> None:
    """Cancel, and forget the job for everybody. Its objects are purged now and again once no worker holds it; those of
    a large job by a worker alone, which rescue rings: nobody who waits for an answer waits for that."""
    with db.write() as session:
        reading.get_job(session, job_id)
        size = ending.mark_deleted(session, job_id)
    if size <= PURGED_AT_ONCE:
        purge(db, blobs, job_id)


def expire(db: Database, limit: int = 100) -> int:
    """Delete jobs whose time is over, as `delete` does; their purge is rung by rescue. Returns how many."""
    with db.read() as session:
        found = retention.expired_jobs(session, limit)
    expired = 0
    for job_id in found:
        with db.write() as session:
            expired += retention.expire(session, job_id)
    return expired


def drop_sources(db: Database, blobs: BlobStore, limit: int = 20) -> int:
    """Delete the files of jobs whose sources' time is over. Their results stay; a retry has nothing to read any more.
    Returns of how many jobs."""
    with db.read() as session:
        found = retention.stale_sources(session, limit)
    for job_id in found:
        # The rows first: a retry must not begin to read what is about to go. Dying in between leaves objects that
        # nothing names, which `pagemill reconcile` finds.
        sources = [""]
        while sources:
            with db.write() as session:
                sources = retention.forget_sources(session, job_id)
            blobs.delete(sources)
    return len(found)


def purge(db: Database, blobs: BlobStore, job_id: str, between: Callable[[], None] = nothing) -> bool:
    """Delete the objects of a deleted job, and its rows too when nobody can write more of it (rule 10).

    Returns whether everything is gone; rescue calls again until it is. `between` is called between two pieces of that,
    which take a second or so each; what it raises ends the purge.
    """
    with db.read() as session:
        held = ending.is_held(session, job_id)
        sources = ending.source_keys(session, job_id)
    blobs.delete_prefix(job_prefix(job_id), between)
    for start in range(0, len(sources), SOURCES_AT_ONCE):
        blobs.delete(sources[start : start + SOURCES_AT_ONCE])
        between()
    # What was fetched and not taken, and a manifest, lie beside the sources.
    folders = {source.rpartition("/")[0] for source in sources} | {f"uploads/{day_of(job_id):%Y-%m-%d}/{job_id}"}
    for folder in sorted(folder for folder in folders if folder.endswith(f"/{job_id}")):
        blobs.delete_prefix(f"{folder}/", between)
    if held:
        return False
    dropped = False
    while not dropped:
        with db.write() as session:
            dropped = ending.drop_rows(session, job_id)
        between()
    return True
