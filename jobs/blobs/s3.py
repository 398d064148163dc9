"""The object store in a bucket of any S3, by boto3.

One client per store: it is thread-safe and keeps its connections. botocore's standard mode tries every call three
times (throttling, 5xx, connection errors); nobody above retries at once, the queue does so later. Checksums beyond
what an operation requires stay off: many an S3 that is not AWS knows nothing of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jobs.blobs.base import BlobMissing, BlobStat, NewObject, nothing
from jobs.blobs.files import save
from jobs.blobs.keys import RESERVED, check_key, check_prefix, content_disposition
from jobs.errors import InvalidRequest, ServiceError, StorageFull, StorageUnavailable
from jobs.settings import BlobSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef, ObjectIdentifierTypeDef

PART = 8 * 1024 * 1024
"""Bytes of one part of a multipart upload. S3 allows 10,000 parts of at least 5 MiB: objects up to 78 GiB."""

CONNECTIONS = 48
"""Kept open per store: a worker has so many threads that store pages, download sources and put documents together. More
at once open further ones and close them again."""

ATTEMPTS = 3
DELETE_BATCH = 1000  # the limit of DeleteObjects
MAX_LINK_SECONDS = 7 * 24 * 3600  # the limit of signature version 4

_MISSING = frozenset({"NoSuchKey", "NotFound", "404"})
_FULL = frozenset({"507", "InsufficientStorage", "QuotaExceeded", "QuotaExceededException", "XMinioStorageFull"})

_log = logging.getLogger(__name__)


def storage_error(error: ClientError | BotoCoreError) -> ServiceError:
    """Says which call failed and how; never a URL, which may carry a signature. The cause stays chained for the log."""
    if not isinstance(error, ClientError):
        return StorageUnavailable(f"the object store cannot be reached ({type(error).__name__})")
    code = error.response.get("Error", {}).get("Code", "unknown")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _FULL or status == 507:
        return StorageFull(f"the object store is full ({error.operation_name}: {code})")
    return StorageUnavailable(f"the object store refuses ({error.operation_name}: {code})")


@contextmanager
def _mapped(key: str | None = None) -> Iterator[None]:
    """Errors of boto3 by type. With a key, an absent object is BlobMissing; an absent bucket never is."""
    try:
        yield
    except ClientError as error:
        if key is not None and error.response.get("Error", {}).get("Code") in _MISSING:
            raise BlobMissing(key) from error
        raise storage_error(error) from error
    except BotoCoreError as error:
        raise storage_error(error) from error


class S3Store:
    """Objects in one bucket, under an optional prefix."""

    bundle: ClassVar[int] = 1

    def __init__(self, settings: BlobSettings) -> None:
        """Contacts nobody. Raises InvalidRequest when the URL names no bucket."""
        bucket, _, prefix = settings.store_url.removeprefix("s3://").partition("/")
        if not bucket:
            raise InvalidRequest("a store in S3 needs a bucket: s3://BUCKET/PREFIX", where="PAGEMILL_STORE_URL")
        self._bucket = bucket
        self._prefix = f"{check_key(prefix.strip('/'))}/" if prefix.strip("/") else ""
        # A session of our own: creating clients from boto3's default one is not thread-safe.
        session = boto3.session.Session()
        self._client = open_client(session, settings, settings.s3_endpoint)
        self._public = self._client
        if settings.s3_public_endpoint and settings.s3_public_endpoint != settings.s3_endpoint:
            # The host is part of a link's signature, so a link cannot be rewritten afterwards.
            self._public = open_client(session, settings, settings.s3_public_endpoint)

    # --- writing

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        with _mapped():
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data, ContentType=content_type)

    def put_all(self, objects: Sequence[NewObject]) -> None:
        for new in objects:
            self.put(*new)

    def writer(self, key: str, content_type: str = "application/octet-stream") -> S3Writer:
        return S3Writer(self._client, self._bucket, self._name(key), content_type)

    def copy(self, source: str, target: str) -> None:
        """By the server. Some that lack the source say that the request is wrong (SeaweedFS), so it is looked for."""
        copied: CopySourceTypeDef = {"Bucket": self._bucket, "Key": self._name(source)}
        with _mapped(source):
            try:
                self._client.copy_object(Bucket=self._bucket, Key=self._name(target), CopySource=copied)
            except ClientError:
                self._client.head_object(**copied)  # raises where that is why
                raise

    # --- reading

    def get(self, key: str) -> bytes:
        with _mapped(key):
            return self._client.get_object(Bucket=self._bucket, Key=self._name(key))["Body"].read()

    def stream(self, key: str, chunk: int = 1 << 20) -> Iterator[bytes]:
        pieces = self._pieces(key, chunk)
        next(pieces)  # sends the request
        return pieces

    def _pieces(self, key: str, chunk: int) -> Iterator[bytes]:
        with _mapped(key):
            body = self._client.get_object(Bucket=self._bucket, Key=self._name(key))["Body"]
            try:
                yield b""
                while piece := body.read(chunk):  # raises when the object ends early
                    yield piece
            finally:
                body.close()

    def download(self, key: str, path: Path) -> None:
        save(self.stream(key), path)

    def local_path(self, key: str) -> Path | None:
        check_key(key)
        return None

    def stat(self, key: str) -> BlobStat | None:
        try:
            with _mapped(key):
                head = self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        except BlobMissing:
            return None
        return BlobStat(key, head["ContentLength"], head["LastModified"], head["ETag"].strip('"'))

    # --- listing and deleting

    def list(self, prefix: str) -> Iterator[BlobStat]:
        return self._listing(check_prefix(prefix))

    def _listing(self, prefix: str) -> Iterator[BlobStat]:
        with _mapped():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._prefix)
                    if not key.endswith("/"):  # the folders some S3 show as empty objects
                        yield BlobStat(key, found["Size"], found["LastModified"], found["ETag"].strip('"'))

    def delete(self, keys: Iterable[str]) -> None:
        names = (self._name(key) for key in keys)
        while batch := tuple(islice(names, DELETE_BATCH)):
            self._delete_batch(batch)

    def _delete_batch(self, names: tuple[str, ...]) -> None:
        objects: list[ObjectIdentifierTypeDef] = [{"Key": name} for name in names]
        with _mapped():
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        for failed in answer.get("Errors", ()):
            if failed.get("Code") not in _MISSING:
                raise StorageUnavailable(f"the object store refuses (DeleteObjects: {failed.get('Code')})")

    def delete_prefix(self, prefix: str, between: Callable[[], None] = nothing) -> int:
        deleted = 0
        found = (stat.key for stat in self.list(prefix))
        while batch := tuple(islice(found, DELETE_BATCH)):
            self.delete(batch)
            deleted += len(batch)
            between()
        self._abort_uploads(prefix)
        return deleted

    def _abort_uploads(self, prefix: str) -> None:
        """Give back the parts of uploads whose writer was killed; S3 keeps, and bills, them for ever."""
        with _mapped():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    _abort(self._client, self._bucket, upload["Key"], upload["UploadId"])

    # --- the rest

    def presign(self, key: str, seconds: int, filename: str | None = None) -> str | None:
        """Raises InvalidRequest for more than a week."""
        _check_link(seconds)
        given = {"Bucket": self._bucket, "Key": self._name(key)}
        if filename is not None:
            given["ResponseContentDisposition"] = content_disposition(filename)
        with _mapped():
            return self._public.generate_presigned_url("get_object", Params=given, ExpiresIn=seconds)

    def presign_put(self, key: str, seconds: int, size: int) -> str | None:
        """Raises InvalidRequest for more than a week. The length is signed: another one is refused by the store."""
        _check_link(seconds)
        given = {"Bucket": self._bucket, "Key": self._name(key), "ContentLength": size}
        with _mapped():
            return self._public.generate_presigned_url("put_object", Params=given, ExpiresIn=seconds)

    def check(self) -> None:
        probe = f"{self._prefix}{RESERVED}check"
        with _mapped():
            self._client.put_object(Bucket=self._bucket, Key=probe, Body=b"pagemill")
            self._client.delete_object(Bucket=self._bucket, Key=probe)

    def close(self) -> None:
        self._client.close()
        self._public.close()

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)


def _check_link(seconds: int) -> None:
    if not 1 <= seconds <= MAX_LINK_SECONDS:
        raise InvalidRequest("a link must last between a second and a week", limit=MAX_LINK_SECONDS, actual=seconds)


class S3Writer:
    """One object being written: up to a part's size in one put, larger ones in parts. Holds two parts in memory."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        name: str,
        content_type: str,
        guard: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        """`guard` tells the errors of boto3 in other words than `_mapped` does."""
        self._guard = guard or _mapped
        self._client = client
        self._bucket = bucket
        self._name = name
        self._content_type = content_type
        self._buffer = bytearray()
        self._upload: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def __enter__(self) -> Self:
        return self

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            room = PART - len(self._buffer)
            self._buffer += rest[:room]
            rest = rest[room:]
            if len(self._buffer) == PART:
                self._send_part()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finished = False
        try:
            if kind is None:
                self._finish()
                finished = True
        finally:
            if self._upload is not None and not finished:
                self._abandon(self._upload)

    def _finish(self) -> None:
        if self._upload is None:
            with self._guard():
                self._client.put_object(
                    Bucket=self._bucket, Key=self._name, Body=bytes(self._buffer), ContentType=self._content_type
                )
            return
        if self._buffer:
            self._send_part()
        with self._guard():
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=self._name, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
            )

    def _send_part(self) -> None:
        with self._guard():
            if self._upload is None:
                begun = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._name, ContentType=self._content_type
                )
                self._upload = begun["UploadId"]
            number = len(self._parts) + 1
            sent = self._client.upload_part(
                Bucket=self._bucket, Key=self._name, UploadId=self._upload, PartNumber=number, Body=bytes(self._buffer)
            )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._buffer.clear()

    def _abandon(self, upload: str) -> None:
        # The error that got us here is the one to tell; parts left behind go with `delete_prefix`.
        try:
            _abort(self._client, self._bucket, self._name, upload)
        except (ClientError, BotoCoreError) as error:
            _log.warning("an upload could not be aborted", extra={"action": "abort_upload", "error": repr(error)})


def _abort(client: S3Client, bucket: str, name: str, upload: str) -> None:
    with suppress(client.exceptions.NoSuchUpload):  # it was completed or aborted meanwhile
        client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload)


def open_client(session: boto3.session.Session, settings: BlobSettings, endpoint: str | None) -> S3Client:
    secret = settings.s3_secret_key
    config = Config(
        signature_version="s3v4",
        connect_timeout=settings.s3_timeout,
        read_timeout=settings.s3_timeout,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        # A bucket as a host name needs DNS that only AWS has.
        s3={"addressing_style": "path" if endpoint else "virtual"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client(
        "s3",
        endpoint_url=endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=config,
    )
