"""Settings that are each well and do not fit together, and parts on several hosts that only one could have."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.doctor.findings import Finding, error, ok, warning
from jobs.doctor.scene import Scene, host_of, is_near
from jobs.engines import ENGINE_NAMES
from jobs.queue import PURPOSES
from jobs.settings import (
    BlobSettings,
    BrokerSettings,
    DatabaseSettings,
    InboxSettings,
    LimitSettings,
    OutboundSettings,
    TimerSettings,
    WorkerSettings,
)

_ID = "config-contradiction"


def contradictions(scene: Scene) -> Iterator[Finding]:
    found = [*_timers(scene), *_secrets(scene), *_sizes(scene), *_names(scene)]
    yield from found
    if not found:
        yield ok(_ID, "the settings fit together")


def _timers(scene: Scene) -> Iterator[Finding]:
    timers, limits, engine = scene.of(TimerSettings), scene.of(LimitSettings), scene.engine
    if timers.heartbeat_stale < 3 * timers.heartbeat_every:
        # Two beats may be late or lost before anybody is judged.
        yield error(
            _ID,
            "a worker is taken for dead before its third heartbeat",
            where="PAGEMILL_HEARTBEAT_STALE",
            limit=3 * timers.heartbeat_every,
            actual=timers.heartbeat_stale,
            do="Set PAGEMILL_HEARTBEAT_STALE to at least three times PAGEMILL_HEARTBEAT_EVERY.",
        )
    if timers.time_factor != 1.0:
        yield warning(
            _ID,
            f"all timers run {timers.time_factor:g} times faster, as for tests",
            where="PAGEMILL_TIME_FACTOR",
            do="Unset PAGEMILL_TIME_FACTOR.",
        )
    if engine.name == "paddleocr_vl" and engine.vl_request_timeout > limits.page_timeout:
        yield warning(
            _ID,
            "a page ends before one of its requests may",
            where="PAGEMILL_VL_REQUEST_TIMEOUT",
            limit=limits.page_timeout,
            actual=engine.vl_request_timeout,
            do="Set PAGEMILL_VL_REQUEST_TIMEOUT below PAGEMILL_PAGE_TIMEOUT.",
        )


def _secrets(scene: Scene) -> Iterator[Finding]:
    blobs, inbox = scene.of(BlobSettings), scene.of(InboxSettings)
    if blobs.store_url.startswith("s3://") and (blobs.s3_access_key is None) != (blobs.s3_secret_key is None):
        yield error(
            _ID,
            "of the access key and its secret only one is set",
            where="PAGEMILL_S3_ACCESS_KEY",
            do="Set PAGEMILL_S3_ACCESS_KEY and PAGEMILL_S3_SECRET_KEY, or neither of them (boto3 then looks itself).",
        )
    if not inbox.inbox and (inbox.inbox_events_list or inbox.inbox_events_token):
        yield warning(
            _ID,
            "events are listened for, and there is no inbox",
            where="PAGEMILL_INBOX_EVENTS_LIST",
            do="Set PAGEMILL_INBOX, or unset PAGEMILL_INBOX_EVENTS_LIST and PAGEMILL_INBOX_EVENTS_TOKEN.",
        )


def _sizes(scene: Scene) -> Iterator[Finding]:
    limits, worker, engine = scene.of(LimitSettings), scene.of(WorkerSettings), scene.engine
    bounds = engine.vl_min_pixels, engine.vl_max_pixels
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        yield error(
            _ID,
            "the least pixels of a crop are more than the most",
            where="PAGEMILL_VL_MIN_PIXELS",
            limit=bounds[1],
            actual=bounds[0],
            do="Set PAGEMILL_VL_MIN_PIXELS below PAGEMILL_VL_MAX_PIXELS.",
        )
    if engine.vllm_max_model_len <= engine.vl_max_tokens:
        yield error(
            _ID,
            "an answer alone may fill the model's whole context",
            where="PAGEMILL_VL_MAX_TOKENS",
            limit=engine.vllm_max_model_len,
            actual=engine.vl_max_tokens,
            do="Set PAGEMILL_VL_MAX_TOKENS well below PAGEMILL_VLLM_MAX_MODEL_LEN.",
        )
    if worker.worker_memory is not None and worker.worker_memory < limits.render_memory:
        yield warning(
            _ID,
            "one page may take more memory than its whole worker",
            where="PAGEMILL_WORKER_MEMORY",
            limit=limits.render_memory,
            actual=worker.worker_memory,
            do="Set PAGEMILL_WORKER_MEMORY above PAGEMILL_RENDER_MEMORY.",
        )


def _names(scene: Scene) -> Iterator[Finding]:
    engine, queues, outbound = scene.engine, scene.of(WorkerSettings).queues, scene.of(OutboundSettings)
    if engine.name not in ENGINE_NAMES:
        yield error(
            _ID,
            f"there is no engine {engine.name!r}",
            where="PAGEMILL_ENGINE",
            do=f"Set PAGEMILL_ENGINE to one of: {', '.join(ENGINE_NAMES)}.",
        )
    for purpose in filter(None, (part.strip() for part in queues.split(","))):
        if purpose not in PURPOSES:
            yield error(
                _ID,
                f"there is no purpose {purpose!r}",
                where="PAGEMILL_QUEUES",
                do=f"Set PAGEMILL_QUEUES to some of: {','.join(PURPOSES)}.",
            )
    if engine.name == "echo":
        yield warning(
            _ID,
            "the engine echo reads nothing: it is for tests",
            where="PAGEMILL_ENGINE",
            do="Set PAGEMILL_ENGINE=rapidocr, or paddleocr_vl on a GPU.",
        )
    if engine.name == "rapidocr" and scene.on_gpu:
        yield warning(
            _ID,
            "the engine rapidocr computes on the CPU: the GPU stays idle",
            where="PAGEMILL_DEVICE",
            actual=engine.device,
            do="Unset PAGEMILL_DEVICE, or set PAGEMILL_ENGINE=paddleocr_vl.",
        )
    if outbound.outbound_http:
        yield warning(
            _ID,
            "public servers are asked without TLS: what documents and webhooks say can be read on the way",
            where="PAGEMILL_OUTBOUND_HTTP",
            do="Unset PAGEMILL_OUTBOUND_HTTP.",
        )


# --- several hosts


def sqlite(scene: Scene) -> Iterator[Finding]:
    away = _away(scene)
    if not scene.of(DatabaseSettings).database_url.startswith("sqlite"):
        yield ok("config-sqlite", "the database is PostgreSQL")
    elif away:
        yield warning(
            "config-sqlite",
            f"the database is a file of this host, and {away}",
            where="PAGEMILL_DATABASE_URL",
        )
    else:
        yield ok("config-sqlite", "SQLite, and every part is on this host")


def local_store(scene: Scene) -> Iterator[Finding]:
    away = _away(scene)
    if not scene.of(BlobSettings).store_url.startswith("file:"):
        yield ok("config-local-store", "the store is an S3")
    elif away:
        yield warning(
            "config-local-store", f"the store is a folder of this host, and {away}", where="PAGEMILL_STORE_URL"
        )
    else:
        yield ok("config-local-store", "a folder, and every part is on this host")


def _away(scene: Scene) -> str:
    """Which part is on another host; empty where none is."""
    database, broker = scene.of(DatabaseSettings), scene.of(BrokerSettings)
    host = host_of(database.database_url) if database.database_url.startswith("postgres") else ""
    if not is_near(host):
        return f"the database is on {host}"
    for part in broker.broker_url.split(";"):
        if not is_near(host_of(part)):
            return f"Redis is on {host_of(part)}"
    endpoint, blobs = "", scene.of(BlobSettings)
    if blobs.store_url.startswith("s3://"):
        endpoint = host_of(blobs.s3_endpoint or "https://s3.amazonaws.com")
    if not is_near(endpoint):
        return f"the store is on {endpoint}"
    return ""
