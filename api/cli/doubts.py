"""Which pages of a result are to be doubted: text is missing or guessed, say warnings in its document.json."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from api.cli.plan import Failure
from api.cli.report import page_list

SAID: Final = MappingProxyType(
    {
        "unsupported_script": "text in a script that the engine does not read is missing from the result",
        "low_confidence": "much of the text was guessed at",
    }
)
"""What is said of each code; the page's JSON says more. Other warnings are found there only."""

_PIECE = 1 << 20
_LONGEST = 4096
"""Bytes that a page's beginning or a warning's may span."""
# Inside a JSON string every quote is escaped: these bytes are keys and their values, whatever the text of a page says.
_MARK = re.compile(
    rb'\{"number"\s*:\s*(?P<page>\d+)\s*,\s*"state"|\{"code"\s*:\s*"(?P<code>%s)"' % "|".join(SAID).encode()
)


def doubts(where: str, path: Path) -> list[Failure]:
    """One for each code in the document.json at `path`, with its pages. `where`: the document's name.

    The file may have hundreds of megabytes: it is searched, not parsed. Raises OSError.
    """
    pages: dict[str, list[int]] = {code: [] for code in SAID}
    number = 0
    for page, code in _marks(path):
        number = page or number
        if code and number not in pages[code]:
            pages[code].append(number)
    return [Failure(where, code, SAID[code], None, page_list(found)) for code, found in pages.items() if found]


def _marks(path: Path) -> Iterator[tuple[int | None, str | None]]:
    """In the file's order: a page's number, or the code of a warning."""
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            rest += piece
            end = 0
            for found in _MARK.finditer(rest):
                page, code = found["page"], found["code"]
                yield int(page) if page else None, code.decode() if code else None
                end = found.end()
            rest = rest[max(end, len(rest) - _LONGEST) :]
