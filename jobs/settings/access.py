"""What may be reached in the name of users, and how."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from jobs.addresses import AllowList
from jobs.settings.group import Group, split_names


def _allow_list(value: str) -> str:
    AllowList.parse(value)
    return value


class OutboundSettings(Group):
    """What goes to addresses that users named: sources and webhooks. Public addresses only, but for the allow-list."""

    outbound_allow: Annotated[str, AfterValidator(_allow_list)] = Field(
        default="",
        description="Internal hosts that may be asked too: names, name:port, addresses, networks; separated by commas.",
    )
    outbound_http: bool = Field(default=False, description="Whether public hosts may be asked without TLS.")
    outbound_connect_timeout: float = Field(default=5.0, gt=0, description="Of one attempt to connect.")
    outbound_read_timeout: float = Field(default=10.0, gt=0, description="Of one read; each request has a total too.")

    @property
    def allowed(self) -> AllowList:
        return AllowList.parse(self.outbound_allow)


class AccessSettings(Group):
    """What may be reached in the name of users. Keys that have a list of their own go by that."""

    sources: str = Field(default="", description="Buckets and prefixes that may be read: s3://…/, by commas.")
    outputs: str = Field(default="", description="Buckets and prefixes that may be written: s3://…/, by commas.")
    web_sources: bool = Field(default=True, description="Whether documents may be named by https:// addresses.")

    @property
    def listed(self) -> dict[str, tuple[str, ...]]:
        """As jobs.models.KeyGrants has them."""
        return {"sources": split_names(self.sources), "outputs": split_names(self.outputs)}
