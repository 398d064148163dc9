"""Finished results out of the store: which objects they are, as streams. Blocking; routes run it in threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from api.archive import Entry
from api.deps import Api
from api.names import UniqueNames, archive_name
from api.negotiate import JSON, MARKDOWN, TEXT, Representation
from api.problems import StoredProblem
from api.text import stored_text
from jobs.blobs import BlobMissing, figure_key, manifest_key, result_key
from jobs.errors import InternalError, NotFound, ResultNotReady
from jobs.figures import winning_figures
from jobs.models import FINAL, DocumentPublic, JobPublic
from jobs.store import reading

PIECE = 500
"""Rows fetched at once while a stream goes on."""

FILENAMES: dict[str, str] = {
    MARKDOWN.format: "document.md",
    JSON.format: "document.json",
}
T = TypeVar("T")

_FIGURE_NAME = re.compile(r"page-0*([1-9]\d{0,8})-")


@dataclass(frozen=True, slots=True)
class Finished:
    """A document whose result can be read."""

    document: DocumentPublic
    attempt: int

    @property
    def version(self) -> str:
        """Changes whenever the result does."""
        return f"{self.document.id}-{self.attempt}-{self.document.state}"


def finished_document(api: Api, job_id: str, document_id: str) -> Finished:
    """Raises ResultNotReady, NotFound, Gone; StoredProblem with the document's own error where it has no result."""
    with api.database.read() as session:
        document = reading.get_document(session, job_id, document_id)
        attempt = reading.result_attempt(session, document_id)
    if document.state not in FINAL:
        done = document.pages.succeeded + document.pages.failed + document.pages.canceled
        raise ResultNotReady(
            f"the document is {document.state.value}; pages done: {done} of {document.pages.total}",
            where=document_id,
        )
    if attempt is not None:
        return Finished(document, attempt)
    if document.error is not None:
        raise StoredProblem(document.error)
    raise NotFound(
        f"the document is {document.state.value} and has no result; pages that were finished can be read one by one",
        where=document_id,
    )


def finished_job(api: Api, job_id: str) -> JobPublic:
    """Raises ResultNotReady, NotFound, Gone."""
    with api.database.read() as session:
        job = reading.get_job(session, job_id)
    if job.state not in FINAL:
        done = job.documents.total - job.documents.unfinished
        raise ResultNotReady(
            f"the job is {job.state.value}; documents done: {done} of {job.documents.total}", where=job_id
        )
    return job


def sole_document(api: Api, job_id: str) -> DocumentPublic | None:
    """The document of a job that has just one."""
    with api.database.read() as session:
        documents = reading.list_documents(session, job_id, limit=2)
    return documents[0] if len(documents) == 1 else None


def open_blob(api: Api, job_id: str, key: str) -> Iterator[bytes]:
    """The object as a stream whose first piece is here already, so that an error can still become an answer."""
    return _guarded(api, job_id, lambda: primed(api.blobs.stream(key)))


def read_blob(api: Api, job_id: str, key: str) -> bytes:
    return _guarded(api, job_id, lambda: api.blobs.get(key))


def primed(stream: Iterator[bytes]) -> Iterator[bytes]:
    first = next(stream, b"")
    return chain((first,), stream)


def _guarded(api: Api, job_id: str, read: Callable[[], T]) -> T:
    """A missing object means that the job was deleted meanwhile, or else that we lost something."""
    try:
        return read()
    except BlobMissing:
        with api.database.read() as session:
            reading.get_job(session, job_id)  # raises Gone
        raise InternalError("a stored object is missing; the retry of this job makes it again") from None


def open_result(api: Api, finished: Finished, representation: Representation) -> Iterator[bytes]:
    document = finished.document
    if representation is TEXT:
        return _guarded(api, document.job_id, lambda: primed(stored_text(api, document.job_id, document.id)))
    filename = FILENAMES[representation.format]
    return open_blob(api, document.job_id, result_key(document.job_id, document.id, finished.attempt, filename))


def open_manifest(api: Api, job_id: str) -> Iterator[bytes]:
    """job.json of an ended job. Raises ResultNotReady in the moments after a cancel, when it is yet to be written."""
    try:
        return primed(api.blobs.stream(manifest_key(job_id)))
    except BlobMissing:
        with api.database.read() as session:
            reading.get_job(session, job_id)  # raises Gone
        raise ResultNotReady("job.json is being written", where=job_id) from None


# --- archives


def document_entries(api: Api, finished: Finished, folder: str = "") -> Iterator[Entry]:
    """`x.pdf.md`, `x.pdf.json` and the figures where the Markdown's links look for them."""
    document = finished.document
    name = folder + archive_name(document.name).rpartition("/")[2]
    for representation in (MARKDOWN, JSON):
        yield Entry(
            name + representation.suffix,
            open_result(api, finished, representation),
            document.finished_at,
        )
    yield from _figures(api, document, folder)


def _figures(api: Api, document: DocumentPublic, folder: str) -> Iterator[Entry]:
    for name, key in figures(api, document):
        yield Entry(f"{folder}figures/{name}", api.blobs.stream(key), document.finished_at, packed=True)


def figures(api: Api, document: DocumentPublic) -> Iterator[tuple[str, str]]:
    """Name and key of each figure of the attempts that count."""
    return winning_figures(api.database, api.blobs, document.job_id, document.id)


def read_figure(api: Api, job_id: str, document_id: str, name: str) -> bytes:
    """A figure that the document's Markdown links as `figures/<name>`. Raises NotFound, Gone."""
    with api.database.read() as session:
        document = reading.get_document(session, job_id, document_id)
    for found, key in _candidates(api, document, name):
        if found == name:
            return read_blob(api, job_id, key)
    raise NotFound(f"the document has no figure {name[:80]!r}", where="name")


def _candidates(api: Api, document: DocumentPublic, name: str) -> Iterator[tuple[str, str]]:
    """Where the name tells the page (`page-0012-figure-1.jpg`), that page's figures; otherwise all of them."""
    told = _FIGURE_NAME.match(name)
    if told is None:
        return figures(api, document)
    number = int(told.group(1))
    with api.database.read() as session:
        page = reading.get_page(session, document.id, number)  # raises NotFound
    prefix = figure_key(document.job_id, document.id, number, page.attempt, "")
    return ((stat.key.removeprefix(prefix), stat.key) for stat in api.blobs.list(prefix))


def job_entries(api: Api, job: JobPublic) -> Iterator[Entry]:
    """`job.json`, then a folder for each document that has a result, by its name."""
    yield Entry("job.json", open_manifest(api, job.id), job.finished_at)
    names = UniqueNames()
    names.take("job.json")
    for document in documents(api, job.id):
        with api.database.read() as session:
            attempt = reading.result_attempt(session, document.id)
        folder = names.take(archive_name(document.name)) + "/"
        if attempt is not None:
            yield from document_entries(api, Finished(document, attempt), folder)


def documents(api: Api, job_id: str) -> Iterator[DocumentPublic]:
    """All of a job's, fetched in pieces."""
    after = -1
    while True:
        with api.database.read() as session:
            piece = reading.list_documents(session, job_id, limit=PIECE, after=after)
        yield from piece
        if len(piece) < PIECE:
            return
        after = piece[-1].position
