"""Tables, states and allowed transitions, and the public shapes of the nouns. docs/states.md draws this page."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as PydanticField
from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, false, text
from sqlmodel import Field, SQLModel

from jobs.errors import Problem
from jobs.store.clock import Timestamp, now

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = MetaData(naming_convention=NAMING).naming_convention


def _where(condition: str) -> dict[str, Any]:
    """A partial index on both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


class State(StrEnum):
    """States of jobs and documents."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELED = "canceled"


class PageState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class WorkerState(StrEnum):
    ALIVE = "alive"
    DRAINING = "draining"
    """Takes nothing new; still holds pages."""
    STOPPED = "stopped"
    DEAD = "dead"


FINAL: frozenset[State] = frozenset({State.SUCCEEDED, State.PARTIAL, State.FAILED, State.CANCELED})
PAGE_FINAL: frozenset[PageState] = frozenset({PageState.SUCCEEDED, PageState.FAILED, PageState.CANCELED})

# The one table of allowed moves. `canceled -> running` is absent: a canceled job is not reopened.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.PARTIAL, State.FAILED, State.CANCELED}),
    State.PARTIAL: frozenset({State.RUNNING}),
    State.FAILED: frozenset({State.RUNNING}),
    State.SUCCEEDED: frozenset(),
    State.CANCELED: frozenset(),
}
PAGE_TRANSITIONS: dict[PageState, frozenset[PageState]] = {
    PageState.PENDING: frozenset({PageState.RUNNING, PageState.FAILED, PageState.CANCELED}),
    PageState.RUNNING: frozenset({PageState.PENDING, PageState.SUCCEEDED, PageState.FAILED, PageState.CANCELED}),
    PageState.FAILED: frozenset({PageState.PENDING}),
    PageState.SUCCEEDED: frozenset(),
    PageState.CANCELED: frozenset(),
}


def close_state(succeeded: int, failed: int, canceled: int, *, was_canceled: bool = False) -> State:
    """The final state of a parent from its children's.

    `canceled` wins where something was canceled; `partial` where some are good and some are not; a parent without
    children has succeeded.
    """
    if was_canceled or canceled:
        return State.CANCELED
    if failed:
        return State.PARTIAL if succeeded else State.FAILED
    return State.SUCCEEDED


class Worker(SQLModel, table=True):
    """One incarnation of a worker process."""

    id: str = Field(primary_key=True)
    host: str
    slot: str
    pid: int
    engine: str
    capacity: int
    state: str = WorkerState.ALIVE
    started_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    heartbeat_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    detail: str | None = None
    """Why it takes no work, where it does not."""
    reader: str | None = None
    """What it reads with (jobs/reuse.py); None where it serves no engine, or is older than this column."""
    drain_requested: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    """It is to end: with its next heartbeat it claims nothing more, finishes what it holds, and stops."""
    pace: float | None = None
    """Pages it reads a second, as its heartbeat tells; absent where it has read nothing lately."""

    __table_args__ = (Index("ix_worker_live", "state", "heartbeat_at"), Index("ix_worker_slot", "host", "slot"))


class Lease(SQLModel, table=True):
    """Who acts in the name of all: one row per name (`tick`)."""

    name: str = Field(primary_key=True)
    holder: str
    expires_at: datetime = Field(sa_column=Column(Timestamp, nullable=False))


class Pause(SQLModel, table=True):
    """An owner whose documents and pages are not rung for now. What is in flight ends as usual."""

    owner: str = Field(primary_key=True)
    since: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))


class Usage(SQLModel, table=True):
    """Pages that an owner's documents were split into on a day (UTC); kept of owners with a limit on them."""

    owner: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    """`2026-01-31`, by the database's clock."""
    pages: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class ApiKey(SQLModel, table=True):
    """A bearer key. What it says is never kept: `digest` is the SHA-256 of its 256 random bits."""

    id: str = Field(primary_key=True)
    name: str
    """For people; need not be unique."""
    digest: str
    hint: str
    """How it begins, for whoever wants to know which one they hold."""
    scopes: list[str] = Field(sa_column=Column(JSON, nullable=False))
    limits: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default=text("'{}'"))
    )
    """Its own `KeyLimits`; what it does not say is the server's default."""
    grants: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default=text("'{}'"))
    )
    """Its own `KeyGrants`; where it has none, the server's."""
    created_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))

    __tablename__ = "api_key"
    __table_args__ = (Index("ix_api_key_digest", "digest", unique=True),)


class Idempotency(SQLModel, table=True):
    """An Idempotency-Key and the job that its request made (rule 11)."""

    owner: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    """SHA-256 of what was sent."""
    job_id: str
    created_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))

    __table_args__ = (Index("ix_idempotency_created", "created_at"),)


class Upload(SQLModel, table=True):
    """A place where one file may be put, to be submitted by its id."""

    id: str = Field(primary_key=True)
    owner: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    key: str
    """Of the object in the store."""
    name: str
    created_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    expires_at: datetime = Field(sa_column=Column(Timestamp, nullable=False))

    __table_args__ = (Index("ix_upload_expires", "expires_at"),)


class Listing(SQLModel, table=True):
    """Documents of a job that are still to be entered, from a prefix or a manifest. Gone when all are."""

    id: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(sa_column=Column(String, ForeignKey("job.id", ondelete="CASCADE"), nullable=False))
    kind: str
    """`prefix` or `manifest`."""
    location: str
    """`s3://bucket/prefix/`, or the key of the manifest in the store."""
    cursor: str = ""
    """Where to go on: the last key entered, or the number of lines that were."""
    errors: int = 0
    ready_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))

    __table_args__ = (Index("ix_listing_job", "job_id"),)


class Job(SQLModel, table=True):
    """One submission. Page totals are folded from its documents at most once a second."""

    id: str = Field(primary_key=True)
    state: str = State.QUEUED
    sealed: bool = False
    engine: str
    priority: int = 1
    """0 interactive, 1 batch: the order of dispatch."""
    owner: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    """Who takes turns in dispatch and can be paused: whoever submitted it; empty where nobody said."""
    options: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    meta: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    password: str | None = None
    """Encrypted; removed when no retry can need it."""
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    cancel_requested: bool = False
    manifest: bool = False
    """job.json is in the store and tells the final state (docs/decisions/0002)."""
    documents_total: int = 0
    documents_succeeded: int = 0
    documents_partial: int = 0
    documents_failed: int = 0
    documents_canceled: int = 0
    pages_total: int = 0
    pages_running: int = 0
    pages_succeeded: int = 0
    pages_failed: int = 0
    pages_canceled: int = 0
    engine_micros: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """Microseconds of the engine, by jobs/spending.py; folded as the page totals, so are tokens."""
    tokens_in: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    tokens_out: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    created_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    started_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    finished_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    deleted_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    purged_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    """Objects and rows of a deleted job are gone; nobody can write more."""
    deadline_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    """That of its documents, those still to come included."""
    retention_seconds: float | None = None
    """How long it is kept after its end; for good where absent."""
    source_retention_seconds: float | None = None
    """How long its files are; as long as the job where absent."""
    expires_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    """When it is deleted; set when it ends."""
    sources_expire_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    """When its files are deleted; set when it ends, NULL once they are."""

    __table_args__ = (
        Index("ix_job_open", "id", **_where("state IN ('queued','running')")),
        Index("ix_job_expires", "expires_at", **_where("expires_at IS NOT NULL AND deleted_at IS NULL")),
        Index("ix_job_sources", "sources_expire_at", **_where("sources_expire_at IS NOT NULL")),
        Index("ix_job_to_purge", "id", **_where("deleted_at IS NOT NULL AND purged_at IS NULL")),
        Index("ix_job_manifest", "id", **_where("NOT manifest")),
        Index("ix_job_owner", "owner", "id"),
        Index("ix_job_backlog", "owner", **_where("state IN ('queued','running')")),
    )  # fmt: skip


class Document(SQLModel, table=True):
    """One file of a job. The counters equal a count of its page rows: total is the sum of the five others."""

    id: str = Field(primary_key=True)
    job_id: str = Field(sa_column=Column(String, ForeignKey("job.id", ondelete="CASCADE"), nullable=False))
    position: int
    """0-based place in the job."""
    name: str
    source_key: str
    source_url: str | None = None
    """Where its file is still to be fetched from; None once it lies under `source_key`."""
    source_etag: str | None = None
    """What is to be found there, where that is known."""
    origin: str | None = None
    """Where its file came from, as it may be shown: without a query."""
    media_type: str
    bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    sha256: str
    engine: str
    priority: int = 1
    owner: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    """As the job says."""
    state: str = State.QUEUED
    sealed: bool = False
    worker: str | None = None
    """Who splits or assembles it now."""
    attempt: int = 0
    errors: int = 0
    crashes: int = 0
    ready_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    rung_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    source_pages: int | None = None
    """Pages the file has, whatever was selected."""
    total: int = 0
    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    engine_micros: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """Microseconds of the engine, by jobs/spending.py: of all recorded attempts at its pages; so are tokens."""
    tokens_in: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    tokens_out: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    charged: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    """Pages of it that its owner's day was charged with: a split that runs twice is charged once."""
    result_attempt: int | None = None
    """The attempt whose document.md and document.json count."""
    reuse_key: str | None = None
    """What was asked of which bytes by whom (jobs/reuse.py); None where its result is for nobody else."""
    reader: str | None = None
    """What read all of its pages; None while they are read, and where it was more than one or is not known."""
    cached: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    """Its pages were copied from an earlier document."""
    copied: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    """The last attempt that may have put copies: what is read of its pages begins beyond (docs/decisions/0009)."""
    created_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    started_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    """When its split was first claimed, or its last retry."""
    deadline_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    """What has not ended by then fails; a retry has none."""
    finished_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    unpublished: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    """Its end, once it has one, is yet to be written to where its `Publication` says."""

    __table_args__ = (
        Index("ix_document_job", "job_id", "position"),
        Index("ix_document_unfinished", "job_id", **_where("state IN ('queued','running')")),
        Index("ix_document_split", "priority", "owner", "job_id", "id",
              **_where("state IN ('queued','running') AND NOT sealed AND worker IS NULL AND source_url IS NULL")),
        Index("ix_document_fetch", "priority", "owner", "job_id", "id",
              **_where("state IN ('queued','running') AND NOT sealed AND worker IS NULL AND source_url IS NOT NULL")),
        Index("ix_document_pending", "engine", "priority", "owner", "job_id", "id",
              **_where("state = 'running' AND pending > 0")),
        Index("ix_document_assemble", "priority", "id",
              **_where("state = 'running' AND sealed AND pending = 0 AND running = 0")),
        Index("ix_document_rung", "rung_at", **_where("rung_at IS NOT NULL")),
        Index("ix_document_deadline", "deadline_at",
              **_where("deadline_at IS NOT NULL AND state IN ('queued','running')")),
        Index("ix_document_started", "started_at", **_where("state = 'running'")),
        Index("ix_document_worker", "worker", **_where("worker IS NOT NULL")),
        Index("ix_document_reuse", "reuse_key", "id",
              **_where("state = 'succeeded' AND reuse_key IS NOT NULL AND reader IS NOT NULL")),
        Index("ix_document_troubled", "job_id", "position", **_where("error IS NOT NULL OR failed > 0")),
        Index("ix_document_unpublished", "id",
              **_where("unpublished AND state IN ('succeeded','partial','failed','canceled')")),
    )  # fmt: skip


class Page(SQLModel, table=True):
    """One page. `attempt` is the fence; `errors` and `crashes` are what limits count."""

    document_id: str = Field(
        sa_column=Column(String, ForeignKey("document.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    number: int = Field(sa_column=Column(Integer, primary_key=True, nullable=False, autoincrement=False))
    state: str = PageState.PENDING
    worker: str | None = None
    attempt: int = 0
    errors: int = 0
    crashes: int = 0
    ready_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    rung_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    finished_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))

    __table_args__ = (
        Index("ix_page_silent", "document_id", "number",
              **_where("state = 'pending' AND rung_at IS NULL")),
        Index("ix_page_rung", "rung_at",
              **_where("state = 'pending' AND rung_at IS NOT NULL")),
        Index("ix_page_held", "worker", **_where("state = 'running'")),
        Index("ix_page_failed", "document_id", "number", **_where("state = 'failed'")),
        Index("ix_page_canceled_held", "document_id",
              **_where("state = 'canceled' AND worker IS NOT NULL")),
    )  # fmt: skip


class WebhookSecret(SQLModel, table=True):
    """What an owner's webhooks are signed with. One that was rotated away goes on signing until it expires."""

    id: str = Field(primary_key=True)
    owner: str
    sealed: str
    """Encrypted."""
    created_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    expires_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))

    __tablename__ = "webhook_secret"
    __table_args__ = (
        Index("ix_webhook_secret_current", "owner", unique=True, **_where("expires_at IS NULL")),
        Index("ix_webhook_secret_owner", "owner", "id"),
    )


class WebhookState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Refused by the guard, or not delivered by the last attempt of the schedule."""
    STOPPED = "stopped"
    """The receiver answered 410 Gone, to this one or to another."""


class WebhookDelivery(SQLModel, table=True):
    """Something that a receiver is to be told. Its id is the message's, whatever attempt brings it."""

    id: str = Field(primary_key=True)
    job_id: str = Field(sa_column=Column(String, ForeignKey("job.id", ondelete="CASCADE"), nullable=False))
    owner: str
    url: str
    host: str
    """The URL's, with its port: what shares a receiver."""
    event: str
    body: str
    """As it is sent and signed, the same with every attempt."""
    state: str = WebhookState.PENDING
    attempt: int = 0
    """The fence, as a page's."""
    failures: int = 0
    """Attempts that failed since the beginning or the last replay: the place in the schedule."""
    attempts: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """The last ones, oldest first."""
    next_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    """When it is due; while it is being sent, when it is due again should the sender die."""
    rung_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    created_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    finished_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_job", "job_id", "id"),
        Index("ix_webhook_delivery_due", "owner", "host", "next_at", **_where("state = 'pending'")),
        Index("ix_webhook_delivery_rung", "owner", "host", "rung_at", **_where("rung_at IS NOT NULL")),
    )


class PublicationState(StrEnum):
    WAITING = "waiting"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    """The end of a newer document is, or was, to be seen at the target."""
    FAILED = "failed"
    """Given up after many attempts; a retry of the document begins anew."""
    CANCELED = "canceled"
    """The document was: there is nothing to write."""


class Publication(SQLModel, table=True):
    """Where a document's results are wanted beside pagemill's own store, and how far that is (jobs/publishing.py)."""

    document_id: str = Field(
        sa_column=Column(String, ForeignKey("document.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    location: str
    """A prefix, as jobs/blobs/buckets.py writes it."""
    path: str
    """Beneath it: the folder that the document's files get, without a slash at its end."""
    target: str
    """Hash of both."""
    rank: str
    """RFC 3339: of several documents with one target the one with the greatest rank is to be seen there."""
    state: str = PublicationState.WAITING
    holder: str | None = None
    """Who writes there now."""
    held_until: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    attempts: int = 0
    ready_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    published: str | None = None
    """Which end of the document is written there: its state and the attempt of its result."""
    published_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))

    __table_args__ = (
        Index("ix_publication_waiting", "target", **_where("state = 'waiting'")),
        Index("ix_publication_written", "target", "rank", **_where("published_at IS NOT NULL")),
    )


class InboxState(StrEnum):
    TAKEN = "taken"
    """A scanner copies it now; after `held_until` another one may."""
    SUBMITTED = "submitted"
    """It is a document."""


class InboxObject(SQLModel, table=True):
    """An object of a drop folder as it was at one time: its row says that it was taken, once (jobs/inbox.py)."""

    id: str = Field(primary_key=True)
    """Hash of inbox, key, etag and modified; with the document's id behind it once the original was moved away."""
    inbox: str
    """Its location."""
    key: str
    """Beneath the inbox, as it is in the bucket or folder."""
    etag: str
    modified: str
    """RFC 3339, whole seconds."""
    version: str | None = None
    bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    state: str = InboxState.TAKEN
    holder: str | None = None
    held_until: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    job_id: str | None = None
    document_id: str | None = None
    """No foreign key: an object whose job was deleted is not taken again."""
    original: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    """`done` or `failed`, where it was moved to, or `tagged`; empty where it was left as it is."""
    moved_etag: str | None = None
    """Of the original where it was moved to: what comes to lie there later is another one."""
    taken_at: datetime = Field(sa_column=Column(Timestamp, nullable=False, server_default=now()))
    ended_at: datetime | None = Field(default=None, sa_column=Column(Timestamp))
    """When its original was moved or tagged."""

    __tablename__ = "inbox_object"
    __table_args__ = (
        Index("ix_inbox_object_document", "document_id"),
        Index("ix_inbox_object_forgettable", "ended_at",
              **_where("original IN ('done','failed')")),
    )  # fmt: skip


# --- public shapes -------------------------------------------------------------------------------------------------


class _Public(BaseModel):
    model_config = ConfigDict(frozen=True)


class DocumentCounts(_Public):
    total: int
    unfinished: int
    """Queued or running."""
    succeeded: int
    partial: int
    failed: int
    canceled: int


class PageCounts(_Public):
    """`total` grows until every document is split."""

    total: int
    pending: int
    running: int
    succeeded: int
    failed: int
    canceled: int


class JobUsage(_Public):
    """What reading the job took so far (jobs/spending.py): every attempt counts, but for those of killed workers."""

    engine_seconds: float = 0.0
    """The engine's busy time, divided among the pages that were inside."""
    tokens_in: int = 0
    """Of a language model's prompts, images included; 0 where the engine has none."""
    tokens_out: int = 0
    cost: float | None = None
    """`engine_seconds` at the server's price now. Absent where it has none, in lists, and in answers to changes."""
    currency: str | None = None


class QueuePlace(_Public):
    """Where a job stands, foretold from what waits now and how pages are read now (docs/following.md)."""

    pages_ahead: int
    """Pages of other jobs that are read before the last one of this job."""
    eta_seconds: float | None
    """Until that one is read; absent where nothing was read lately, or its owner is paused."""


class JobPublic(_Public):
    """A job as everybody sees it."""

    id: str
    state: State
    sealed: bool
    engine: str
    priority: Literal["interactive", "batch"]
    options: dict[str, Any]
    metadata: dict[str, Any]
    documents: DocumentCounts
    pages: PageCounts
    usage: JobUsage = JobUsage()
    error: Problem | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = None
    """When it and its results are deleted; None before its end, and where they are kept."""
    queue: QueuePlace | None = None
    """Of a job that is asked for by its id and has not ended; lists and other answers leave it out."""


class OutputPublic(_Public):
    """Where a document's results are written besides, and how far that is."""

    url: str
    """The folder."""
    state: PublicationState
    error: Problem | None
    """Why it is not written yet, or never will be."""
    published_at: datetime | None


class DocumentPublic(_Public):
    id: str
    job_id: str
    position: int
    name: str
    origin: str | None = None
    """Where its file was or is fetched from, without a query; None where it was sent."""
    media_type: str
    bytes: int
    """0 until it was fetched; so with `sha256`, then empty."""
    sha256: str
    state: State
    sealed: bool
    source_pages: int | None
    cached: bool = False
    """Its pages were not read: an equal document was read before (option `cache`)."""
    pages: PageCounts
    error: Problem | None
    created_at: datetime
    finished_at: datetime | None
    output: OutputPublic | None = None
    """Of a document that is asked for by its id; lists leave it out."""


class PagePublic(_Public):
    document_id: str
    number: int
    state: PageState
    attempt: int
    errors: int
    crashes: int
    worker: str | None
    error: Problem | None
    finished_at: datetime | None


class Scope(StrEnum):
    """What an API key may do."""

    SUBMIT = "submit"
    """Submit jobs; change, cancel, retry and delete its own."""
    READ = "read"
    """See its own jobs and their results."""
    ADMIN = "admin"
    """All of that with everybody's jobs; see and steer workers and pauses."""


class KeyLimits(_Public):
    """What one API key may use; absent: no limit of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_second: int | None = PydanticField(default=None, ge=1, le=100_000)
    file_bytes: int | None = PydanticField(default=None, ge=1)
    """Largest file; never more than the server's `max_file_bytes`."""
    backlog_pages: int | None = PydanticField(default=None, ge=1)
    """Pages of its jobs that have not ended, a document that is not split yet counted as one. Beyond: `queue_full`."""
    pages_per_day: int | None = PydanticField(default=None, ge=1)
    """By the day of UTC, counted when a document is split. Beyond: `quota_exceeded`."""
    pages_in_flight: int | None = PydanticField(default=None, ge=1)
    """Pages that workers read at once, waiting in Redis included. Beyond, pages wait their turn."""

    def over(self, defaults: KeyLimits) -> KeyLimits:
        """These where they say something, `defaults` elsewhere."""
        return defaults.model_copy(update=self.model_dump(exclude_none=True))


class KeyGrants(_Public):
    """Buckets and prefixes that one API key may use, as `s3://bucket/prefix/`; absent: the server's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] | None = None
    """Where its documents may lie."""
    outputs: tuple[str, ...] | None = None
    """Where its results may be put."""

    def over(self, defaults: KeyGrants) -> KeyGrants:
        """These where they say something, `defaults` elsewhere."""
        return defaults.model_copy(update=self.model_dump(exclude_none=True))


class KeyPublic(_Public):
    """An API key as its administrator sees it. What it says is shown once, when it is made."""

    id: str
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    limits: KeyLimits
    """Its own; the server's defaults hold for the rest."""
    grants: KeyGrants
    created_at: datetime
    revoked_at: datetime | None


class PausePublic(_Public):
    """Somebody whose jobs wait until they are resumed."""

    owner: str
    """An API key's id or an inbox; `-`: jobs that nobody owns."""
    since: datetime


class WorkerPublic(_Public):
    id: str
    host: str
    slot: str
    pid: int
    engine: str
    capacity: int
    state: WorkerState
    started_at: datetime
    heartbeat_at: datetime
    detail: str | None
    drain_requested: bool = False
    """It claims nothing more once it has heard of it, and ends when it holds nothing."""
    pages_running: int
    pace: float | None = None
    """Pages it reads a second, measured over the last two minutes; absent where it has read nothing."""
    silent_seconds: float = 0.0
    """Since its last heartbeat, by the database's clock."""
    documents: tuple[str, ...] = ()
    """What it is busy with, that with most pages first: eight at most."""
    documents_total: int = 0
    reader: str | None = None
    """What it reads with: workers of equal engine, versions, model and settings have the same. None where it serves no
    engine."""


class WebhookAttempt(_Public):
    """One try to deliver. `status` is the receiver's, None where it gave none."""

    at: datetime
    seconds: float
    status: int | None
    error: str | None
    """What was wrong; None where it was delivered."""
    answer: str | None
    """How the receiver's answer begins, where it was no success."""


class WebhookPublic(_Public):
    """An event of a job on its way to the job's webhook."""

    id: str
    """As in the header `webhook-id`; the same with every attempt."""
    job_id: str
    type: str
    url: str
    state: WebhookState
    attempts: tuple[WebhookAttempt, ...]
    """The last ten, oldest first."""
    next_attempt_at: datetime | None
    """None where there will be none."""
    created_at: datetime
    finished_at: datetime | None


class WebhookSecretPublic(_Public):
    """What deliveries are signed with."""

    secret: str
    created_at: datetime
    expires_at: datetime | None
    """None for the current one; the others go on signing until then."""


WebhookEventType = Literal["job.succeeded", "job.partial", "job.failed", "job.canceled"]


class WebhookEventData(_Public):
    """What became of the job. Results are fetched from the API."""

    id: str
    state: State
    documents: DocumentCounts
    pages: PageCounts
    metadata: dict[str, Any]


class WebhookEvent(_Public):
    """The body of a delivery. A job that is retried ends again, and tells so in an event of its own."""

    type: WebhookEventType
    timestamp: datetime
    """When the job ended."""
    data: WebhookEventData
