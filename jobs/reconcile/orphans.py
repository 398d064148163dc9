"""Objects that no row names: told when they are old enough, removed by `--fix`.

Whoever points reconcile at another service's database would lose a whole store. So what belongs to jobs that are not
in the database is removed at the end only, and only where the database has jobs of this store at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jobs.blobs import BlobStat
from jobs.ids import is_id
from jobs.reconcile.differences import Difference
from jobs.reconcile.documents import Document, is_ours, read_document
from jobs.reconcile.parts import Parts
from jobs.store import submitting
from jobs.store.locks import lock_documents

PIECE = 100
"""Objects deleted under one lock."""
KEPT = 10_000
"""Objects of unknown jobs remembered until the end of a run; the next run takes the rest."""


@dataclass(slots=True)
class Orphans:
    """What was found so far that nobody names."""

    parts: Parts
    met: bool = False
    """The database knows documents that have objects in this store."""
    unknown: list[Difference] = field(default_factory=list)
    """Objects of jobs that the database does not know; `where` is the key."""

    def of_no_job(self, name: str, stats: Iterable[BlobStat]) -> Iterator[Difference]:
        """Objects under `jobs/` of a job that has no row."""
        if not is_id(name, "job"):
            yield from self.foreign(stats)
            return
        for stat in self._old(stats):
            yield from self._later(_orphan(stat, f"job {name}"))

    def upload(self, stat: BlobStat, job: str) -> Iterator[Difference]:
        """An old upload whose job has no row."""
        yield from self._later(Difference("upload_unfinished", stat.key, f"job {job}", "no such job"))

    def _later(self, found: Difference) -> Iterator[Difference]:
        if self.parts.fix and len(self.unknown) < KEPT:
            self.unknown.append(found)
        else:
            yield found

    def of_purged_job(self, job: str, stats: Iterable[BlobStat]) -> Iterator[Difference]:
        """What was stored after the purge, by a worker that was taken for dead. Nothing of the job can come back."""
        for stat in self._old(stats):
            if self.parts.fix:
                self.parts.blobs.delete([stat.key])
            yield _orphan(stat, f"a row of the purged job {job}").repaired(self.parts.fix)

    def foreign(self, stats: Iterable[BlobStat]) -> Iterator[Difference]:
        """Objects that have none of our keys: whoever put them knows why."""
        for stat in stats:
            yield Difference("object_foreign", stat.key, "a key of pagemill's", f"{stat.size} bytes")

    def of_document(self, job: str, document: str, stats: Sequence[BlobStat]) -> Iterator[Difference]:
        """Objects of a document that its rows did not name at a first look."""
        old = list(self._old(stats))
        for start in range(0, len(old), PIECE):
            yield from self._unnamed(job, document, old[start : start + PIECE])

    def _unnamed(self, job: str, document: str, stats: Sequence[BlobStat]) -> Iterator[Difference]:
        """Those that are not named at a second look either; deleted while the document's row is locked: only who has
        claimed one of its pages stores anything, and no claim is made meanwhile."""
        if not self.parts.fix:
            with self.parts.db.read() as session:
                found, _ = _second_look(read_document(session, document), stats)
            yield from found
            return
        with self.parts.db.write() as session:
            lock_documents(session, [document])
            found, keys = _second_look(read_document(session, document), stats)
            self.parts.blobs.delete(keys)
        yield from (one.repaired(one.where in keys) for one in found)

    def _old(self, stats: Iterable[BlobStat]) -> Iterator[BlobStat]:
        return (stat for stat in stats if older(stat, self.parts.patience.orphan))

    def remove(self) -> Iterator[Difference]:
        """Delete what is left of unknown jobs, where this is the store of the database."""
        for start in range(0, len(self.unknown), PIECE):
            piece = self.unknown[start : start + PIECE]
            jobs = {one.where: _job_of(one.where) for one in piece}
            with self.parts.db.read() as session:
                known = submitting.existing_jobs(session, sorted(set(jobs.values())))
            piece = [one for one in piece if jobs[one.where] not in known]
            if self.met:
                self.parts.blobs.delete([one.where for one in piece])
            yield from (one.repaired(self.met) for one in piece)
        if self.unknown and not self.met:
            self.parts.blind.append(
                "nothing in the store belongs to a job of this database: are the two of one service? "
                f"{len(self.unknown)} objects of unknown jobs are left alone"
            )


def older(stat: BlobStat, seconds: float) -> bool:
    """Whether the object was written longer ago, by the clock of this machine and the store's."""
    return (datetime.now(UTC) - stat.modified).total_seconds() > seconds


def _orphan(stat: BlobStat, expected: str) -> Difference:
    return Difference("object_orphaned", stat.key, expected, f"{stat.size} bytes of {stat.modified:%Y-%m-%d %H:%M}")


def _second_look(document: Document | None, stats: Sequence[BlobStat]) -> tuple[list[Difference], list[str]]:
    """What is not named, and the keys of it that are ours to delete."""
    found, keys = [], []
    for stat in stats:
        if not is_ours(stat.key):
            found.append(Difference("object_foreign", stat.key, "a key of pagemill's", f"{stat.size} bytes"))
        elif document is None or not document.names(stat.key):
            found.append(_orphan(stat, "a row that names it"))
            keys.append(stat.key)
    return found, keys


def _job_of(key: str) -> str:
    """`jobs/<job>/…` and `uploads/<day>/<job>/…`."""
    parts = key.split("/")
    return parts[1] if parts[0] == "jobs" else parts[2]
