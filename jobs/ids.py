"""Ids that sort by time (UUIDv7, RFC 9562) behind a prefix that says what they name."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from uuid_utils import uuid7

_ID = re.compile(r"(job|doc|wrk|key|upl|evt|whs)_[0-9a-f]{32}")


def _new(prefix: str) -> str:
    return f"{prefix}_{uuid7().hex}"


def new_job_id() -> str:
    return _new("job")


def new_document_id() -> str:
    return _new("doc")


def new_worker_id() -> str:
    return _new("wrk")


def new_key_id() -> str:
    return _new("key")


def new_upload_id() -> str:
    return _new("upl")


def new_event_id() -> str:
    return _new("evt")


def new_webhook_secret_id() -> str:
    return _new("whs")


def day_of(id_: str) -> date:
    """The day (UTC) on which an id was made: the first 48 bits of a UUIDv7 are milliseconds since 1970."""
    milliseconds = int(id_.partition("_")[2][:12], 16)
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date()


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id with this prefix, so that it may stand in an object key."""
    return bool(_ID.fullmatch(text)) and text.startswith(prefix + "_")
