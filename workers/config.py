"""The settings of a worker process, all groups it reads in one value."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.errors import InvalidRequest
from jobs.queue import PURPOSES
from jobs.settings import (
    AccessSettings,
    BlobSettings,
    BrokerSettings,
    DatabaseSettings,
    EngineSettings,
    InboxSettings,
    LimitSettings,
    MetricsSettings,
    OutboundSettings,
    SecretSettings,
    TimerSettings,
    WorkerSettings,
    load,
)
from jobs.slots import scope_of


@dataclass(frozen=True, slots=True)
class Settings:
    database: DatabaseSettings
    broker: BrokerSettings
    blobs: BlobSettings
    secrets: SecretSettings
    limits: LimitSettings
    timers: TimerSettings
    engine: EngineSettings
    worker: WorkerSettings
    outbound: OutboundSettings
    access: AccessSettings
    inbox: InboxSettings = field(default_factory=InboxSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)

    @property
    def purposes(self) -> tuple[str, ...]:
        """What to serve. Raises InvalidRequest for an unknown purpose."""
        chosen = tuple(part.strip() for part in self.worker.queues.split(",") if part.strip())
        for purpose in chosen:
            if purpose not in PURPOSES:
                known = ", ".join(PURPOSES)
                raise InvalidRequest(f"unknown purpose {purpose!r}; known: {known}", where="PAGEMILL_QUEUES")
        return chosen

    @property
    def scope(self) -> str:
        """Tells installations with different databases apart, in names on this host."""
        return scope_of(self.database.database_url)


def load_settings() -> Settings:
    """Raises InvalidRequest naming the variable that is unknown or wrong."""
    return Settings(
        database=load(DatabaseSettings),
        broker=load(BrokerSettings),
        blobs=load(BlobSettings),
        secrets=load(SecretSettings),
        limits=load(LimitSettings),
        timers=load(TimerSettings),
        engine=load(EngineSettings),
        worker=load(WorkerSettings),
        outbound=load(OutboundSettings),
        access=load(AccessSettings),
        inbox=load(InboxSettings),
        metrics=load(MetricsSettings),
    )
