"""Where everything lies: the database, the broker, the objects, and the key that encrypts secrets in them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from jobs.settings.group import Group


class DatabaseSettings(Group):
    """The truth."""

    database_url: str = "sqlite:///pagemill-data/pagemill.db"
    database_pool: int = Field(default=8, ge=1, description="Connections per process.")
    database_busy_timeout: float = Field(default=10.0, gt=0, description="SQLite: how long a writer waits its turn.")


def _broker_url(value: str) -> str:
    try:
        for part in value.split(";"):  # of several Sentinels
            _ = urlsplit(part).port
    except ValueError:  # which tells a piece of the password
        raise ValueError("this is no URL; special characters of a password must be percent-encoded") from None
    return value


class BrokerSettings(Group):
    """The doorbell: Redis or Valkey."""

    broker_url: Annotated[str, AfterValidator(_broker_url)] = "redis://127.0.0.1:6379/0"
    broker_prefix: str = Field(default="pagemill:", description="Prefix of every key in Redis.")


def _store_url(value: str) -> str:
    if not value.startswith(("file:", "s3://")):
        raise ValueError("must start with file: or s3://")
    return value


class BlobSettings(Group):
    """The object store: `file:PATH` or `s3://bucket/prefix`."""

    store_url: Annotated[str, AfterValidator(_store_url)] = "file:pagemill-data/objects"
    s3_endpoint: str | None = Field(default=None, description="Endpoint of an S3 that is not AWS.")
    s3_public_endpoint: str | None = Field(default=None, description="Endpoint that presigned links name instead.")
    s3_region: str = "us-east-1"
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    s3_timeout: float = Field(default=20.0, gt=0, description="Connect and read timeout of one call.")


class SecretSettings(Group):
    """The key for secrets at rest."""

    secret_key: SecretStr | None = Field(default=None, description="Any long random text; encrypts passwords at rest.")
