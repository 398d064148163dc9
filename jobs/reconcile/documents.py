"""One document against the store: its pages' results, its files, its source. What is missing is looked for twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlmodel import Session

from jobs.blobs import BlobStat, page_key, result_key
from jobs.models import PageState, State
from jobs.reconcile import again, contents
from jobs.reconcile.differences import Difference
from jobs.reconcile.parts import Parts
from jobs.store import naming
from jobs.store.naming import NamingDocument, NamingPage

_PAGE = re.compile(r"^(?:pages/(\d+)\.(\d+)\.json|figures/(\d+)\.(\d+)/.+)$")
_FILE = re.compile(r"^document\.(\d+)\.(md|json)$")
_GOOD = (State.SUCCEEDED.value, State.PARTIAL.value)
FILES = ("document.md", "document.json")


@dataclass(frozen=True, slots=True)
class Document:
    """A document's row, and its pages that name an object by number."""

    row: NamingDocument
    pages: dict[int, NamingPage]

    def names_page(self, number: int, attempt: int) -> bool:
        """Whether this attempt's result counts, or is being read or copied now and may be stored at any moment."""
        page = self.pages.get(number)
        return (page is not None and page.attempt == attempt) or self._is_copied(attempt)

    def _is_copied(self, attempt: int) -> bool:
        return self.row.worker is not None and self.row.copied == self.row.attempt == attempt

    def names_files(self, attempt: int) -> bool:
        return attempt == self.row.result_attempt or (self.row.worker is not None and attempt == self.row.attempt)

    def names(self, key: str) -> bool:
        """Whether these rows name the object."""
        rest = _inside(key)
        if page := _PAGE.match(rest):
            number, attempt = (int(part) for part in page.groups() if part is not None)
            return self.names_page(number, attempt)
        file = _FILE.match(rest)
        return file is not None and self.names_files(int(file[1]))

    @property
    def readable(self) -> bool:
        """It has ended with files."""
        return self.row.state in _GOOD and self.row.result_attempt is not None


def _inside(key: str) -> str:
    """`jobs/<job>/<document>/pages/1.1.json` -> `pages/1.1.json`."""
    return key.split("/", 3)[3] if key.count("/") > 2 else ""


def is_ours(key: str) -> bool:
    """Whether an object under a document's folder has one of our keys."""
    return bool(_PAGE.match(_inside(key)) or _FILE.match(_inside(key)))


def read_document(session: Session, id_: str) -> Document | None:
    """As the rows are now; None where there is none, or its job is deleted."""
    row = naming.living_documents(session, [id_]).get(id_)
    pages = naming.naming_pages(session, [id_]).get(id_, [])
    return None if row is None else Document(row, {page.number: page for page in pages})


@dataclass(slots=True)
class Objects:
    """What the listing says of a document's objects that its rows name."""

    document: Document
    results: set[int] = field(default_factory=set)
    """Pages whose named result is there and not empty."""
    files: set[str] = field(default_factory=set)

    def take(self, stat: BlobStat) -> bool:
        """Note the object. False where no row names it."""
        if not self.document.names(stat.key):
            return False
        name = _inside(stat.key)
        if name.startswith("pages/") and stat.size:
            self.results.add(int(name.removeprefix("pages/").partition(".")[0]))
        file = _FILE.match(name)
        if file and int(file[1]) == self.document.row.result_attempt and (stat.size or file[2] == "md"):
            self.files.add(f"document.{file[2]}")  # Markdown of blank pages is empty
        return True


def document_differences(parts: Parts, document: Document, objects: Objects) -> Iterator[Difference]:
    """What is missing of a document, and in a deep look what is broken; mended where told so."""
    succeeded = [page for page in document.pages.values() if page.state == PageState.SUCCEEDED]
    lost = _lost_results(parts, document, [page for page in succeeded if page.number not in objects.results])
    files = _lost_files(parts, document, objects) if document.readable else []
    if parts.deep:
        missing = {page.number for page, _ in lost}
        lost += contents.broken_results(parts, document.row, [p for p in succeeded if p.number not in missing])
        files += contents.broken_files(parts, document.row) if document.readable and not files else []
    if lost or files:
        yield from _mended(parts, document, *_still_so(parts, document, lost, files))
    yield from _source(parts, document)


Lost = list[tuple[NamingPage, Difference]]


def _lost_results(parts: Parts, document: Document, doubtful: list[NamingPage]) -> Lost:
    """Those of these results that are not in the store at a second look either."""
    found: Lost = []
    row = document.row
    for page in doubtful:
        key = page_key(row.job_id, row.id, page.number, page.attempt)
        actual = _absent(parts, key)
        if actual:
            found.append((page, Difference("result_missing", f"{row.id}/{page.number}", key, actual)))
    return found


def _absent(parts: Parts, key: str, *, may_be_empty: bool = False) -> str | None:
    """`missing`, `empty`, or None where the object is there."""
    stat = parts.blobs.stat(key)
    if stat is None:
        return "missing"
    return None if stat.size or may_be_empty else "empty"


def _lost_files(parts: Parts, document: Document, objects: Objects) -> list[Difference]:
    row, found = document.row, []
    for name in FILES:
        if name in objects.files or row.result_attempt is None:
            continue
        key = result_key(row.job_id, row.id, row.result_attempt, name)
        actual = _absent(parts, key, may_be_empty=name.endswith(".md"))
        if actual:
            found.append(Difference("document_files_missing", row.id, key, actual))
    return found


def _still_so(
    parts: Parts, document: Document, lost: Lost, files: list[Difference]
) -> tuple[Lost, list[Difference]]:  # fmt: skip
    """What the rows name after the second look, too: nothing was deleted or superseded rightly meanwhile."""
    with parts.db.read() as session:
        now = read_document(session, document.row.id)
    if now is None:
        return [], []
    same_files = now.readable and now.row.result_attempt == document.row.result_attempt
    return [(page, found) for page, found in lost if now.pages.get(page.number) == page], files if same_files else []


def _mended(parts: Parts, document: Document, lost: Lost, files: list[Difference]) -> Iterator[Difference]:
    fixed = False
    if parts.fix and (lost or files):
        pages = [(page.number, page.attempt) for page, _ in lost]
        fixed = again.run_again(parts.db, parts.blobs, document.row.job_id, document.row.id, pages)
    for found in [*(found for _, found in lost), *files]:
        yield found.repaired(fixed)


def _source(parts: Parts, document: Document) -> Iterator[Difference]:
    """The source of a document that is still to be read. What it holds is told by the walk through `uploads/`."""
    row = document.row
    if not row.needs_source or not row.source_key or parts.blobs.stat(row.source_key) is not None:
        return
    with parts.db.read() as session:
        now = naming.living_documents(session, [row.id]).get(row.id)
    if now is not None and now.needs_source:
        yield Difference("source_missing", row.id, row.source_key, "missing")
