"""Logs and spans of the real server and a real worker: who wants to know what became of a request finds every line
and span of its job, and each is about what it says."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from jobs import keys
from jobs.models import Scope
from tests.api_server import ApiServer
from tests.documents import pdf
from tests.installation import SECRET, Installation
from tests.mill import CALM
from tests.otlp import Collector
from tests.processes import wait_until

JSON = {"PAGEMILL_LOG_FORMAT": "json"}
IDS = ("job", "document", "page", "attempt", "worker")


class Place:
    """The parts, and one job through them: three pages, of which the third cannot be read."""

    def __init__(self, mill, server, worker, collector):
        self.mill, self.server, self.worker, self.collector = mill, server, worker, collector
        key, secret = keys.create(mill.db, "somebody", [Scope.SUBMIT, Scope.READ])
        self.key = key.id
        echo = {"render": True, "faults": {"3": "fatal_error"}}
        options = {"engine": "echo", "echo": echo, "metadata": {"a": "b"}}
        with server.client(headers={"Authorization": f"Bearer {secret}", "X-Request-Id": "order-17"}) as http:
            made = http.post(
                "jobs",
                files=[("file", ("a.pdf", pdf(3))), ("file", ("b.pdf", b"%PDF-1.4 broken")),
                       ("options", (None, json.dumps(options)))],
            )  # fmt: skip
            assert made.status_code == 202, made.text
            self.response, self.job = made, made.json()["id"]
            mill.wait(self.job)
            self.missing = http.get("jobs/job_nothing?token=s3cret", headers={"X-Request-Id": "no\tgood"})
        self.documents = [document.id for document in mill.documents(self.job)]

    def lines(self):
        """Every line of both, parsed."""
        said = self.server.log_text() + self.worker.output()
        return [json.loads(line) for line in said.split("\n") if line]


@pytest.fixture(scope="module")
def place(tmp_path_factory, valkey):
    root = tmp_path_factory.mktemp("telemetry")
    url, store = f"sqlite:///{root / 'pagemill.db'}", f"file:{root / 'objects'}"
    with Collector() as collector:
        settings = CALM | JSON | collector.variables
        with Installation(root, url, valkey.url_of(4), settings=settings) as mill:
            server = ApiServer(
                url, auth="keys", store_url=store, log_format="json", secret_key=SECRET, variables=collector.variables
            )
            with server, mill.worker() as worker:
                yield Place(mill, server, worker, collector)


def test_every_line_is_json_with_a_time_and_a_level(place):
    for line in place.lines():
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert line["time"].endswith("Z")
    loggers = {line["logger"].partition(".")[0] for line in place.lines()}
    assert {"api", "uvicorn", "workers", "jobs", "celery"} <= loggers


def test_lines_about_a_page_name_it_exactly(place):
    about = [line for line in place.lines() if line.get("page") == 3]
    assert [line["action"] for line in about] == ["page_failed"]
    worker = place.worker.incarnation().id
    assert [{name: line.get(name) for name in IDS} for line in about] == [
        {"job": place.job, "document": place.documents[0], "page": 3, "attempt": 1, "worker": worker}
    ]
    assert about[0]["code"] == "page_render_failed"


def test_a_request_is_followed_to_its_job_and_its_pages(place):
    assert place.response.headers["X-Request-Id"] == "order-17"
    [accepted] = [line for line in place.lines() if line.get("request") == "order-17"]
    assert accepted.items() >= {
        "action": "request", "method": "POST", "route": "/v1/jobs", "status": 202, "job": place.job, "key": place.key,
    }.items()  # fmt: skip
    actions = Counter(line["action"] for line in place.lines() if line.get("job") == place.job)
    assert actions.keys() == {"request", "task_done", "page_failed", "document_failed", "job_ended"}
    [failed] = [line for line in place.lines() if line.get("action") == "document_failed"]
    assert (failed["document"], failed["code"]) == (place.documents[1], "corrupt_file")


def test_a_request_that_is_refused_is_told_without_what_was_typed(place):
    given = place.missing.headers["X-Request-Id"]
    assert len(given) == 32, "one that cannot stand in a log is replaced"
    [line] = [line for line in place.lines() if line.get("request") == given]
    assert line.items() >= {"route": "/v1/jobs/{job}", "status": 404, "method": "GET", "key": place.key}.items()
    assert "s3cret" not in json.dumps(place.lines())
    assert "job_nothing" not in json.dumps(line)


# --- spans


def test_a_job_is_one_trace_from_submission_to_end(place):
    trace = place.job.removeprefix("job_")
    spans = lambda: place.collector.of(trace)  # noqa: E731
    wait_until(lambda: any(span.name == "job" for span in spans()), "the root span")
    [root] = [span for span in spans() if span.name == "job"]
    assert (root.id, root.parent, root.failed) == (trace[16:], "", False)
    assert root.attributes == {"pagemill.job": place.job, "pagemill.state": "partial"}
    job = place.mill.job(place.job)
    times = (job.created_at, job.finished_at)
    assert [root.begun, root.ended] == [round(time.timestamp() * 1e6) * 1000 for time in times]

    wait_until(lambda: by_name(spans())["record"] == 3, "the last page's spans")
    assert by_name(spans()) == {
        "job": 1, "split": 2, "recognize": by_name(spans())["recognize"], "page": 3, "fetch": 2, "read": 3, "render": 2,
        "store": 2, "record": 3, "assemble": 1,
    }  # fmt: skip
    assert {span.service for span in spans()} == {"pagemill-worker"}


def by_name(spans):
    return Counter(span.name for span in spans)


def test_stages_lie_below_their_page_and_pages_below_their_message(place):
    spans = {span.id: span for span in place.collector.of(place.job.removeprefix("job_"))}
    above = lambda span: spans[span.parent].name  # noqa: E731
    parents = {(span.name, above(span)) for span in spans.values() if span.parent}
    assert parents == {
        ("split", "job"), ("assemble", "job"), ("recognize", "job"), ("page", "recognize"), ("read", "page"),
        ("store", "page"), ("record", "page"), ("fetch", "read"), ("render", "read"),
    }  # fmt: skip
    [failed] = [span for span in spans.values() if span.attributes.get("error.type") and span.name == "page"]
    assert failed.attributes == {
        "pagemill.job": place.job, "pagemill.document": place.documents[0], "pagemill.page": 3, "pagemill.attempt": 1,
        "pagemill.worker": place.worker.incarnation().id, "pagemill.state": "failed",
        "error.type": "page_render_failed",
    }  # fmt: skip
    for span in spans.values():
        assert span.begun <= span.ended


def test_the_request_that_submitted_is_linked_to_the_job(place):
    def submitted():
        return [span for span in place.collector.spans if span.name == "POST /v1/jobs"]

    wait_until(submitted, "the request's span")
    [span] = submitted()
    assert span.service == "pagemill-api"
    assert span.links == (place.job.removeprefix("job_"),)
    assert span.trace != place.job.removeprefix("job_")
    assert span.attributes["http.response.status_code"] == 202
    assert span.attributes["pagemill.request"] == "order-17"


def test_a_worker_that_is_told_to_end_says_so_in_json_and_nothing_else(place):
    """Celery had words of its own for a signal, on stdout and as text."""
    with place.mill.worker() as worker:
        wait_until(lambda: " ready." in worker.output(), "Celery to hear signals")
        assert worker.terminate() == 0
        lines = [json.loads(line) for line in worker.output().rstrip("\n").split("\n")]
    assert [line["action"] for line in lines if line.get("action") == "ending"] == ["ending"]
