"""Bodies of answers that are not nouns of their own: lists and what the server says of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from jobs.models import DocumentPublic, JobPublic, PagePublic, PausePublic, WorkerPublic
from jobs.options import Priority
from jobs.settings import LimitSettings

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
    items: list[WorkerPublic]


class PauseList(BaseModel):
    items: list[PausePublic]


class JobChange(BaseModel):
    """What can be changed of a job after it was submitted."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority


class LimitsPublic(BaseModel):
    """Bytes, counts, pixels and seconds."""

    max_file_bytes: int
    max_files_per_job: int
    max_pages: int
    max_page_pixels: int
    page_timeout: float
    split_timeout: float
    document_timeout: float | None
    job_timeout: float | None
    """Of jobs that name no `deadline_seconds`."""

    @classmethod
    def of(cls, limits: LimitSettings) -> LimitsPublic:
        return cls.model_validate(limits.model_dump(include=set(cls.model_fields)))


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
    limits: LimitsPublic


class EventsTaken(BaseModel):
    accepted: int
    """Objects in drop folders that are looked at now."""


class Health(BaseModel):
    status: Literal["live", "ready"]
    checks: dict[str, Check] = {}
    """`broker` may be unavailable on a ready server: the database is the truth, the broker a doorbell."""
