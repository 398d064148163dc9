"""Where results are wanted beside pagemill's own store: `<location><path>/document.md`, `document.json`, `figures/`.

A document that failed has `error.json` there instead. `plan` says where, in the transaction that enters the documents;
the rest is done once they have ended (workers/publish.py), again after each retry, and until it works.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from jobs.blobs import Location
from jobs.blobs.keys import MAX_KEY_BYTES, MAX_SEGMENT_BYTES, RESERVED
from jobs.store import publishing
from jobs.store.database import Session
from jobs.store.publishing import NewPublication

ODD = "odd-names"
"""The folder of results whose source has a name that cannot be a folder everywhere."""
ERROR_SUFFIX = ".error.json"

# "/figures/page-00012-figure-123.jpg", and longer names that a later engine may give.
_BENEATH = 100
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


def folder_of(key: str, *locations: Location) -> str:
    """The path that the results of a source called `key` get, at each of these locations: `key` itself, or, where that
    could not be written everywhere, `odd-names/<SHA-256 of it>`. No two keys get the same one.

    Odd are keys with empty segments, `.` or `..`, control characters, a backslash, segments of more than 244 bytes,
    more than about 900 bytes in all, an end in `.error.json`, and those that begin with `odd-names/` themselves.
    """
    segments = key.split("/")
    longest = max((len(location.path.encode()) for location in locations), default=0)
    odd = (
        _FORBIDDEN.search(key) is not None
        or key.endswith(ERROR_SUFFIX)
        or segments[0] == ODD
        or longest + len(key.encode()) + _BENEATH > MAX_KEY_BYTES
        or any(map(_is_odd, segments))
    )
    return f"{ODD}/{sha256(key.encode()).hexdigest()}" if odd else key


def _is_odd(segment: str) -> bool:
    return (
        segment in ("", ".", "..")
        or segment.startswith(RESERVED)
        or len(segment.encode()) > MAX_SEGMENT_BYTES - len(ERROR_SUFFIX)
    )


def plan(session: Session, location: Location, documents: Iterable[tuple[str, str]], rank: str | None = None) -> None:
    """Write the results of these documents (id, path beneath `location`) there when they have ended.

    Of documents with one location and path the one with the greatest `rank` (RFC 3339; now where absent) is to be seen
    there, whichever ends last. Belongs into the transaction that inserts the documents (`lifecycle.submit(within=…)`).
    """
    publishing.insert(session, [publication(location, document, path, rank) for document, path in documents])


def publication(location: Location, document: str, path: str, rank: str | None = None) -> NewPublication:
    target = sha256(f"{location}\0{path}".encode()).hexdigest()[:40]
    return NewPublication(document, str(location), path, target, rank)
