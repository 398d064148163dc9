"""Which stored figures a document's Markdown means."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.blobs import BlobStore, job_prefix
from jobs.store import publishing
from jobs.store.database import Database


def winning_figures(db: Database, blobs: BlobStore, job_id: str, document_id: str) -> Iterator[tuple[str, str]]:
    """Name and key of each figure of the attempts that count; a page read twice has left others beside them."""
    prefix = f"{job_prefix(job_id)}{document_id}/figures/"
    winners: set[str] | None = None
    for stat in blobs.list(prefix):
        if winners is None:
            with db.read() as session:
                winners = publishing.winning_attempts(session, document_id)
        attempt, _, name = stat.key.removeprefix(prefix).partition("/")
        if attempt in winners:
            yield name, stat.key
