"""Where everything lies: the database, the broker, the objects, and the key that encrypts secrets in them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from jobs.settings.group import Group


class DatabaseSettings(Group):
    """The truth."""

    database_url: str = Field(
        default="sqlite:///pagemill-data/pagemill.db",
        description="`postgresql+psycopg://user:password@host/name`, or `sqlite:///path`.",
    )
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

    broker_url: Annotated[str, AfterValidator(_broker_url)] = Field(
        default="redis://127.0.0.1:6379/0",
        description="`redis://…`, `rediss://…`, or `sentinel://…;sentinel://…` for several Sentinels.",
    )
    broker_master: str = Field(default="mymaster", description="With Sentinels: their name of the master.")
    broker_prefix: str = Field(default="pagemill:", description="Prefix of every key in Redis.")


def _store_url(value: str) -> str:
    if not value.startswith(("file:", "s3://")):
        raise ValueError("must start with file: or s3://")
    return value


class BlobSettings(Group):
    """The object store: `file:PATH` or `s3://bucket/prefix`."""

    store_url: Annotated[str, AfterValidator(_store_url)] = Field(
        default="file:pagemill-data/objects",
        description="`file:/folder`, which all processes must see, or `s3://bucket/prefix`.",
    )
    s3_endpoint: str | None = Field(default=None, description="Endpoint of an S3 that is not AWS.")
    s3_public_endpoint: str | None = Field(default=None, description="Endpoint that presigned links name instead.")
    s3_region: str = Field(default="us-east-1", description="Region that requests are signed for.")
    s3_access_key: str | None = Field(default=None, description="As AWS's own client finds it where absent.")
    s3_secret_key: SecretStr | None = Field(default=None, description="Belongs to the access key.")
    s3_timeout: float = Field(default=20.0, gt=0, description="Connect and read timeout of one call.")


class SecretSettings(Group):
    """The key for secrets at rest."""

    secret_key: SecretStr | None = Field(
        default=None, description="Random text of 16 characters or more; encrypts passwords."
    )
