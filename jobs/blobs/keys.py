"""All keys of the object store, and which names may be keys at all."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from urllib.parse import quote

from jobs.errors import InvalidRequest

MAX_KEY_BYTES = 1024
"""Of a whole key, in UTF-8: the limit of S3."""

MAX_SEGMENT_BYTES = 255
"""Between two slashes: the limit of a file name on Linux, and of SeaweedFS."""

RESERVED = ".pagemill-"
"""Segments that start so are the store's own."""

# Control characters do not survive the XML of S3; SeaweedFS takes a backslash for a slash.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


def upload_key(day: date, job_id: str, document_id: str) -> str:
    """Where a source is streamed before its job exists; swept when the job never came to be."""
    return f"uploads/{day:%Y-%m-%d}/{job_id}/{document_id}"


def job_prefix(job_id: str) -> str:
    return f"jobs/{job_id}/"


def manifest_key(job_id: str) -> str:
    return f"jobs/{job_id}/job.json"


def page_key(job_id: str, document_id: str, number: int, attempt: int) -> str:
    """The attempt in the key makes a late, doubled write harmless: only the row's attempt is ever read."""
    return f"jobs/{job_id}/{document_id}/pages/{number}.{attempt}.json"


def figure_key(job_id: str, document_id: str, number: int, attempt: int, name: str) -> str:
    return f"jobs/{job_id}/{document_id}/figures/{number}.{attempt}/{name}"


def result_key(job_id: str, document_id: str, attempt: int, filename: str) -> str:
    """`filename`: document.md or document.json. No folder of its own: making one costs as much as the file."""
    stem, _, extension = filename.rpartition(".")
    return f"jobs/{job_id}/{document_id}/{stem}.{attempt}.{extension}"


def check_key(key: str) -> str:
    """The key, when it names an object inside the store on every kind of store; InvalidRequest otherwise."""
    _check_text(key)
    for segment in key.split("/"):
        _check_segment(key, segment)
    return key


def check_prefix(prefix: str) -> str:
    """The prefix of keys to list or delete: empty, a folder with its slash, or the beginning of a name."""
    if prefix:
        _check_text(prefix)
        for segment in prefix.split("/")[:-1]:
            _check_segment(prefix, segment)
    return prefix


def _check_text(key: str) -> None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("an object key must be valid Unicode", where=ascii(key)) from None
    if size > MAX_KEY_BYTES:
        raise InvalidRequest(
            "an object key is too long", where=key[:80], limit=f"{MAX_KEY_BYTES} bytes", actual=f"{size} bytes"
        )
    if _FORBIDDEN.search(key):
        raise InvalidRequest("an object key must have no backslash and no control character", where=ascii(key))


def _check_segment(key: str, segment: str) -> None:
    if segment in ("", ".", "..") or segment.startswith(RESERVED):
        raise InvalidRequest(f"an object key must not have the segment {segment!r}", where=key)
    size = len(segment.encode())
    if size > MAX_SEGMENT_BYTES:
        limit, actual = f"{MAX_SEGMENT_BYTES} bytes", f"{size} bytes"
        raise InvalidRequest("a segment of an object key is too long", where=key[:80], limit=limit, actual=actual)


def content_disposition(filename: str) -> str:
    """The header that makes a browser save under this name (RFC 6266): plain ASCII first, all of it beside."""
    ascii_name = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    fallback = "".join(c if c.isprintable() and c not in '"\\/%;' else "_" for c in ascii_name).strip() or "download"
    # Exactly the attr-char of RFC 5987 stay as they are.
    encoded = quote(filename.encode("utf-8", "replace"), safe="!#$&+-.^_`|~")
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"
