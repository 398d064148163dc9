"""Bodies of answers that are not nouns of their own: lists and what the server says of itself."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.models import (
    DocumentPublic,
    JobPublic,
    KeyLimits,
    PagePublic,
    PausePublic,
    Scope,
    WebhookPublic,
    WebhookSecretPublic,
    WorkerPublic,
)
from jobs.options import JobOptions, Priority
from jobs.settings import LimitSettings
from jobs.sources import Source

Check = Literal["ok", "unavailable"]


class JobList(BaseModel):
    """`next_cursor` is None at the end."""

    items: list[JobPublic]
    next_cursor: str | None


class DocumentList(BaseModel):
    """`next_cursor` is None at the end."""

    items: list[DocumentPublic]
    next_cursor: str | None


class PageList(BaseModel):
    """`next_cursor` is None at the end."""

    items: list[PagePublic]
    next_cursor: str | None


class WorkerList(BaseModel):
    """`next_cursor` is None at the end."""

    items: list[WorkerPublic]
    next_cursor: str | None = None


class PauseList(BaseModel):
    items: list[PausePublic]


class WebhookList(BaseModel):
    items: list[WebhookPublic]


class WebhookSecretList(BaseModel):
    """The current one first; the others sign beside it until they expire."""

    secrets: list[WebhookSecretPublic]


class JobChange(BaseModel):
    """What can be changed of a job after it was submitted."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority


class JsonSubmission(BaseModel):
    """Documents by where they lie. A prefix (`s3://…/`) is listed in the background; a bad source is the error of its
    document."""

    model_config = ConfigDict(extra="forbid")

    sources: list[Source] = Field(min_length=1)
    options: JobOptions = JobOptions()


class NewUpload(BaseModel):
    """A file that is to be put by a link."""

    model_config = ConfigDict(extra="forbid")

    bytes: int = Field(ge=1, le=2**63 - 1)
    """Exactly so many."""
    name: str = Field(default="document", max_length=1000)


class UploadPlace(BaseModel):
    """Where to put the file: `method` to `url`, with `headers`. Then submit it by `id`."""

    id: str
    name: str
    method: Literal["PUT"] = "PUT"
    url: str
    """Of the object store, good without a key; or a path of this server, which wants the key."""
    headers: dict[str, str]
    expires_at: datetime


class LimitsPublic(BaseModel):
    """Bytes, counts, pixels and seconds."""

    max_file_bytes: int
    max_files_per_job: int
    max_documents: int
    """Of a job whose documents come from prefixes and manifests."""
    max_pages: int
    max_page_pixels: int
    page_timeout: float
    split_timeout: float
    document_timeout: float | None
    job_timeout: float | None
    """Of jobs that name no `deadline_seconds`."""
    render_memory: int
    """Bytes that a page may take while it is unpacked and drawn: what bounds compression, whatever the ratio."""
    retention: float | None
    """Of jobs that name no `retention_seconds`."""
    source_retention: float | None
    source_timeout: float
    key: KeyLimits
    """Of API keys that have no such limit of their own; `GET /v1/key` tells the asking key's."""

    @classmethod
    def of(cls, limits: LimitSettings) -> LimitsPublic:
        return cls.model_validate(limits.model_dump(include=set(cls.model_fields)) | {"key": limits.of_keys()})


class KeyUsage(BaseModel):
    """What the asking key is and may do; `id` and `name` are null where no key was asked for."""

    id: str | None
    name: str | None
    scopes: tuple[Scope, ...]
    limits: KeyLimits
    """Those that hold for it, the server's defaults included."""
    backlog_pages: int
    """Pages of its jobs that have not ended."""
    pages_today: int
    """By the day of UTC; 0 where there is no limit to count for."""


class Signpost(BaseModel):
    """Paths on this server."""

    name: Literal["pagemill"] = "pagemill"
    version: str
    api: Literal["/v1"] = "/v1"
    openapi: Literal["/v1/openapi.json"] = "/v1/openapi.json"


class ServiceInfo(BaseModel):
    """Name, version and what a submission may cost."""

    name: Literal["pagemill"] = "pagemill"
    version: str
    engine: str
    """Of jobs that name none."""
    engines: tuple[str, ...]
    passwords: bool
    """Whether encrypted documents may be sent with their password (the server has PAGEMILL_SECRET_KEY)."""
    webhooks: bool
    """Whether jobs may name a webhook (the same)."""
    limits: LimitsPublic


class EventsTaken(BaseModel):
    accepted: int
    """Objects in drop folders that are looked at now."""


class Health(BaseModel):
    status: Literal["live", "ready"]
    checks: dict[str, Check] = {}
    """`broker` may be unavailable on a ready server: the database is the truth, the broker a doorbell."""
