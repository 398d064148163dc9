"""Every object-store call: S3 (boto3) and a local directory behind one protocol, and all keys."""

from __future__ import annotations

from pathlib import Path

from jobs.blobs.base import BlobMissing, BlobStat, BlobStore, BlobWriter, NewObject, nothing
from jobs.blobs.buckets import Buckets, Location, ObjectStat, Opened, Places, parse_location
from jobs.blobs.keys import (
    check_key,
    check_prefix,
    content_disposition,
    figure_key,
    job_prefix,
    manifest_key,
    page_key,
    result_key,
    upload_key,
)
from jobs.settings import BlobSettings

__all__ = [
    "BlobMissing", "BlobStat", "BlobStore", "BlobWriter", "Buckets", "Location", "NewObject", "ObjectStat", "Opened",
    "Places", "check_key", "check_prefix", "content_disposition", "figure_key", "folder_of", "job_prefix",
    "manifest_key", "nothing", "open_store", "page_key", "parse_location", "result_key", "upload_key",
]  # fmt: skip


def open_store(settings: BlobSettings) -> BlobStore:
    """The store the settings name. A local directory is created; S3 is not contacted: see `check`.

    Raises InvalidRequest (a URL without bucket or path), StorageUnavailable (the directory cannot be made).
    """
    if settings.store_url.startswith("file:"):
        from jobs.blobs.local import LocalStore

        return LocalStore(folder_of(settings.store_url))
    from jobs.blobs.s3 import S3Store  # a machine with a local directory never pays for importing boto3

    return S3Store(settings)


def folder_of(url: str) -> Path:
    """Of a local store: `file:relative`, `file:/absolute` and `file:///absolute` (RFC 8089). Raises InvalidRequest."""
    from jobs.errors import InvalidRequest

    path = url.removeprefix("file:")
    if path.startswith("//"):
        host, slash, rest = path.removeprefix("//").partition("/")
        if host not in ("", "localhost") or not slash:
            raise InvalidRequest(f"a local store must be file:PATH, not {url}", where="PAGEMILL_STORE_URL")
        path = f"/{rest}"
    if not path:
        raise InvalidRequest("a local store needs a path: file:PATH", where="PAGEMILL_STORE_URL")
    return Path(path)
