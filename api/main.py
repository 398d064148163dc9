"""Composition of the HTTP server: settings in, application out; and the loop that serves it."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Self

import anyio
import uvicorn
from fastapi import Depends, FastAPI

from api import openapi, problems
from api.access import AccessLog
from api.auth import Doorkeeper
from api.backlog import Backlog
from api.census import CensusTaker
from api.deps import Api, own_jobs
from api.headers import SecurityHeaders
from api.images import PageImages
from api.monitor import Monitor
from api.patience import IdleLimit, patient_protocol
from api.rates import Rates
from api.relay import PATIENCE, HintRelay
from api.routes import documents, inbox, jobs, pages, results, service, uploads, webhooks
from api.traffic import TrafficMeter
from api.version import VERSION
from api.waiting import Waits, polling
from jobs import logs, tracing
from jobs.blobs import open_store
from jobs.blobs.buckets import own_places
from jobs.errors import DatabaseUnavailable
from jobs.hints import HintList
from jobs.inbox import open_inboxes
from jobs.models import KeyGrants, KeyLimits
from jobs.queue import Doorbell, make_app
from jobs.settings import (
    AccessSettings,
    ApiSettings,
    BlobSettings,
    BrokerSettings,
    DatabaseSettings,
    InboxSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    SecretSettings,
    load,
)
from jobs.store.database import Database, open_database
from jobs.vault import open_vault

logger = logging.getLogger(__name__)

GRACE = 5
"""Seconds that requests may still take after SIGTERM."""
SOURCES_AT_ONCE = 4
UPLOADS_AT_ONCE = 16
"""Threads that write uploads to the store; each upload waits its turn for every megabyte."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the HTTP server reads of the environment, and nothing else."""

    api: ApiSettings = field(default_factory=ApiSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    blobs: BlobSettings = field(default_factory=BlobSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    secrets: SecretSettings = field(default_factory=SecretSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    inbox: InboxSettings = field(default_factory=InboxSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)

    @classmethod
    def from_environment(cls) -> Self:
        """Raises InvalidRequest naming the variable that is unknown or wrong."""
        return cls(
            api=load(ApiSettings),
            database=load(DatabaseSettings),
            blobs=load(BlobSettings),
            broker=load(BrokerSettings),
            secrets=load(SecretSettings),
            limits=load(LimitSettings),
            access=load(AccessSettings),
            inbox=load(InboxSettings),
            metrics=load(MetricsSettings),
        )


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Connections are opened when it starts and closed when it ends."""
    settings = settings or Settings()
    monitor = Monitor()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _opened(settings, monitor) as app.state.api:
            async with polling(app.state.api.waits):
                yield

    app = FastAPI(
        title="pagemill",
        version=VERSION,
        summary="Asynchronous batch OCR: documents in, Markdown and JSON out.",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.include_router(service.root)
    for router in (service.router, service.operation, inbox.router):
        app.include_router(router, prefix="/v1")
    app.include_router(webhooks.secrets, prefix="/v1")
    webhooks.describe(app)
    for module in (jobs, documents, pages, results, uploads, webhooks):
        app.include_router(
            module.router, prefix="/v1", dependencies=[Depends(own_jobs)], responses=problems.documented(401, 403, 429)
        )
    problems.install(app)
    openapi.install(app)
    app.add_middleware(IdleLimit, seconds=settings.api.api_idle_timeout)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog)
    app.add_middleware(TrafficMeter, traffic=monitor.traffic)
    app.state.monitor = monitor
    return app


@contextmanager
def _opened(settings: Settings, monitor: Monitor) -> Iterator[Api]:
    database = open_database(settings.database)
    celery = make_app(settings.broker, patience=PATIENCE)  # contacts nobody
    token = settings.inbox.inbox_events_token
    price = settings.metrics.price
    try:
        blobs = open_store(settings.blobs)
        api = Api(
            database=database,
            doorkeeper=Doorkeeper(
                database,
                settings.api.auth,
                settings.api.api_host,
                KeyLimits.model_validate(settings.limits.of_keys()),
                KeyGrants.model_validate(settings.access.listed),
            ),
            own_places=own_places(settings.blobs),
            web_sources=settings.access.web_sources,
            rates=Rates(settings.broker),
            blobs=blobs,
            vault=open_vault(settings.secrets),
            limits=settings.limits,
            engine=settings.api.engine,
            engines=settings.api.offered,
            broker_url=settings.broker.broker_url,
            images=PageImages(blobs, settings.limits),
            inboxes=open_inboxes(settings.inbox, settings.blobs),
            hints=HintRelay(HintList(celery, settings.broker.broker_prefix)),
            events_token=token.get_secret_value() if token else None,
            source_threads=anyio.CapacityLimiter(SOURCES_AT_ONCE),
            upload_threads=anyio.CapacityLimiter(UPLOADS_AT_ONCE),
            waits=Waits(database),
            backlog=Backlog(database),
            price=price,
        )
        with monitor.serving(CensusTaker(database, Doorbell(celery), settings.api.offered, price)):
            yield api
    finally:
        celery.close()
        database.dispose()


def check_door(settings: ApiSettings, database: Database) -> None:
    """Raises InvalidRequest where a server of these settings would serve strangers or nobody. A database that is away
    is no reason not to start: without it nobody gets in."""
    with suppress(DatabaseUnavailable):
        Doorkeeper(database, settings.auth, settings.api_host).check_start()


class _Server(uvicorn.Server):
    """Tells its address once it listens, and sends those away who wait when it ends."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, on_ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The base waits for open answers before it tells the application; those that wait use up its patience."""
        self._app.state.api.waits.close()
        await super().shutdown(sockets)


def _at(settings: Settings, host: str | None, port: int | None) -> Settings:
    """With another address: who is let in depends on it."""
    given = {"api_host": host, "api_port": port}
    update = {name: value for name, value in given.items() if value is not None}
    return replace(settings, api=settings.api.model_copy(update=update))


def serve(
    host: str | None = None,
    port: int | None = None,
    *,
    settings: Settings | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; open requests then have a few seconds to end.

    `on_ready` is called with the address once connections are accepted (port 0 picks a free one). Raises SystemExit
    when the address is taken, InvalidRequest for a wrong setting, or where strangers could come in (`check_door`).
    """
    told = load(LogSettings)
    logs.set_up(told)
    tracing.set_up("pagemill-api")
    settings = _at(settings or Settings.from_environment(), host, port)
    database = open_database(settings.database)
    try:
        check_door(settings.api, database)
    finally:
        database.dispose()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api.api_host,
        port=settings.api.api_port,
        access_log=False,  # api/access.py tells more, and no secrets
        log_config=None,
        log_level=told.log_level,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        http=patient_protocol(settings.api.api_idle_timeout),
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config, app, on_ready)
    with app.state.monitor.listening(settings.metrics):
        server.run()
    if not server.started:
        raise SystemExit(3)
