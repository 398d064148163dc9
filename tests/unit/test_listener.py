"""The listener for metrics: what it answers, what it refuses, and that nobody holds it up."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from jobs import listener
from jobs.errors import InvalidRequest
from jobs.listener import Listener, with_process
from tests.processes import wait_until

HOST = "127.0.0.1"


class Verdicts:
    def __init__(self):
        self.healthy = self.ready = None


@pytest.fixture
def verdicts():
    return Verdicts()


@pytest.fixture
def registry():
    made = CollectorRegistry()
    Counter("pagemill_tries", "Of this test.", registry=made).inc(3)
    return made


@pytest.fixture
def running(registry, verdicts):
    made = Listener(HOST, 0, registry, healthy=lambda: verdicts.healthy, ready=lambda: verdicts.ready)
    made.start()
    yield made
    made.stop()


def get(running, path, **more):
    return httpx.get(f"{running.url}{path}", timeout=20, **more)


def test_metrics_are_told_in_the_form_that_is_asked_for(running):
    plain = get(running, "/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    family = next(iter(text_string_to_metric_families(plain.text)))
    assert [(s.name, s.value) for s in family.samples if s.name.endswith("_total")] == [("pagemill_tries_total", 3)]
    opened = get(running, "/metrics?name=x", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")
    odd = get(running, "/metrics", headers={"Accept": "application/openmetrics-text; version=x"})
    assert (odd.status_code, odd.headers["content-type"].partition(";")[0]) == (200, "text/plain")


def test_verdicts(running, verdicts):
    assert [get(running, path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    verdicts.healthy, verdicts.ready = "the loop stands still", "starting"
    for path, reason in (("/healthz", "the loop stands still"), ("/readyz", "starting")):
        answer = get(running, path)
        assert (answer.status_code, answer.text) == (503, f"{reason}\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metricsx", "/../etc/passwd", "/v1/jobs"])
def test_other_paths_are_not_there(running, path):
    assert get(running, path).status_code == 404


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_refused(running, method):
    answer = httpx.request(method, f"{running.url}/metrics", timeout=20)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_what_fails_is_told_and_the_next_one_is_answered(running, registry):
    class Broken:
        def collect(self):
            raise ZeroDivisionError

    registry.register(Broken())
    assert get(running, "/metrics").status_code == 500
    assert get(running, "/healthz").status_code == 200


def test_a_port_that_is_taken_is_named(running, registry):
    port = int(running.url.rpartition(":")[2])
    second = Listener(HOST, port, registry, healthy=lambda: None, ready=lambda: None)
    with pytest.raises(InvalidRequest, match=f"port {port} of {HOST}.*in use") as refused:
        second.start()
    assert (refused.value.where, refused.value.actual) == ("PAGEMILL_METRICS_PORT", port)
    second.stop()


def test_an_address_that_is_not_ours_is_named(registry):
    strange = Listener("192.0.2.1", 0, registry, healthy=lambda: None, ready=lambda: None)
    with pytest.raises(InvalidRequest, match=r"192\.0\.2\.1"):
        strange.start()


def test_after_its_end_the_port_is_free(registry):
    first = Listener(HOST, 0, registry, healthy=lambda: None, ready=lambda: None)
    first.start()
    port = int(first.url.rpartition(":")[2])
    first.stop()
    second = Listener(HOST, port, registry, healthy=lambda: None, ready=lambda: None)
    second.start()
    second.stop()


def connect(running):
    host, port = running.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_clients_that_say_nothing_do_not_hold_it_up(running):
    with ExitStack() as silent:
        for _ in range(listener.CONNECTIONS - 2):
            silent.enter_context(connect(running)).sendall(b"GET /met")
        assert get(running, "/metrics").status_code == 200


def test_who_dawdles_loses_the_connection(running, monkeypatch):
    """A byte now and then, so that no single read takes too long; the whole may not take long either."""
    monkeypatch.setattr(listener, "DEADLINE", 0.3)
    with connect(running) as slow:
        slow.settimeout(0.1)
        wait_until(lambda: cut_off(slow), "the connection to be cut", 30)


def cut_off(connection):
    try:
        connection.sendall(b"G")
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_the_process_is_told_too():
    families = {family.name for family in with_process(CollectorRegistry()).collect()}
    assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= families
