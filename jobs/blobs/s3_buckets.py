"""Buckets of users on S3, by boto3; see jobs/blobs/buckets.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from jobs.blobs.buckets import ObjectStat, Opened
from jobs.blobs.s3 import S3Writer, open_client, storage_error
from jobs.errors import (
    OutputForbidden,
    PagemillError,
    SourceChanged,
    SourceForbidden,
    SourceUnreachable,
    StorageUnavailable,
)
from jobs.settings import BlobSettings

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CopySourceTypeDef

COPY_AT_ONCE = 5 * 1024**3
"""Bytes that CopyObject takes; larger objects are copied in parts."""

_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound", "404"})
_DENIED = frozenset(
    {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled"}
)
_CHANGED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})
_LATER = frozenset({408, 429})
_UNKNOWN_CONDITION = frozenset({"NotImplemented", "501"})


class _Version(TypedDict, total=False):
    VersionId: str


class S3Buckets:
    """Every bucket that the credentials reach."""

    def __init__(self, settings: BlobSettings) -> None:
        """Contacts nobody."""
        self._client = open_client(boto3.session.Session(), settings, settings.s3_endpoint)

    # --- reading

    def stat(self, bucket: str, key: str) -> ObjectStat | None:
        try:
            with _reading(bucket, key):
                head = self._client.head_object(Bucket=bucket, Key=key)
        except SourceUnreachable:
            return None
        return _stat(key, head["ContentLength"], head["ETag"], head["LastModified"], head.get("VersionId"))

    def list(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ObjectStat]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, StartAfter=start_after or ""
        )
        with _reading(bucket, prefix):
            for page in pages:
                for found in page.get("Contents", ()):
                    yield _stat(found["Key"], found["Size"], found["ETag"], found["LastModified"])

    @contextmanager
    def open(self, bucket: str, key: str, *, etag: str, chunk: int = 1 << 20) -> Iterator[Opened]:
        with _reading(bucket, key):
            got = self._client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
        body = got["Body"]

        def pieces() -> Iterator[bytes]:
            with _reading(bucket, key):
                while piece := body.read(chunk):  # raises when the object ends early
                    yield piece

        try:
            found = _stat(key, got["ContentLength"], got["ETag"], got["LastModified"], got.get("VersionId"))
            yield Opened(found, pieces())
        finally:
            body.close()

    # --- writing

    def put(self, bucket: str, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        with _writing(bucket, key):
            self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)

    def writer(self, bucket: str, key: str, content_type: str = "application/octet-stream") -> S3Writer:
        return S3Writer(self._client, bucket, key, content_type, guard=lambda: _writing(bucket, key))

    def tag(self, bucket: str, key: str, tags: Mapping[str, str], *, etag: str) -> None:
        """S3 has no condition for tags: between our look and the tagging another object may come and be tagged.

        A version is named where the bucket keeps them, and then it cannot."""
        found = self._present(bucket, key, etag)
        version: _Version = {"VersionId": found.version} if found.version else {}
        with _reading(bucket, key):
            kept = self._client.get_object_tagging(Bucket=bucket, Key=key, **version)["TagSet"]
            merged = {tag["Key"]: tag["Value"] for tag in kept} | dict(tags)
            self._client.put_object_tagging(
                Bucket=bucket,
                Key=key,
                Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in merged.items()]},
                **version,
            )

    def move(self, bucket: str, key: str, to_bucket: str, to_key: str, *, etag: str) -> None:
        found = self._present(bucket, key, etag)
        source: CopySourceTypeDef = {"Bucket": bucket, "Key": key}
        condition = f'"{etag}"'
        with _writing(to_bucket, to_key):
            if found.size <= COPY_AT_ONCE:
                self._client.copy_object(Bucket=to_bucket, Key=to_key, CopySource=source, CopySourceIfMatch=condition)
            else:
                self._client.copy(source, to_bucket, to_key, ExtraArgs={"CopySourceIfMatch": condition})
        self.delete(bucket, key, etag=etag)

    def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
        if etag is None:
            with _writing(bucket, key):
                self._client.delete_object(Bucket=bucket, Key=key)
            return
        try:
            self._present(bucket, key, etag)
        except SourceUnreachable:
            return
        self._delete_this(bucket, key, etag)

    def _delete_this(self, bucket: str, key: str, etag: str) -> None:
        """A server that knows no conditional delete says so, and then our look just before must do."""
        with _writing(bucket, key):
            try:
                self._client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
            except ClientError as error:
                if _code(error) in _GONE:
                    return
                if _code(error) not in _UNKNOWN_CONDITION:
                    raise
                self._client.delete_object(Bucket=bucket, Key=key)

    def _present(self, bucket: str, key: str, etag: str) -> ObjectStat:
        found = self.stat(bucket, key)
        if found is None:
            raise SourceUnreachable("the object is gone", where=_where(bucket, key))
        if found.etag != etag:
            raise SourceChanged("another object lies under this key now", where=_where(bucket, key))
        return found

    def close(self) -> None:
        self._client.close()


def _stat(key: str, size: int, etag: str, modified: datetime, version: str | None = None) -> ObjectStat:
    # "null" is the version of objects from before a bucket kept versions.
    return ObjectStat(
        key, size, etag.strip('"'), modified.replace(microsecond=0), None if version == "null" else version
    )


def _where(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "unknown")


@contextmanager
def _reading(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _source_error(error, bucket, key) from error


@contextmanager
def _writing(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        found = _source_error(error, bucket, key)
        if isinstance(found, SourceForbidden) or (isinstance(error, ClientError) and _code(error) == "NoSuchBucket"):
            raise OutputForbidden(found.detail, where=found.where) from error
        raise found from error


def _source_error(error: ClientError | BotoCoreError, bucket: str, key: str) -> PagemillError:
    """Never with a URL, which may carry a signature."""
    if not isinstance(error, ClientError):
        return StorageUnavailable(f"the bucket {bucket} cannot be reached ({type(error).__name__})")
    code, where = _code(error), _where(bucket, key)
    if code in _CHANGED:
        return SourceChanged("another object lies under this key now", where=where)
    if code == "NoSuchBucket":
        return SourceUnreachable("there is no such bucket", where=where)
    if code in _GONE:
        return SourceUnreachable("the object is gone", where=where)
    if code in _DENIED:
        return SourceForbidden(f"access is denied ({error.operation_name}: {code})", where=where)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if 300 <= status < 500 and status not in _LATER:
        # An archived object, a key of the client's own, another region: asking again changes nothing.
        return SourceForbidden(f"the bucket refuses ({error.operation_name}: {code})", where=where)
    return storage_error(error)
