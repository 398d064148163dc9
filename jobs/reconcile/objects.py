"""The store against the rows: what they name is there, and what is there they name.

Jobs, documents and objects all come by ascending id, so one walk through the bucket beside one walk through the tables
tells both, with one document's pages in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Generic, TypeVar

from jobs.blobs import BlobStat, manifest_key
from jobs.ids import is_id
from jobs.reconcile import again, contents
from jobs.reconcile.differences import Difference
from jobs.reconcile.documents import Document, Objects, document_differences
from jobs.reconcile.orphans import Orphans, older
from jobs.reconcile.parts import Parts
from jobs.store import naming
from jobs.store.naming import NamingDocument, NamingJob, NamingPage

PREFIX = "jobs/"
PIECE = 1000
PAGES = 20_000
"""Pages whose names are read in one statement, as far as one document has no more."""

R = TypeVar("R")


def stored_differences(parts: Parts, orphans: Orphans) -> Iterator[Difference]:
    """Everything under `jobs/`. What no row names is told, and removed, by `orphans`."""
    groups = _grouped(parts.blobs.list(PREFIX), 1)
    for name, row, stats in _merged(_Ahead(_jobs(parts), lambda job: job.id), groups, "job"):
        job = row or _entered_meanwhile(parts, name)
        if job is None:
            yield from orphans.of_no_job(name, stats)
        elif job.purged:
            yield from orphans.of_purged_job(job.id, stats)
        elif job.deleted:
            _pass(stats)  # on its way
        else:
            yield from _job(parts, orphans, job, stats)


def _entered_meanwhile(parts: Parts, name: str) -> NamingJob | None:
    with parts.db.read() as session:
        return naming.naming_jobs(session, [name]).get(name)


def _pass(stats: Iterable[BlobStat]) -> None:
    for _ in stats:
        pass


def _jobs(parts: Parts) -> Iterator[NamingJob]:
    after = ""
    while True:
        with parts.db.read() as session:
            piece = naming.next_jobs(session, after, PIECE)
        if not piece:
            return
        yield from piece
        after = piece[-1].id


def _grouped(stats: Iterable[BlobStat], depth: int) -> Iterator[tuple[str, Iterator[BlobStat]]]:
    """Objects by the part of their key at this depth."""
    return groupby(stats, lambda stat: stat.key.split("/")[depth])


@dataclass
class _Ahead(Generic[R]):
    """Rows, of which the next one can be seen before it is taken."""

    rows: Iterator[R]
    id_of: Callable[[R], str]
    next: R | None = field(init=False)

    def __post_init__(self) -> None:
        self.next = next(self.rows, None)

    def before(self, id_: str) -> Iterator[R]:
        """Take those whose ids come before this one."""
        while self.next is not None and self.id_of(self.next) < id_:
            yield self._take()

    def take(self, id_: str) -> R | None:
        """The row with this id, where it is the next one."""
        return self._take() if self.next is not None and self.id_of(self.next) == id_ else None

    def rest(self) -> Iterator[R]:
        while self.next is not None:
            yield self._take()

    def _take(self) -> R:
        assert self.next is not None
        taken, self.next = self.next, next(self.rows, None)
        return taken


def _merged(
    rows: _Ahead[R], groups: Iterator[tuple[str, Iterator[BlobStat]]], prefix: str
) -> Iterator[tuple[str, R | None, Iterator[BlobStat]]]:
    """Every row with its objects, and every name in the store that has no row."""
    for name, stats in groups:
        if not is_id(name, prefix):
            yield name, None, stats
            continue
        for row in rows.before(name):
            yield rows.id_of(row), row, iter(())
        yield name, rows.take(name), stats
    for row in rows.rest():
        yield rows.id_of(row), row, iter(())


# --- one job


def _job(parts: Parts, orphans: Orphans, job: NamingJob, stats: Iterator[BlobStat]) -> Iterator[Difference]:
    manifest: BlobStat | None = None
    documents = _Ahead(_documents(parts, job.id), lambda pair: pair[0].id)
    for name, pair, objects in _merged(documents, _grouped(stats, 2), "doc"):
        if name == "job.json":
            manifest = next(objects)
            _pass(objects)
        elif pair is None and is_id(name, "doc"):
            # All documents are entered with their job (those of a later version may come while we look).
            yield from orphans.of_document(job.id, name, list(objects))
        elif pair is None:
            yield from orphans.foreign(objects)
        else:
            orphans.met = True
            yield from _document(parts, orphans, pair, objects)
    yield from _manifest(parts, job, manifest)


def _documents(parts: Parts, job: str) -> Iterator[tuple[NamingDocument, list[NamingPage]]]:
    """The documents of a job by id, each with its pages that name something."""
    after = ""
    while True:
        with parts.db.read() as session:
            piece = naming.next_documents(session, job, after, PIECE, PAGES)
            pages = naming.naming_pages(session, [document.id for document in piece])
        if not piece:
            return
        for document in piece:
            yield document, pages.pop(document.id, [])
        after = piece[-1].id


def _document(
    parts: Parts, orphans: Orphans, pair: tuple[NamingDocument, list[NamingPage]], stats: Iterator[BlobStat]
) -> Iterator[Difference]:
    document = Document(pair[0], {page.number: page for page in pair[1]})
    objects = Objects(document)
    unnamed = [stat for stat in stats if not objects.take(stat) and older(stat, parts.patience.orphan)]
    yield from document_differences(parts, document, objects)
    yield from orphans.of_document(document.row.job_id, document.row.id, unnamed)


def _manifest(parts: Parts, job: NamingJob, stat: BlobStat | None) -> Iterator[Difference]:
    key = manifest_key(job.id)
    if not job.manifest or (stat is not None and stat.size and not parts.deep):
        return
    stat = parts.blobs.stat(key)
    wrong = "missing" if stat is None else "" if stat.size else "empty"
    code = "manifest_missing" if wrong else "manifest_broken"
    if not wrong and parts.deep:
        wrong = contents.wrong_manifest(parts, key, job.id, job.state) or ""
    if not wrong:
        return
    with parts.db.read() as session:
        row = naming.naming_jobs(session, [job.id]).get(job.id)
    if row is None or row.deleted or not row.manifest or row.state != job.state:
        return
    fixed = parts.fix and again.write_manifest(parts.db, parts.blobs, job.id, parts.price)
    yield Difference(code, job.id, key, wrong).repaired(fixed)
