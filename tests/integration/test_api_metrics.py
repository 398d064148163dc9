"""What a real API server tells Prometheus."""

from __future__ import annotations

import subprocess

import httpx
import pytest

from tests.api_server import PDF, ApiServer, files, finish
from tests.processes import free_port
from tests.scraping import scrape, status


@pytest.fixture
def server(sqlite_store_url):
    with ApiServer(sqlite_store_url, metrics_port=free_port(), price_per_gpu_hour=3600, currency="EUR") as running:
        yield running


def port(server):
    return server.settings["metrics_port"]


def test_requests_are_counted_by_route_and_never_by_id(server):
    with server.client() as client:
        job = client.post("jobs", files=files(PDF, PDF)).json()["id"]
        for _ in range(3):
            client.get(f"jobs/{job}")
        client.get("jobs/job_0000")
        client.get("../somewhere/secret-of-a-client")
        client.request("BREW", "jobs")
        told = scrape(port(server))
    requests = "pagemill_http_requests_total"
    assert told.value(requests, route="/v1/jobs/{job}", method="GET", status="200") == 3
    assert told.value(requests, route="/v1/jobs/{job}", status="404") == 1
    assert told.value(requests, route="none", status="404") == 1
    assert told.value(requests, method="other") == 1
    assert told.value("pagemill_http_request_seconds_count", route="/v1/jobs/{job}") == 4
    received = told.value("pagemill_http_received_bytes_total", route="/v1/jobs", method="POST")
    assert 2 * len(PDF) < received < 2 * len(PDF) + 2000
    assert not {job, "job_0000", "secret-of-a-client"} & {
        value for name in told.names for labels in told.labels(name) for value in labels.values()
    }


def test_the_census_is_told_and_the_missing_broker_too(server):
    with server.client() as client:
        job = client.post("jobs", files=files(PDF)).json()["id"]
    finish(server, job)
    told = scrape(port(server))
    assert told.by("pagemill_jobs", "state")["succeeded"] == 1
    assert told.by("pagemill_pages", "state")["succeeded"] == 1
    assert (told.value("pagemill_database_up"), told.value("pagemill_broker_up")) == (1, 0)
    assert told.value("pagemill_price_per_gpu_hour", currency="EUR") == 3600
    assert "process_resident_memory_bytes" in told.names


def test_a_job_tells_its_cost_and_its_tag_stays(server):
    with server.client() as client:
        job = client.post("jobs", files=files(PDF)).json()["id"]
        finish(server, job)
        first = client.get(f"jobs/{job}")
        assert first.json()["usage"] == {
            "engine_seconds": 0.0, "tokens_in": 0, "tokens_out": 0, "cost": 0.0, "currency": "EUR",
        }  # fmt: skip
        again = client.get(f"jobs/{job}", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        assert client.get("jobs").json()["items"][0]["usage"]["cost"] is None


def test_a_server_is_well_and_ready_and_keeps_its_metrics_to_their_port(server):
    assert (status(port(server), "/healthz"), status(port(server), "/readyz")) == ((200, "ok"), (200, "ok"))
    assert httpx.get(f"{server.url}/metrics").status_code == 404


def test_a_port_that_is_taken_ends_the_start(server, sqlite_store_url):
    second = ApiServer(sqlite_store_url, metrics_port=port(server))
    try:
        done = subprocess.run(second._command(), capture_output=True, text=True, timeout=120)
        assert done.returncode != 0
        assert f"metrics cannot be served on port {port(server)} of 127.0.0.1" in done.stderr
    finally:
        second.remove()
