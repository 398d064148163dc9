"""Requests as Prometheus counts them."""

from __future__ import annotations

import asyncio

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from api import problems
from api.traffic import Traffic, TrafficMeter


def test_an_error_that_nobody_expected_counts_as_500():
    """Its answer is given outside of all middleware: it was counted as 499, as if the client had left, and the alert on
    5xx never saw one."""
    registry = CollectorRegistry()
    app = FastAPI()

    @app.get("/v1/broken")
    def broken() -> None:
        raise ZeroDivisionError

    problems.install(app)
    app.add_middleware(TrafficMeter, traffic=Traffic(registry))

    async def ask() -> int:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return (await client.get("/v1/broken")).status_code

    assert asyncio.run(ask()) == 500
    route = {"route": "/v1/broken", "method": "GET"}
    assert registry.get_sample_value("pagemill_http_requests_total", {**route, "status": "500"}) == 1
    assert registry.get_sample_value("pagemill_http_request_seconds_count", route) == 1
