"""Spans: off unless asked for, and a job's trace follows from its id alone."""

from __future__ import annotations

import sys

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobs import tracing
from jobs.errors import StorageUnavailable

JOB = "job_01a229a8fab871adbf58a61756dd33da"
TRACE = int(JOB[4:], 16)
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def set_up(monkeypatch):
    """With these variables and no others of OpenTelemetry; returns what is then sent."""
    sent = InMemorySpanExporter()

    def begin(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("jobs.otel.OTLPSpanExporter", lambda: sent)
        tracing.set_up("pagemill-test")
        return lambda: tracing._tracing._provider.force_flush() and sent.get_finished_spans()

    yield begin
    if tracing._tracing is not None:
        tracing._tracing._provider.shutdown()
    tracing._tracing = None


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_off(set_up, variables):
    set_up(**variables)
    assert not tracing.on()
    with tracing.span("read", JOB) as span:
        tracing.steps(span, {"render": 1.0})
    assert (span, tracing.begin("x", JOB)) == (None, None)


def test_without_the_extra_it_is_off_and_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "jobs.otel", None)
    for name, value in ENDPOINT.items():
        monkeypatch.setenv(name, value)
    tracing.set_up("pagemill-test")
    assert not tracing.on()
    [record] = caplog.records
    assert record.action == "no_tracing"
    assert "pip install '.[otel]'" in record.getMessage()


def test_work_for_a_job_is_in_its_trace_below_its_root(set_up):
    sent = set_up(**ENDPOINT)
    with tracing.span("split", JOB, document="doc_1"), tracing.span("fetch", JOB):
        pass
    with tracing.span("other", f"job_{'1' * 32}"), tracing.span("store", JOB):
        pass
    spans = {span.name: span for span in sent()}
    assert {span.context.trace_id for name, span in spans.items() if name != "other"} == {TRACE}
    assert spans["split"].parent.span_id == TRACE & (2**64 - 1)
    assert spans["fetch"].parent.span_id == spans["split"].context.span_id
    assert spans["store"].parent.span_id == spans["split"].parent.span_id, "what is done for another job is no parent"
    assert dict(spans["split"].attributes) == {"pagemill.job": JOB, "pagemill.document": "doc_1"}


def test_an_error_is_told_by_its_code(set_up):
    sent = set_up(**ENDPOINT)
    for error in (StorageUnavailable("s3cret"), ValueError("s3cret")):
        with pytest.raises(type(error)), tracing.span("store", JOB):
            raise error
    assert [span.attributes["error.type"] for span in sent()] == ["storage_unavailable", "ValueError"]
    assert all(not span.events and "s3cret" not in str(span.status.description) for span in sent())


def test_steps_follow_each_other_and_take_what_they_took(set_up):
    sent = set_up(**ENDPOINT)
    with tracing.span("read", JOB) as span:
        tracing.steps(span, {"render": 0.25, "layout": 0.5})
    render, layout, read = sent()
    assert [(s.name, s.end_time - s.start_time) for s in (render, layout)] == [
        ("render", 25 * 10**7),
        ("layout", 5 * 10**8),
    ]
    assert render.end_time == layout.start_time
    assert layout.end_time <= read.end_time


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_a_job_is_sampled_as_a_whole(set_up, ratio):
    sent = set_up(**ENDPOINT, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG=ratio)
    with tracing.span("split", JOB):
        pass
    tracing.job_ended(JOB, "succeeded", "2026-01-31T12:00:00.000001Z", "2026-01-31T12:00:01Z")
    assert len(sent()) == (2 if ratio == "1" else 0)


def test_a_request_goes_on_with_its_client_s_trace(set_up):
    sent = set_up(**ENDPOINT)
    span = tracing.request("POST", {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    tracing.answered(span, "POST /v1/jobs", 202, {"job": JOB, "request": "r"})
    tracing.answered(tracing.request("EVIL", {}), "EVIL ", 503, {})
    first, second = sent()
    assert f"{first.context.trace_id:x}" == "a" * 32
    assert [link.context.trace_id for link in first.links] == [TRACE]
    assert second.attributes["http.request.method"] == "_OTHER"
    assert not second.status.is_ok
