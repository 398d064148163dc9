"""What work may cost, and the clockwork of the protocol."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.settings.group import MIB, Group


class LimitSettings(Group):
    """What a submission may cost. Served by `GET /v1`, enforced before memory is spent."""

    max_file_bytes: int = Field(default=2048 * MIB, ge=1, description="Of one file, also fetched and listed ones.")
    max_files_per_job: int = Field(default=1000, ge=1, description="Files and sources that one submission names.")
    max_pages: int = Field(default=20_000, ge=1, description="Pages per document.")
    max_page_pixels: int = Field(default=40_000_000, ge=10_000, description="Larger pages are scaled down to this.")
    page_timeout: float = Field(default=300.0, gt=0, description="Deadline of one page inside render or engine.")
    split_timeout: float = Field(default=120.0, gt=0, description="Deadline of opening one document.")
    document_timeout: float | None = Field(
        default=None, gt=0, description="Seconds from a document's beginning to its last page; none where absent."
    )
    job_timeout: float | None = Field(
        default=None, gt=0, description="Seconds from submission to the last page, of jobs that name no deadline."
    )
    max_documents: int = Field(
        default=100_000, ge=1, description="Documents per job that come from prefixes and manifests."
    )
    retention: float | None = Field(
        default=None, gt=0, description="Seconds after its end when a job that names none is deleted. Absent: never."
    )
    source_retention: float | None = Field(
        default=None, gt=0, description="Seconds after its end when the files of a job are. Absent: with the job."
    )
    source_timeout: float = Field(default=600.0, gt=0, description="Deadline of fetching one file from its URL.")
    render_memory: int = Field(default=1536 * MIB, ge=64 * MIB, description="Bytes a page may add to its process.")
    cache: Literal["use", "bypass"] = Field(
        default="use", description="Whether jobs that do not say so get results of equal documents; workers see to it."
    )
    key_requests_per_second: int | None = Field(
        default=None, ge=1, le=100_000, description="Requests of one API key that has no limit of its own."
    )
    key_file_bytes: int | None = Field(default=None, ge=1, description="Largest file of such a key.")
    key_backlog_pages: int | None = Field(default=None, ge=1, description="Pages of its jobs that have not ended.")
    key_pages_per_day: int | None = Field(
        default=None, ge=1, description="Pages of its documents by the day of UTC; workers count them."
    )
    key_pages_in_flight: int | None = Field(default=None, ge=1, description="Its pages in flight; workers see to it.")

    def of_keys(self) -> dict[str, int | None]:
        """The defaults of keys, by the names of jobs.models.KeyLimits."""
        prefix = "key_"
        return {name.removeprefix(prefix): v for name, v in self.model_dump().items() if name.startswith(prefix)}


class TimerSettings(Group):
    """The clockwork of the protocol. `PAGEMILL_TIME_FACTOR` divides all of it, so that tests are short."""

    time_factor: float = Field(
        default=1.0, gt=0, description="Divides all timers of this group; for tests. The same for all processes."
    )
    heartbeat_every: float = Field(default=5.0, description="How often a worker says that it lives.")
    heartbeat_stale: float = Field(
        default=30.0, description="Silence after which a worker is dead and its pages are given to others."
    )
    rescue_every: float = Field(default=5.0, description="How often what stands still is looked for.")
    ring_expires: float = Field(
        default=60.0, description="After which pages that were announced and not begun are announced again."
    )
    tick_every: float = Field(
        default=0.2, description="How often pages are dispatched where nothing wakes the dispatcher."
    )
    fold_every: float = Field(default=1.0, description="How often the counters of jobs are brought up to date.")
    grace: float = Field(default=60.0, description="How long a worker may finish what it holds after SIGTERM.")
    backoff_base: float = Field(default=2.0, description="First delay of a retryable error; doubles each time.")
    backoff_max: float = Field(default=300.0, description="Longest delay of a retryable error.")
    webhook_every: float = Field(default=1.0, description="How often due webhooks are looked for.")
    webhook_timeout: float = Field(default=15.0, description="Of one attempt, from the look-up to the answer.")

    def scaled(self, name: str) -> float:
        """The timer `name` in seconds, divided by the factor."""
        return float(getattr(self, name)) / self.time_factor
