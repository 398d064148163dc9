"""What jobs/tracing.py does where it is on. The one module that imports OpenTelemetry, which is an extra."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from jobs.errors import PagemillError

_NANO, _MICRO = 1_000_000_000, 1_000_000
_SERVER_ERROR = 500
_given: ContextVar[tuple[int, int] | None] = ContextVar("given", default=None)
"""Trace and span id of the span that is made next in this context: a root's are its job's."""


class _Ids(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        given = _given.get()
        return given[0] if given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        given = _given.get()
        return given[1] if given else super().generate_span_id()


def ids_of(job: str) -> tuple[int, int]:
    """Trace id and root span id of a job. Raises ValueError where it has no job's form."""
    digits = job.partition("_")[2]
    return int(digits, 16), int(digits[16:], 16)


class Tracing:
    """Spans, sent in the background over OTLP as the standard variables say (OTEL_EXPORTER_OTLP_…, OTEL_BSP_…,
    OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES). What was not sent is sent when the process ends in good order."""

    def __init__(self, service: str) -> None:
        resource = Resource.create({"service.name": service})
        self._provider = TracerProvider(resource=resource, id_generator=_Ids())
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pagemill")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, job: str, parent: Span | None, about: Mapping[str, Any]) -> Span:
        return self._tracer.start_span(
            name, self._below(job, parent), attributes=_attributes({"job": job, **about}), record_exception=False
        )

    def end(self, begun: Span, code: str, about: Mapping[str, Any]) -> None:
        begun.set_attributes(_attributes(about))
        if code:
            begun.set_attribute("error.type", code)
            begun.set_status(StatusCode.ERROR, code)
        begun.end()

    @contextmanager
    def span(self, name: str, job: str, parent: Span | None, about: Mapping[str, Any]) -> Iterator[Span]:
        begun, code = self.begin(name, job, parent, about), ""
        try:
            with self.within(begun):
                yield begun
        except BaseException as error:
            code = error.code if isinstance(error, PagemillError) else type(error).__name__
            raise
        finally:
            self.end(begun, code, {})

    def within(self, begun: Span) -> AbstractContextManager[object]:
        return trace.use_span(begun, record_exception=False, set_status_on_exception=False)

    def steps(self, parent: Span, seconds: Mapping[str, float]) -> None:
        above, begun = trace.set_span_in_context(parent), time.time_ns()
        begun -= round(sum(seconds.values()) * _NANO)
        for name, took in seconds.items():
            step = self._tracer.start_span(name, above, start_time=begun)
            begun += round(took * _NANO)
            step.end(begun)

    def job_ended(self, job: str, state: str, created: str, finished: str) -> None:
        token = _given.set(ids_of(job))
        try:
            root = self._tracer.start_span(
                "job", Context(), attributes=_attributes({"job": job, "state": state}), start_time=_nanoseconds(created)
            )
        finally:
            _given.reset(token)
        if state == "failed":
            root.set_status(StatusCode.ERROR, state)
        root.end(_nanoseconds(finished))

    def request(self, method: str, headers: Mapping[str, str]) -> Span:
        above = self._propagator.extract(headers)
        known = method in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")
        attributes = {"http.request.method": method if known else "_OTHER"}
        return self._tracer.start_span(method if known else "HTTP", above, SpanKind.SERVER, attributes=attributes)

    def answered(self, begun: Span, name: str, status: int, about: Mapping[str, Any]) -> None:
        begun.update_name(name)
        begun.set_attribute("http.response.status_code", status)
        begun.set_attributes(_attributes(about))
        if status >= _SERVER_ERROR:
            begun.set_status(StatusCode.ERROR)
        job = about.get("job")
        if isinstance(job, str):
            begun.add_link(self._root(job))
        begun.end()

    def _below(self, job: str, parent: Span | None) -> Context:
        """Below `parent`, or the span of this context where it is the job's, or else the job's root."""
        above = trace.get_current_span() if parent is None else parent
        if parent is None and above.get_span_context().trace_id != ids_of(job)[0]:
            above = NonRecordingSpan(self._root(job))
        return trace.set_span_in_context(above, Context())

    def _root(self, job: str) -> SpanContext:
        """Of a span that is sent later, and maybe by another process: sampled or not, all decide the same."""
        trace_id, span_id = ids_of(job)
        decision = self._provider.sampler.should_sample(None, trace_id, "job").decision
        flags = TraceFlags(TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


def _attributes(about: Mapping[str, Any]) -> dict[str, Any]:
    return {f"pagemill.{name}": value for name, value in about.items() if isinstance(value, str | int | float)}


def _nanoseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * _MICRO) * 1000
