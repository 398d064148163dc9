"""Uploads against documents: a source is what its row says, and no upload lies there whose job never came to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from jobs.blobs import BlobStat
from jobs.ids import is_id
from jobs.reconcile import contents
from jobs.reconcile.differences import Difference
from jobs.reconcile.orphans import Orphans, older
from jobs.reconcile.parts import Parts
from jobs.store import entering, naming, submitting
from jobs.store.naming import NamingDocument

PREFIX = "uploads/"
PIECE = 1000


def upload_differences(parts: Parts, orphans: Orphans) -> Iterator[Difference]:
    """Everything under `uploads/`: `uploads/<day>/<job>/<document>`, with `.<attempt>` where it was fetched."""
    # What was put by a link is no document's yet, and swept when it becomes none.
    found = (stat for stat in parts.blobs.list(PREFIX) if not is_id((stat.key.split("/") + [""] * 2)[2], "upl"))
    while piece := list(islice(found, PIECE)):
        ours = [stat for stat in piece if _ids(stat.key) is not None]
        yield from orphans.foreign(stat for stat in piece if _ids(stat.key) is None)
        with parts.db.read() as session:
            rows = naming.living_documents(session, [_document(stat) for stat in ours])
        for stat in ours:
            row = rows.get(_document(stat))
            if row is not None and row.source_key == stat.key:
                orphans.met = True
                yield from _source(parts, row, stat)
        unnamed = [stat for stat in ours if _unnamed(rows.get(_document(stat)), stat)]
        yield from _old(parts, orphans, [stat for stat in unnamed if older(stat, parts.patience.upload)])


def _ids(key: str) -> tuple[str, str] | None:
    """The job's and the document's id; None where the key is not one of ours."""
    parts = key.split("/")
    if len(parts) != 4 or not is_id(parts[2], "job"):
        return None
    document, dot, attempt = parts[3].partition(".")
    if not is_id(document, "doc") or (dot and not attempt.isdecimal()):
        return None
    return parts[2], document


def _job(stat: BlobStat) -> str:
    return stat.key.split("/")[2]


def _document(stat: BlobStat) -> str:
    return stat.key.split("/")[3].partition(".")[0]


def _unnamed(row: NamingDocument | None, stat: BlobStat) -> bool:
    return row is None or row.source_key != stat.key


def _source(parts: Parts, row: NamingDocument, stat: BlobStat) -> Iterator[Difference]:
    """A source never changes, so what differs from its row differs for good, unless it is deleted just now."""
    if stat.size != row.bytes:
        now = parts.blobs.stat(stat.key)
        if now is not None and now.size != row.bytes and _lives(parts, row):
            yield Difference("source_size", row.id, f"{row.bytes} bytes", f"{now.size} bytes")
    elif parts.deep:
        digest = contents.sha256_of(parts, stat.key)
        if digest not in (None, row.sha256) and _lives(parts, row):
            yield Difference("source_hash", row.id, row.sha256, str(digest))


def _lives(parts: Parts, row: NamingDocument) -> bool:
    with parts.db.read() as session:
        return row.id in naming.living_documents(session, [row.id])


def _old(parts: Parts, orphans: Orphans, stats: Sequence[BlobStat]) -> Iterator[Difference]:
    """Old uploads that no document names: of jobs that never came to be, of documents that were refused, of purged
    jobs. Those of deleted jobs are on their way out."""
    with parts.db.read() as session:
        jobs = naming.naming_jobs(session, [_job(stat) for stat in stats])
        never = set(map(_job, stats)) - submitting.existing_jobs(session, sorted(set(map(_job, stats))))
        documents = naming.living_documents(session, [_document(stat) for stat in stats])
        manifests = entering.open_manifests(session, sorted(set(map(_job, stats))))
    for stat in stats:
        if stat.key in manifests:
            continue
        job = jobs.get(_job(stat))
        if _job(stat) in never:
            yield from orphans.upload(stat, _job(stat))
        elif job is not None and (job.purged or not job.deleted) and _unnamed(documents.get(_document(stat)), stat):
            if parts.fix:
                parts.blobs.delete([stat.key])
            yield Difference("object_orphaned", stat.key, "a document that names it", f"{stat.size} bytes").repaired(
                parts.fix
            )
