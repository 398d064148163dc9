"""Drop folders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from jobs.settings.group import Group


class InboxSettings(Group):
    """Drop folders: what lies there becomes documents, its results lie beside them (docs/inbox.md)."""

    inbox: str = Field(default="", description="s3://bucket/prefix/ or file:/folder/; several separated by commas.")
    inbox_output: str | None = Field(
        default=None, description="Where results go, one for each inbox; outgoing/ beside each where absent."
    )
    inbox_originals: Literal["leave", "tag", "move"] = Field(
        default="leave",
        description="Once results are written: leave them, tag them pagemill-state=done or failed, or move them to"
        " done/ or failed/ beside the inbox.",
    )
    inbox_options: str = Field(default="{}", description="Options of the jobs, as JSON.")
    inbox_sweep_every: float = Field(
        default=30.0, gt=0, le=21_600, description="From the end of a sweep to the next one."
    )
    inbox_settle: float = Field(default=2.0, ge=0, description="A file that changed this recently waits.")
    inbox_batch: int = Field(default=500, ge=1, le=10_000, description="Objects that become one job at most.")
    inbox_threads: int = Field(default=8, ge=1, le=64, description="Objects copied at once by one worker.")
    inbox_events_list: str | None = Field(
        default=None, description="A list in the broker's Redis to which a server pushes S3 event messages."
    )
    inbox_events_token: SecretStr | None = Field(
        default=None, description="Bearer token for POST /v1/inbox/events; a key with the scope admin will do too."
    )
