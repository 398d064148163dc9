"""Every metric that pagemill serves, in one table; docs/metrics.md is generated from it.

Two kinds of processes serve them (jobs/listener.py), and they count differently on purpose:

* **The API reads the database** (`Source.DATABASE`). What a worker counts in its memory dies with it by `kill -9`; what
  the database says is exact whatever died, and equals a count of the rows. These are gauges: what there is now.
  `pagemill_pages_read_total` alone is a counter, over every job that ever was, also those that are deleted since: the
  rows of jobs stay. Every API server says the same, so add nothing up: `max by (…)`.
* **Workers and API servers count what they do themselves** (`Source.PROCESS`): for rates. They begin at 0 with each
  process, which `rate()` knows; what a killed process did after its last scrape is missing. Add them up: `sum by (…)`.

Job totals are folded once a second (jobs/store/closing.py), those of more than 1,000 documents every 15 s at least
(workers/tick.py), so what the API says of pages of running jobs is late by that, and seconds more by its cache
(jobs/census.py); when everything has ended it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]
Process = Literal["api", "worker"]


class Source(StrEnum):
    """Where the numbers come from; decides how those of several processes go together."""

    DATABASE = "database"
    """The same from every process: `max by (…)`."""
    PROCESS = "process"
    """Each its own part: `sum by (…)`."""


class Stage(StrEnum):
    """Steps of a page's or document's way whose seconds are measured."""

    FETCH = "fetch"
    """A document's file from the store to this machine, once for each worker that needs it."""
    RENDER = "render"
    """The page's image, without the wait for a render process."""
    LAYOUT = "layout"
    RECOGNISE = "recognise"
    STORE = "store"
    """The page's result put into the store."""
    RECORD = "record"
    """From there to its commit in the database, the wait for the commit before it and for others that share this one
    (a tenth of a second at most) included."""


class EngineState(StrEnum):
    """What an engine does, or why it does nothing. A worker's engine is in one of them at any time."""

    BUSY = "busy"
    """At least one page is inside."""
    NO_INPUT = "no_input"
    """This worker holds no page: there is no work, or what there is may not run (paused, limited, backing off)."""
    CLAIMING = "claiming"
    """It asks the database for pages that a message named."""
    FETCHING = "fetching"
    """Every page it holds waits for its document's file."""
    RENDERING = "rendering"
    """Pages wait to be rendered, for a render process or the next image."""
    STORING = "storing"
    """It takes no more pages until those that are read are stored and recorded."""
    STARTING = "starting"
    BROKEN = "broken"
    """It died, or cannot start; the worker is ending."""
    DRAINING = "draining"
    """It takes nothing new, and what is left needs no engine."""
    STOPPED = "stopped"


class Place(StrEnum):
    """Where a page is that a worker holds."""

    CLAIMED = "claimed"
    """Not begun."""
    FETCHING = "fetching"
    RENDERING = "rendering"
    ENGINE = "engine"
    """Inside the engine, its own queue included."""
    STORING = "storing"
    """Read; its result is being stored, or waits for its commit."""
    RECORDING = "recording"
    """In the commit that runs."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. `name` as it is scraped; a counter's ends in `_total`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    """seconds, bytes, pages, …; empty for what is a mere number."""
    served_by: tuple[Process, ...] = ("worker",)
    source: Source = Source.PROCESS
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its time series."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def counter(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name.removesuffix("_total"), self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.help, self.labels, registry=registry, buckets=self.buckets)

    def family(self) -> GaugeMetricFamily | CounterMetricFamily:
        """An empty family for a collector that counts elsewhere."""
        if self.kind == "counter":
            return CounterMetricFamily(self.name.removesuffix("_total"), self.help, labels=self.labels)
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)


# Seconds. A page of echo takes 0.1 ms, one of a large model minutes; a factor of 2.5 to 2 between bounds.
PAGE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def _of_database(name: str, help_: str, *labels: str, unit: str = "", kind: Kind = "gauge") -> Metric:
    return Metric(name, kind, help_, labels, unit, ("api",), Source.DATABASE)


def _of_worker(kind: Kind, name: str, help_: str, *labels: str, unit: str = "") -> Metric:
    buckets = PAGE_SECONDS if kind == "histogram" else ()
    return Metric(name, kind, help_, labels, unit, ("worker",), Source.PROCESS, buckets)


# --- what the API reads from the database and the broker

DATABASE_UP = Metric(
    "pagemill_database_up", "gauge", "1 where the database answered the last look; without it no gauge of it is told.",
    served_by=("api",),
)  # fmt: skip
BROKER_UP = Metric(
    "pagemill_broker_up", "gauge", "1 where Redis answered the last look. Nothing is lost while it is away.",
    served_by=("api",),
)  # fmt: skip
CENSUS_SECONDS = Metric(
    "pagemill_census_seconds", "gauge", "What the last look at the database took.", unit="seconds", served_by=("api",)
)  # fmt: skip
PAGES = _of_database(
    "pagemill_pages", "Pages there are, those of deleted jobs until they are purged.", "state", unit="pages"
)
DOCUMENTS = _of_database("pagemill_documents", "Documents there are, as pages.", "state")
JOBS = _of_database("pagemill_jobs", "Jobs there are, as pages.", "state")
PAGES_READ = _of_database(
    "pagemill_pages_read_total",
    "Pages that succeeded, of all jobs ever. Falls only where `pagemill reconcile --fix` has some read again.",
    unit="pages", kind="counter",
)  # fmt: skip
PAGES_FAILED = _of_database("pagemill_pages_failed", "Failed pages by the code of their error.", "code", unit="pages")
DOCUMENTS_FAILED = _of_database("pagemill_documents_failed", "Failed documents by the code of their error.", "code")
BACKLOG_PAGES = _of_database(
    "pagemill_backlog_pages", "Pages that have not ended; a document that is not split yet counts as one.",
    "engine", "class", unit="pages",
)  # fmt: skip
BACKLOG_AGE = _of_database(
    "pagemill_backlog_age_seconds",
    "Since the oldest document with waiting pages was split (or retried), or an unsplit one was submitted. Those of"
    " paused owners are left out.", "engine", "class", unit="seconds",
)  # fmt: skip
BACKLOG_ETA = _of_database(
    "pagemill_backlog_eta_seconds", "Backlog over the pace that the workers tell; absent where none tells any.",
    "engine", unit="seconds",
)  # fmt: skip
PACE = _of_database(
    "pagemill_pace_pages_per_second", "What the living workers say that they read.", "engine", unit="pages per second"
)
WINDOW_PAGES = _of_database(
    "pagemill_window_pages", "Pages that were rung and not claimed yet: what Redis may hold.", "engine", unit="pages"
)
WINDOW_LIMIT = _of_database(
    "pagemill_window_limit_pages", "What dispatch fills the window up to: twice the living capacity.", "engine",
    unit="pages",
)  # fmt: skip
PAGES_HELD = _of_database("pagemill_held_pages", "Pages that workers hold now.", "engine", unit="pages")
WORKERS = _of_database("pagemill_workers", "Worker processes; dead and stopped ones for an hour.", "engine", "state")
CAPACITY = _of_database(
    "pagemill_capacity_pages", "Pages that the living workers can have in flight.", "engine", unit="pages"
)
HEARTBEAT_AGE = _of_database(
    "pagemill_worker_heartbeat_age_seconds", "Since a worker that is alive or draining was heard of.", "host", "slot",
    unit="seconds",
)  # fmt: skip
QUEUE_MESSAGES = _of_database("pagemill_queue_messages", "Messages that wait in Redis.", "queue")
PAUSED_OWNERS = _of_database("pagemill_paused_owners", "Owners whose jobs wait until they are resumed.")
WEBHOOKS_DUE = _of_database("pagemill_webhooks_due", "Webhook deliveries that should have been sent by now.")
WEBHOOK_AGE = _of_database(
    "pagemill_webhook_age_seconds", "Since the oldest of them was due; 0 where there is none.", unit="seconds"
)
PRICE = Metric(
    "pagemill_price_per_gpu_hour", "gauge", "PAGEMILL_PRICE_PER_GPU_HOUR; absent where it is not set.", ("currency",),
    served_by=("api",), source=Source.DATABASE,
)  # fmt: skip

# --- what API servers do

HTTP_REQUESTS = Metric(
    "pagemill_http_requests_total", "counter",
    "Requests by the route's template, `none` for what fits none; status 499 where the client left.",
    ("route", "method", "status"), served_by=("api",),
)  # fmt: skip
HTTP_SECONDS_ = Metric(
    "pagemill_http_request_seconds", "histogram",
    "From a request's head to the head of its answer: uploads and what clients wait for (`Prefer: wait`) are in it.",
    ("route", "method"), "seconds", ("api",), buckets=HTTP_SECONDS,
)  # fmt: skip
HTTP_BODY_BYTES = Metric(
    "pagemill_http_received_bytes_total", "counter", "Bytes of requests' bodies: uploads, nearly all of it.",
    ("route", "method"), "bytes", ("api",),
)  # fmt: skip

# --- what workers do

PAGES_RECORDED = _of_worker(
    "counter", "pagemill_worker_pages_total",
    "Pages whose end this worker recorded, by outcome (succeeded, failed) and code of the error.", "outcome", "code",
    unit="pages",
)  # fmt: skip
RETRIES = _of_worker(
    "counter", "pagemill_worker_retries_total",
    "Pages that went back and run again: after an error of their own, or (code of a service) uncounted; `handed_back`"
    " where nothing was wrong.", "code",
)  # fmt: skip
CRASHES = _of_worker(
    "counter", "pagemill_worker_crashes_total",
    "Pages that were inside an engine when it died. The worker ends then, mostly before it is scraped again: that it"
    " was started anew tells `changes(process_start_time_seconds[1h])`.",
)  # fmt: skip
LATE = _of_worker(
    "counter", "pagemill_worker_dropped_pages_total",
    "Pages whose end came too late: canceled, or rescued and given to another worker.", unit="pages",
)  # fmt: skip
STAGE_SECONDS = _of_worker(
    "histogram", "pagemill_page_stage_seconds", "Seconds of a page in a stage, of pages that went through it.", "stage",
    unit="seconds",
)  # fmt: skip
DOCUMENT_SECONDS = _of_worker(
    "histogram", "pagemill_document_stage_seconds", "Seconds of a document: split, assemble.", "stage", unit="seconds"
)
TOKENS = _of_worker(
    "counter", "pagemill_tokens_total",
    "Tokens of the model, as its backend counts them; `in` is the prompt, the image's tokens included.", "direction",
    unit="tokens",
)  # fmt: skip
OWNER_ENGINE_SECONDS = _of_worker(
    "counter", "pagemill_owner_engine_seconds_total",
    "The engine's busy seconds, divided among the pages inside, by the owner of the job (an API key's id or an inbox).",
    "owner", unit="seconds",
)  # fmt: skip
OWNER_TOKENS = _of_worker(
    "counter", "pagemill_owner_tokens_total", "Tokens by the owner of the job.", "owner", "direction", unit="tokens"
)
ENGINE_SECONDS = _of_worker(
    "counter", "pagemill_engine_seconds_total",
    f"Seconds by what the engine does or why it does nothing: {', '.join(EngineState)}. Their sum is wall time.",
    "state", unit="seconds",
)  # fmt: skip
ENGINE_PAGE_SECONDS = _of_worker(
    "counter", "pagemill_engine_page_seconds_total",
    "Seconds of every page inside the engine, added up: its rate is the pages inside on average.", unit="seconds",
)  # fmt: skip
ENGINE_CAPACITY = _of_worker("gauge", "pagemill_engine_capacity_pages", "Pages it can have in flight.", unit="pages")
ENGINE_SEQUENCES = _of_worker(
    "gauge", "pagemill_engine_sequences_limit",
    "Sequences that the resident vLLM runs at once; vllm:num_requests_running over it is how full it is.",
)  # fmt: skip
WORKER_PAGES = _of_worker(
    "gauge", "pagemill_worker_held_pages", f"Pages this worker holds, by where they are: {', '.join(Place)}.", "place",
    unit="pages",
)  # fmt: skip
WORKER_INFO = _of_worker(
    "gauge", "pagemill_worker_info", "1; who this process is.", "worker", "host", "slot", "engine", "model"
)
WORKER_READY = _of_worker("gauge", "pagemill_worker_ready", "1 while it claims work, as /readyz says.")

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of this file."""

VLLM: tuple[str, ...] = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:num_preemptions_total",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
)
"""Of vLLM's own (0.32, 0.33) those that dashboard and alerts may use; a worker with the resident engine serves all that
vLLM has, under vLLM's names, beside these here."""
PROCESS: tuple[str, ...] = (
    "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds",
)  # fmt: skip
"""Of prometheus_client's own: memory and CPU of the process that is asked, without its children."""
