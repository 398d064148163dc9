"""What an earlier result says about itself: whether `x.pdf.json` is one of ours, and which figures came with it.

Only what a readable document.json names is ours to replace or remove; everything else that lies there is somebody's.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from jobs.results import DocumentResult

_HEAD_BYTES = 1 << 16
_PIECE = 1 << 20
_LONGEST = 4096
"""Bytes that a figure's line in the JSON may span; a file name has at most 255."""
_PAGES = re.compile(rb'"pages"\s*:\s*\[')
# Inside a JSON string every quote is escaped: these bytes are a key and its value, whatever the text of a page says.
_FIGURE = re.compile(rb'"figure"\s*:\s*("(?:[^"\\]|\\.)*")')


def provenance(path: Path) -> dict[str, Any] | None:
    """document.json without its pages, which come last and may be hundreds of megabytes. None: not readable as that."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        found = _PAGES.search(head)
        value = orjson.loads(head[: found.start()].rstrip().rstrip(b",") + b"}" if found else head)
    except (OSError, orjson.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def figures_of(path: Path) -> frozenset[str] | None:
    """Names of the figures that the document.json at `path` lists. None: that is no result of ours."""
    head = provenance(path) if is_plain_file(path) else None
    if head is None:
        return None
    try:
        DocumentResult.model_validate(head | {"pages": ()})
        return frozenset(filter(is_file_name, _listed(path)))
    except (OSError, ValidationError):
        return None


def is_plain_file(path: Path) -> bool:
    """A regular file, not a link to one: we write no links."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_file_name(name: str) -> bool:
    return name not in ("", ".", "..") and not any(mark in name for mark in "/\\\0")


def _listed(path: Path) -> set[str]:
    names: set[bytes] = set()
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            rest += piece
            names.update(found.group(1) for found in _FIGURE.finditer(rest))
            rest = rest[-_LONGEST:]
    return {_decoded(name) for name in names}


def _decoded(text: bytes) -> str:
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return ""
