"""Spans by OpenTelemetry, where somebody asks for them; nothing at all where nobody does (docs/logs.md).

A trace is a job. Its id is the job's own: both are 128 bits, and a UUIDv7 ends with 62 random ones, on which sampling
by trace id looks. So every process knows the trace of what it works on from the ids it has anyway; no message carries
it and no column keeps it, it outlives restarts, retries and weeks in the queue, and whoever has a job's id finds its
trace. The root span's id is the second half of the job's; it is sent by the process that closes the job, once its end
is known. A request to the API is a trace of its own (its client's, where that sends `traceparent`), and the span of one
that submits is linked to its job.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from jobs.settings import environment

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from jobs.otel import Tracing

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NOTHING: AbstractContextManager[None] = nullcontext()
_tracing: Tracing | None = None


def set_up(service: str) -> None:
    """Begin to send spans where the environment names an endpoint and OpenTelemetry is installed."""
    global _tracing
    env = environment()
    endpoint = next((name for name in _ENDPOINTS if env.get(name)), None)
    off = env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    if endpoint is None or off:
        return
    protocol = next((env[name] for name in _PROTOCOLS if env.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        extra = {"action": "no_tracing"}
        log.warning("no spans are sent: OTLP over %s is not known here, http/protobuf is", protocol, extra=extra)
        return
    try:
        from jobs.otel import Tracing
    except ImportError as error:
        log.warning(
            "no spans are sent: %s is set, but OpenTelemetry is not installed (in a checkout: pip install '.[otel]')"
            ": %s",
            endpoint, error, extra={"action": "no_tracing"},
        )  # fmt: skip
        return
    _tracing = Tracing(env.get("OTEL_SERVICE_NAME") or service)


def on() -> bool:
    return _tracing is not None


def span(name: str, job: str, parent: Span | None = None, **about: Any) -> AbstractContextManager[Span | None]:
    """Around a piece of work for a job, below `parent` or what this task is doing for the job already."""
    if _tracing is None:
        return _NOTHING
    return _tracing.span(name, job, parent, about)


def begin(name: str, job: str, parent: Span | None = None, **about: Any) -> Span | None:
    """The same for work that is begun here and ended elsewhere: `end`."""
    return None if _tracing is None else _tracing.begin(name, job, parent, about)


def end(begun: Span | None, code: str = "", **about: Any) -> None:
    """`code`: of the error that it ended with."""
    if _tracing is not None and begun is not None:
        _tracing.end(begun, code, about)


def within(begun: Span | None) -> AbstractContextManager[object]:
    """Spans of this task are below this one, which goes on afterwards."""
    return _NOTHING if _tracing is None or begun is None else _tracing.within(begun)


def steps(parent: Span | None, seconds: Mapping[str, float]) -> None:
    """What an engine says its steps took, as spans one after the other that end now: it does not say when each began,
    and some may have run beside each other."""
    if _tracing is not None and parent is not None:
        _tracing.steps(parent, seconds)


def job_ended(job: str, state: str, created: str, finished: str) -> None:
    """The root span, from the times in the database (RFC 3339)."""
    if _tracing is not None:
        _tracing.job_ended(job, state, created, finished)


def request(method: str, headers: Mapping[str, str]) -> Span | None:
    """A request to the API; `headers` in lower case."""
    return None if _tracing is None else _tracing.request(method, headers)


def answered(begun: Span | None, name: str, status: int, about: Mapping[str, Any]) -> None:
    """The end of a request. `name`: of its route. The job that `about` names is linked."""
    if _tracing is not None and begun is not None:
        _tracing.answered(begun, name, status, about)
