"""A document as plain text, made from its page results when it is asked for: few do, so none is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from api.deps import Api
from jobs.blobs import page_key
from jobs.models import PageState
from jobs.results import FURNITURE, Block, PageResult
from jobs.store import reading
from jobs.store.reading import FinishedPage

PIECE = 500
"""Pages looked up at once."""

_BLANK_LINE = re.compile(r"\n\s*\n")


def document_text(api: Api, job_id: str, document_id: str) -> Iterator[bytes]:
    """Page by page, a blank line between; a page without a result leaves a line in brackets. Raises BlobMissing."""
    between = ""
    for page in _pages(api, document_id):
        if page.state is PageState.SUCCEEDED:
            stored = api.blobs.get(page_key(job_id, document_id, page.number, page.attempt))
            text = page_text(PageResult.model_validate_json(stored))
        else:
            reason = f": {page.error['code']}" if page.error else ""
            text = f"[page {page.number} {page.state.value}{reason}]"
        if text:
            yield f"{between}{text}\n".encode()
            between = "\n"


def _pages(api: Api, document_id: str) -> Iterator[FinishedPage]:
    after = 0
    while True:
        with api.database.read() as session:
            piece = reading.finished_pages(session, document_id, after=after, limit=PIECE)
        yield from piece
        if len(piece) < PIECE:
            return
        after = piece[-1].number


def page_text(result: PageResult) -> str:
    """Blocks in reading order without running heads and the like, a blank line between paragraphs."""
    readable = sorted((block for block in result.blocks if block.label not in FURNITURE), key=lambda block: block.order)
    return "\n\n".join(text for text in map(_block_text, readable) if text)


def _block_text(block: Block) -> str:
    if block.label == "table":
        return table_text(block.content)
    return "\n\n".join(part.strip() for part in _BLANK_LINE.split(block.content) if part.strip())


def table_text(html: str) -> str:
    """Rows on lines, cells apart by tabs; what is no table comes as it is."""
    cells = _Cells()
    cells.feed(html)
    cells.close()
    lines = ("\t".join(" ".join(cell.split()) for cell in row).rstrip() for row in cells.rows)
    return "\n".join(line for line in lines if line)


class _Cells(HTMLParser):
    """The text of a table's cells by row."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = [[""]]
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("tr", "caption"):
            self.rows.append([])
        if tag in ("tr", "caption", "td", "th"):
            self.rows[-1].append("")
        if tag == "tr":
            self.rows[-1].clear()
        if tag in ("script", "style"):
            self._silent += 1
        if tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("tr", "caption", "table"):
            self.rows.append([""])
        if tag in ("script", "style"):
            self._silent = max(0, self._silent - 1)

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if not self.rows[-1]:  # between the tags of a row
            if not data.strip():
                return
            self.rows[-1].append("")
        self.rows[-1][-1] += data
