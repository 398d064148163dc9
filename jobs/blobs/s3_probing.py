"""What `pagemill doctor` tries on an S3: each act that a store needs, once, under keys of its own that it removes.

The acts are the store's own where it has them (jobs/blobs/s3.py), so that what is tried is what is done later.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session

from jobs.blobs.s3 import PART, S3Store
from jobs.errors import ServiceError
from jobs.settings import BlobSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FOLDER = "doctor"
"""Of the probes, beside `uploads/` and `jobs/`."""
STALE = 3600.0
"""Seconds after which what a killed doctor left there is removed by the next one."""
_LINK = 300
_BODY = b"pagemill doctor: a probe that may be removed\n"


class S3Refusal(Exception):
    """What the store answered, or why it did not. `code`: of S3 (`NoSuchBucket`), empty where nobody answered."""

    def __init__(self, act: str, code: str, status: int = 0) -> None:
        super().__init__(f"{act}: {code or 'no answer'}" + (f" ({status})" if status else ""))
        self.act, self.code, self.status = act, code, status


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """How a presigned link was answered."""

    status: int
    right: bool
    """Whether what came back, or what then lay there, was the probe."""


class S3Probe:
    """One round of tries. `close` removes what it put."""

    def __init__(self, settings: BlobSettings, timeout: float) -> None:
        """`timeout`: seconds of one call; it is tried once. Raises InvalidRequest where the URL names no bucket."""
        self._store = S3Store(settings.model_copy(update={"s3_timeout": timeout}))
        self._client: S3Client = self._store._client
        self._bucket = self._store._bucket
        self._timeout = timeout
        self._mine = f"{FOLDER}/{secrets.token_hex(8)}"
        self._key = f"{self._mine}/probe"
        self._begun = False
        """Whether there may be something to remove."""

    # --- before anything is written

    def look(self) -> float:
        """List one object; seconds by which the store's clock is before ours. Raises S3Refusal."""
        before = datetime.now(UTC)
        with _told("ListObjectsV2"):
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._store._name(self._key), MaxKeys=1)
        took = datetime.now(UTC) - before
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if told is None:
            return 0.0
        # It tells whole seconds: half of one more is the best guess.
        return (parsedate_to_datetime(told) - (before + took / 2)).total_seconds() + 0.5

    # --- acts

    def write(self) -> None:
        self._begun = True
        with _told("PutObject"):
            self._store.put(self._key, _BODY, "text/plain")

    def read(self) -> None:
        with _told("GetObject"):
            whole = self._store.get(self._key)
        if whole != _BODY:
            raise S3Refusal("GetObject", "other bytes than were put")

    def read_range(self) -> None:
        with _told("GetObject with Range"):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._store._name(self._key), Range=f"bytes=9-{len(_BODY) - 1}"
            )
            part, status = answer["Body"].read(), answer["ResponseMetadata"]["HTTPStatusCode"]
        if part != _BODY[9:] or status != 206:
            raise S3Refusal("GetObject with Range", "the whole object, or other bytes", status)

    def list(self) -> None:
        with _told("ListObjectsV2"):
            found = [stat.key for stat in self._store.list(f"{self._mine}/")]
        if self._key not in found:
            raise S3Refusal("ListObjectsV2", f"{len(found)} objects, without the one that was put")

    def copy(self) -> None:
        with _told("CopyObject"):
            self._store.copy(self._key, f"{self._mine}/copy")

    def multipart(self) -> None:
        """Two parts, the first as large as those of uploads."""
        name = f"{self._mine}/parts"
        with _told("multipart upload"):
            with self._store.writer(name) as writer:
                writer.write(bytes(PART))
                writer.write(_BODY)
            stat = self._store.stat(name)
        if stat is None or stat.size != PART + len(_BODY):
            raise S3Refusal("multipart upload", "an object of another size")

    def honours_conditions(self) -> bool:
        """Whether the second of two PUTs with `If-None-Match: *` is refused with 412 (or 409, while both run)."""
        name = self._store._name(f"{self._mine}/condition")
        with _told("PutObject with If-None-Match"):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=_BODY, IfNoneMatch="*")
            try:
                self._client.put_object(Bucket=self._bucket, Key=name, Body=b"the second", IfNoneMatch="*")
            except ClientError as refused:
                if refused.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                    return True
                raise
        return False

    # --- links

    def fetch_link(self) -> LinkAnswer:
        """GET a link as a browser would."""
        url = self._store.presign(self._key, _LINK, "probe.txt")
        assert url is not None
        status, content = self._http("GET", url)
        return LinkAnswer(status, content == _BODY)

    def put_link(self) -> LinkAnswer:
        """PUT to a link as a client would, and look what lies there then."""
        name = f"{self._mine}/link"
        url = self._store.presign_put(name, _LINK, len(_BODY))
        assert url is not None
        status, _ = self._http("PUT", url, _BODY)
        with _told("HeadObject"):
            stat = self._store.stat(name)
        return LinkAnswer(status, stat is not None and stat.size == len(_BODY))

    def _http(self, method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Raises S3Refusal where nobody answers."""
        session = URLLib3Session(timeout=max(1, round(self._timeout)))
        try:
            answer = session.send(AWSRequest(method=method, url=url, data=body).prepare())
            return answer.status_code, answer.content
        except BotoCoreError as failure:
            raise S3Refusal(f"{method} of a link", type(failure).__name__) from failure
        finally:
            session.close()

    # --- afterwards

    def remove(self) -> None:
        """All that was put, what an earlier doctor was killed over included. Raises S3Refusal."""
        with _told("DeleteObjects"):
            self._store.delete_prefix(f"{self._mine}/")
            left = [stat.key for stat in self._store.list(f"{self._mine}/")]
            if left:
                raise S3Refusal("DeleteObjects", f"{len(left)} objects are still there")
            self._begun = False
            oldest = datetime.now(UTC).timestamp() - STALE
            self._store.delete(s.key for s in self._store.list(f"{FOLDER}/") if s.modified.timestamp() < oldest)

    def close(self) -> None:
        if self._begun:
            with suppress(S3Refusal):
                self.remove()
        self._store.close()


@contextmanager
def _told(act: str) -> Iterator[None]:
    """The errors of boto3, and of our own store over it, as S3Refusal with S3's own code."""
    try:
        yield
    except ClientError as refused:
        raise _refusal(act, refused) from refused
    except BotoCoreError as failure:
        raise S3Refusal(act, "") from failure
    except (ServiceError, KeyError) as failure:
        cause = failure.__cause__
        if isinstance(cause, ClientError):
            raise _refusal(act, cause) from failure
        raise S3Refusal(act, "" if isinstance(failure, ServiceError) else "no such object") from failure


def _refusal(act: str, refused: ClientError) -> S3Refusal:
    code = str(refused.response.get("Error", {}).get("Code", "unknown"))
    return S3Refusal(act, code, refused.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
