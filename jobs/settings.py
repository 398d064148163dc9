"""Settings: small frozen groups read from the environment (`PAGEMILL_…`). Each process reads only its own.

This is the one place that reads environment variables. An unknown `PAGEMILL_…` variable is an error: a typo must not
silently mean the default. All times are seconds unless the name says otherwise.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.addresses import AllowList
from jobs.engines import ENGINE_NAMES
from jobs.errors import InvalidRequest

MIB = 1024 * 1024


class _Group(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PAGEMILL_", frozen=True, extra="ignore", populate_by_name=True)


class DatabaseSettings(_Group):
    """The truth."""

    database_url: str = "sqlite:///pagemill-data/pagemill.db"
    database_pool: int = Field(default=8, ge=1, description="Connections per process.")
    database_busy_timeout: float = Field(default=10.0, gt=0, description="SQLite: how long a writer waits its turn.")


def _broker_url(value: str) -> str:
    try:
        for part in value.split(";"):  # of several Sentinels
            _ = urlsplit(part).port
    except ValueError:  # which tells a piece of the password
        raise ValueError("this is no URL; special characters of a password must be percent-encoded") from None
    return value


class BrokerSettings(_Group):
    """The doorbell: Redis or Valkey."""

    broker_url: Annotated[str, AfterValidator(_broker_url)] = "redis://127.0.0.1:6379/0"
    broker_prefix: str = Field(default="pagemill:", description="Prefix of every key in Redis.")


def _store_url(value: str) -> str:
    if not value.startswith(("file:", "s3://")):
        raise ValueError("must start with file: or s3://")
    return value


class BlobSettings(_Group):
    """The object store: `file:PATH` or `s3://bucket/prefix`."""

    store_url: Annotated[str, AfterValidator(_store_url)] = "file:pagemill-data/objects"
    s3_endpoint: str | None = Field(default=None, description="Endpoint of an S3 that is not AWS.")
    s3_public_endpoint: str | None = Field(default=None, description="Endpoint that presigned links name instead.")
    s3_region: str = "us-east-1"
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    s3_timeout: float = Field(default=20.0, gt=0, description="Connect and read timeout of one call.")


class SecretSettings(_Group):
    """The key for secrets at rest."""

    secret_key: SecretStr | None = Field(default=None, description="Any long random text; encrypts passwords at rest.")


class LimitSettings(_Group):
    """What a submission may cost. Served by `GET /v1`, enforced before memory is spent."""

    max_file_bytes: int = Field(default=2048 * MIB, ge=1)
    max_files_per_job: int = Field(default=1000, ge=1)
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
        default="use", description="Whether jobs that do not say so get results of equal documents; read by workers."
    )
    key_requests_per_second: int | None = Field(
        default=None, ge=1, le=100_000, description="Of each API key that names no limit of its own; so for all key_…"
    )
    key_file_bytes: int | None = Field(default=None, ge=1, description="Largest file.")
    key_backlog_pages: int | None = Field(default=None, ge=1, description="Pages of jobs that have not ended.")
    key_pages_per_day: int | None = Field(default=None, ge=1, description="By the day of UTC.")
    key_pages_in_flight: int | None = Field(default=None, ge=1, description="Pages that workers read at once.")

    def of_keys(self) -> dict[str, int | None]:
        """The defaults of keys, by the names of jobs.models.KeyLimits."""
        prefix = "key_"
        return {name.removeprefix(prefix): v for name, v in self.model_dump().items() if name.startswith(prefix)}


class TimerSettings(_Group):
    """The clockwork of the protocol. `time_factor` divides all of it, so that tests and chaos runs are short."""

    time_factor: float = Field(default=1.0, gt=0)
    heartbeat_every: float = 5.0
    heartbeat_stale: float = 30.0
    rescue_every: float = 5.0
    ring_expires: float = 60.0
    tick_every: float = 0.2
    fold_every: float = 1.0
    grace: float = Field(default=60.0, description="How long a worker may finish what it holds after SIGTERM.")
    backoff_base: float = Field(default=2.0, description="First delay of a retryable error; doubles each time.")
    backoff_max: float = 300.0
    webhook_every: float = Field(default=1.0, description="How often due webhooks are looked for.")
    webhook_timeout: float = Field(default=15.0, description="Of one attempt, from the look-up to the answer.")

    def scaled(self, name: str) -> float:
        """The timer `name` in seconds, divided by the factor."""
        return float(getattr(self, name)) / self.time_factor


class VlSettings(_Group):
    """PaddleOCR-VL, whatever runs it. Defaults and their reasons: docs/paddleocr-vl.md."""

    vl_version: Literal["1.0", "1.5", "1.6"] = Field(default="1.6", description="Prompts, layout and hub names.")
    vl_backend: Literal["vllm", "openai"] = Field(default="vllm", description="Model in this process, or on servers.")
    vl_layout_model: str | None = Field(
        default=None, description="Path or hub id of a PP-DocLayoutV2/V3 for transformers; none: no layout at all."
    )
    vl_layout_revision: str | None = None
    vl_layout_batch: int = Field(default=8, ge=1, description="Pages the layout model takes at once.")
    vl_concurrency: int | None = Field(default=None, ge=1, description="Requests in flight; the backend decides.")
    vl_max_tokens: int = Field(default=4096, ge=1, description="Tokens of one crop's answer.")
    vl_temperature: float = Field(default=0.0, ge=0)
    vl_top_p: float = Field(default=1.0, gt=0, le=1)
    vl_repetition_penalty: float = Field(default=1.0, gt=0)
    vl_min_pixels: int | None = Field(default=None, ge=784, description="Of a crop; by version and task where absent.")
    vl_max_pixels: int | None = Field(default=None, ge=784, description="Of a crop; by version and task where absent.")
    vl_request_timeout: float = Field(default=240.0, gt=0, description="From sending one crop to its answer.")
    vl_stall_timeout: float = Field(
        default=120.0, gt=0, description="An engine with work and no progress for so long is dead."
    )


class VllmSettings(_Group):
    """The resident engine: what AsyncLLM is built with."""

    vllm_model: str | None = Field(default=None, description="Path or hub id; the version's own where absent.")
    vllm_revision: str | None = None
    vllm_subfolder: str | None = Field(default=None, description="Folder of the model inside the repository or path.")
    vllm_source: Literal["huggingface", "modelscope"] = "huggingface"
    vllm_dtype: str = "auto"
    vllm_load_format: str = Field(default="auto", description="dummy: random weights, for measurements.")
    vllm_gpu_memory_utilization: float = Field(default=0.85, gt=0, le=1)
    vllm_max_model_len: int = Field(default=16_384, ge=256)
    vllm_max_num_seqs: int = Field(default=256, ge=1)
    vllm_max_num_batched_tokens: int = Field(default=16_384, ge=1)
    vllm_chat_template: Path | None = Field(default=None, description="Jinja file; the version's prompt where absent.")
    vllm_trust_remote_code: bool = False
    vllm_enforce_eager: bool = False


class OpenAiSettings(_Group):
    """OpenAI-compatible servers that hold the model."""

    openai_urls: str = Field(default="http://127.0.0.1:8000/v1", description="Base URLs, separated by commas.")
    openai_key: SecretStr | None = None
    openai_model: str | None = Field(default=None, description="Name on the server; its first where absent.")
    openai_flavor: Literal["vllm", "plain"] = Field(
        default="vllm", description="plain: send nothing that the OpenAI API does not know."
    )
    openai_bounds: bool = Field(
        default=False, description="Send a crop's pixel bounds; vLLM wants --trust-request-mm-kwargs for that."
    )
    openai_image: Literal["jpeg", "png"] = "jpeg"
    openai_connect_timeout: float = Field(default=5.0, gt=0)
    openai_patience: float = Field(default=60.0, gt=0, description="How long servers that are ill or busy are asked.")


class EngineSettings(VlSettings, VllmSettings, OpenAiSettings):
    """Which engine a worker holds, how much of the machine it may take, and what the engines are built with."""

    name: str = Field(default="rapidocr", validation_alias="PAGEMILL_ENGINE")
    device: str = Field(default="cpu", validation_alias="PAGEMILL_DEVICE", description="cpu, or a GPU index.")
    render_processes: int | None = Field(
        default=None, validation_alias="PAGEMILL_RENDER_PROCESSES", ge=1, description="One per core where absent."
    )
    engine_capacity: int | None = Field(default=None, ge=1, description="Pages in flight; the engine decides.")
    rapidocr_detection: Path | None = Field(
        default=None, description="ONNX file in place of the bundled model that finds lines."
    )
    rapidocr_recognition: Path | None = Field(
        default=None,
        description="ONNX file in place of the bundled model that reads lines: another script's, a larger one.",
    )
    rapidocr_dictionary: Path | None = Field(
        default=None, description="Its characters, one a line, where the file does not carry them."
    )
    rapidocr_layout: Path | None = Field(
        default=None, description="ONNX file in place of the bundled layout model; the same classes."
    )
    echo_state: Path | None = Field(
        default=None, description="For tests: where the echo engine remembers the faults that happen once."
    )

    def without_secrets(self) -> Self:
        """For processes that open strangers' files."""
        return self.model_copy(update={"openai_key": None})


class WorkerSettings(_Group):
    """Who a worker process is and what it consumes."""

    host: str = Field(default_factory=socket.gethostname)
    slot: str | None = Field(default=None, description="Name of the device slot; the first free one where absent.")
    queues: str = Field(default="recognize,split,assemble,deliver", description="Purposes this worker serves.")
    scratch: Path | None = Field(default=None, description="Where sources lie while being read.")
    scratch_bytes: int = Field(default=4096 * MIB, ge=MIB)
    max_errors: int = Field(default=3, ge=1, description="Retryable errors after which a page or document fails.")
    max_crashes: int = Field(
        default=3, ge=1, description="Workers or engines that die while they read nothing but a page end it."
    )
    stall_timeout: float = Field(
        default=120.0, gt=0, description="Seconds after which a worker whose engine's loop stands still ends."
    )
    worker_memory: int | None = Field(
        default=None,
        ge=64 * MIB,
        description="Resident bytes beyond which a worker drains and ends. Absent: none.",
    )


def _names(text: str) -> tuple[str, ...]:
    """`"a, b"` -> `("a", "b")`."""
    return tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))


class ApiSettings(_Group):
    """The HTTP server."""

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8470, ge=0, le=65535)
    api_idle_timeout: float = Field(
        default=60.0, gt=0, description="Seconds without a byte after which a request that is not whole is given up."
    )
    auth: Literal["auto", "keys", "open"] = Field(
        default="auto",
        description="keys: API keys are asked for. open: never. auto: not on a loopback address where none was made.",
    )
    engine: str = Field(default="rapidocr", description="Engine of jobs that name none.")
    engines: str = Field(
        default=",".join(ENGINE_NAMES),
        validate_default=True,
        description="What workers here serve; jobs for other engines are refused.",
    )

    @property
    def offered(self) -> tuple[str, ...]:
        """The names in `engines`, each once."""
        return _names(self.engines)

    @field_validator("engines")
    @classmethod
    def _check_engines(cls, value: str, info: ValidationInfo) -> str:
        names, default = _names(value), info.data.get("engine")
        unknown = [name for name in names if name not in ENGINE_NAMES]
        if unknown:
            raise ValueError(f"there is no engine {unknown[0]!r}; known: {', '.join(ENGINE_NAMES)}")
        if default not in names:
            offered = ", ".join(names) or "none"
            raise ValueError(
                f"the engine of jobs that name none, {default!r} (PAGEMILL_ENGINE) is not among: {offered}"
            )
        return value


def _allow_list(value: str) -> str:
    AllowList.parse(value)
    return value


class OutboundSettings(_Group):
    """What goes to addresses that users named: sources and webhooks. Public addresses only, but for the allow-list."""

    outbound_allow: Annotated[str, AfterValidator(_allow_list)] = Field(
        default="",
        description="Internal hosts that may be asked too: names, name:port, addresses, networks; separated by commas.",
    )
    outbound_http: bool = Field(default=False, description="Whether public hosts may be asked without TLS.")
    outbound_connect_timeout: float = Field(default=5.0, gt=0)
    outbound_read_timeout: float = Field(default=10.0, gt=0, description="Of one read; each request has a total too.")

    @property
    def allowed(self) -> AllowList:
        return AllowList.parse(self.outbound_allow)


class AccessSettings(_Group):
    """What may be reached in the name of users. Keys that have a list of their own go by that."""

    sources: str = Field(default="", description="Buckets and prefixes that may be read: s3://…/, by commas.")
    outputs: str = Field(default="", description="Buckets and prefixes that may be written: s3://…/, by commas.")
    web_sources: bool = Field(default=True, description="Whether documents may be named by https:// addresses.")

    @property
    def listed(self) -> dict[str, tuple[str, ...]]:
        """As jobs.models.KeyGrants has them."""
        return {"sources": _names(self.sources), "outputs": _names(self.outputs)}


class InboxSettings(_Group):
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


class ClientSettings(_Group):
    """Where the command finds the server."""

    url: str = "http://127.0.0.1:8470"
    api_key: SecretStr | None = None

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, value: SecretStr | None) -> SecretStr | None:
        """As it is pasted: with white space around, or empty. The complaint must not tell it."""
        text = "" if value is None else value.get_secret_value().strip()
        if not all("!" <= character <= "~" for character in text):
            raise ValueError("this is no API key: pm_ and letters, digits, _ and - are expected")
        return SecretStr(text) if text else None


GROUPS: tuple[type[_Group], ...] = (
    DatabaseSettings, BrokerSettings, BlobSettings, SecretSettings, LimitSettings, TimerSettings, EngineSettings,
    WorkerSettings, ApiSettings, OutboundSettings, AccessSettings, InboxSettings, ClientSettings,
)  # fmt: skip

# Read by tests and tools, not by a group.
_OTHER = frozenset({"PAGEMILL_FAILPOINT"})


def known_variables() -> dict[str, type[_Group]]:
    """Every environment variable and the group that reads it."""
    known: dict[str, type[_Group]] = {}
    for group in GROUPS:
        for name, field in group.model_fields.items():
            alias = field.validation_alias
            known[alias if isinstance(alias, str) else f"PAGEMILL_{name.upper()}"] = group
    return known


def unknown_variables() -> list[str]:
    """`PAGEMILL_…` variables of the environment that no group reads, by name."""
    known = known_variables()
    return sorted(
        name for name in os.environ if name.startswith("PAGEMILL_") and name not in known and name not in _OTHER
    )


S = TypeVar("S", bound=_Group)


def load(group: type[S], **values: Any) -> S:
    """A group from the environment. Raises InvalidRequest naming the variable that is unknown or wrong."""
    for variable in unknown_variables():
        raise InvalidRequest(f"unknown setting {variable}", where=variable)
    found = examine(group, **values)
    if isinstance(found, list):
        raise found[0]
    return found


def examine(group: type[S], **values: Any) -> S | list[InvalidRequest]:
    """A group from the environment, or what is wrong with its variables, unknown ones not counted."""
    try:
        return group(**values)
    except ValidationError as error:
        return [_complaint(detail["loc"], detail["msg"]) for detail in error.errors()]


def _complaint(place: tuple[int | str, ...], message: str) -> InvalidRequest:
    where = "PAGEMILL_" + "_".join(str(part) for part in place).upper().removeprefix("PAGEMILL_")
    return InvalidRequest(f"{where}: {message.removeprefix('Value error, ')}", where=where)


def preset(**variables: str) -> None:
    """Variables that a library reads from the environment and cannot be told otherwise; what is set already stays."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def environment() -> dict[str, str]:
    """A copy of this process's environment: what a child process inherits before anything is set on top."""
    return dict(os.environ)
