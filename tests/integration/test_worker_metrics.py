"""What real workers tell of themselves: counters that agree with the database, why the engine idles, if they live."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter

import pytest
from sqlalchemy import text

from jobs.options import EchoOptions
from tests.documents import pdf
from tests.installation import Installation
from tests.ledger import assert_exact
from tests.mill import CALM
from tests.openai_server import OpenAiServer
from tests.processes import free_port, wait_until
from tests.scraping import scrape, status

CAPACITY = 4
PRICE = {"PAGEMILL_PRICE_PER_GPU_HOUR": "3600", "PAGEMILL_CURRENCY": "EUR"}
RECORDED = "pagemill_worker_pages_total"
SECONDS = "pagemill_engine_seconds_total"


@pytest.fixture
def mill(tmp_path, valkey):
    valkey.flush()
    url = f"sqlite:///{tmp_path / 'pagemill.db'}"
    with Installation(tmp_path, url, valkey.url_of(6), settings=CALM | PRICE) as found:
        yield found


@pytest.fixture
def port():
    return free_port()


def worker(mill, port, **settings):
    return mill.worker(
        PAGEMILL_METRICS_PORT=str(port), PAGEMILL_ENGINE_CAPACITY=str(CAPACITY), PAGEMILL_MAX_ERRORS="2", **settings
    )


def ends(mill):
    """Pages by state and code, counted."""
    with mill.db.read() as session:
        rows = session.connection().execute(text("SELECT state, json_extract(error, '$.code') FROM page")).all()
    return Counter((state, code or "") for state, code in rows)


def test_what_a_worker_counts_is_what_the_database_has(mill, port):
    faults = {"2": "fatal_error", "5": "error", "7": "error_once"}
    with worker(mill, port):
        before, began = scrape(port), time.monotonic()
        job = mill.submit(
            pdf(12), pdf(3), echo=EchoOptions(seconds={"*": 0.05}, faults=faults, render=True), owner="key_a"
        )
        mill.wait(job)
        mill.until(lambda: scrape(port).value("pagemill_worker_held_pages") == 0, "the last page to be put down")
        after, passed = scrape(port), time.monotonic() - began
    told = {(labels["outcome"], labels["code"]): after.value(RECORDED, **labels) for labels in after.labels(RECORDED)}
    assert told == ends(mill)
    assert told[("failed", "page_render_failed")] == 2
    assert after.by("pagemill_worker_retries_total", "code") == {"engine_error": 2}, "pages 5 and 7, once each"
    assert after.value("pagemill_page_stage_seconds_count", stage="render") == 12
    assert after.value("pagemill_page_stage_seconds_count", stage="record") == 17
    assert after.value("pagemill_document_stage_seconds_count", stage="split") == 2

    seconds = after.by(SECONDS, "state")
    assert min(seconds[state] for state in ("busy", "rendering", "no_input", "starting")) > 0
    counted = sum(seconds.values()) - sum(before.by(SECONDS, "state").values())
    assert counted <= passed + 1, "the states' seconds are wall time"
    assert counted >= passed - 1

    usage = mill.job(job).usage
    assert usage.engine_seconds == pytest.approx(seconds["busy"], rel=0.01, abs=0.01), "all of it is charged, once"
    assert after.value("pagemill_owner_engine_seconds_total", owner="key_a") == pytest.approx(usage.engine_seconds)
    manifest = mill.manifest(job)["usage"]
    assert (manifest["engine_seconds"], manifest["currency"]) == (usage.engine_seconds, "EUR")
    assert manifest["cost"] == pytest.approx(usage.engine_seconds, abs=1e-5)
    assert_exact(mill.db)


def test_a_worker_that_drains_says_so_and_is_well(mill, port):
    with worker(mill, port) as running:
        mill.until(lambda: status(port, "/readyz") == (200, "ok"), "the worker to be ready")
        job = mill.submit(pdf(1), echo=EchoOptions(seconds={"*": 5.0}))
        mill.until(lambda: scrape(port).value("pagemill_worker_held_pages", place="engine") == 1, "the page to be read")
        running.send(signal.SIGTERM)
        mill.until(lambda: status(port, "/readyz") == (503, "draining"), "the worker to drain")
        assert status(port, "/healthz") == (200, "ok")
        assert scrape(port).value("pagemill_worker_ready") == 0
        assert running.wait() == 0
        assert status(port, "/healthz") == (0, "")
    assert mill.count(job)["succeeded"] == 1


def test_a_worker_that_starts_is_heard_and_not_sent_work(mill, port):
    """Its model's server takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        starting = worker(
            mill, port, PAGEMILL_ENGINE="paddleocr_vl", PAGEMILL_VL_BACKEND="openai",
            PAGEMILL_VL_LAYOUT_MODEL="none", PAGEMILL_OPENAI_URLS=url,
        ).launch()  # fmt: skip
        try:
            wait_until(lambda: status(port, "/readyz") == (503, "starting"), "the listener", 60)
            assert status(port, "/healthz") == (200, "ok")
            assert scrape(port).value(SECONDS, state="starting") > 0
        finally:
            starting.remove()


def test_a_port_that_is_taken_ends_the_start(mill, port):
    with socket.create_server(("127.0.0.1", port)):
        taken = worker(mill, port).launch()
        try:
            assert taken.wait() == 1
            assert f"metrics cannot be served on port {port} of 127.0.0.1" in taken.output()
            assert "PAGEMILL_METRICS_PORT" in taken.output()
        finally:
            taken.remove()


def test_an_engine_that_waits_for_the_store_says_so(mill, port):
    objects, aside = mill.root / "objects", mill.root / "aside"
    with worker(mill, port):
        job = mill.submit(pdf(20), echo=EchoOptions(seconds={"*": 1.0}))
        mill.until(lambda: mill.count(job)["running"] >= CAPACITY, "pages to be read")
        objects.rename(aside)
        objects.write_text("a store that is away")
        mill.until(lambda: scrape(port).value(SECONDS, state="storing") > 0.2, "the engine to wait")
        objects.unlink()
        aside.rename(objects)
        mill.wait(job)
    assert mill.count(job) == {"succeeded": 20}


def test_tokens_of_a_model_elsewhere_are_in_the_books(mill, port):
    with OpenAiServer() as server:
        reading = worker(
            mill, port, PAGEMILL_ENGINE="paddleocr_vl", PAGEMILL_VL_BACKEND="openai",
            PAGEMILL_VL_LAYOUT_MODEL="none", PAGEMILL_OPENAI_URLS=server.url,
        )  # fmt: skip
        with reading:
            job = mill.submit(pdf(5), engine="paddleocr_vl", owner="key_b")
            usage = mill.wait(job).usage
            told = scrape(port)
    assert (usage.tokens_in, usage.tokens_out) == (250, 15), "the engine's own probe is nobody's"
    assert told.by("pagemill_tokens_total", "direction") == {"in": 250, "out": 15}
    assert told.value("pagemill_owner_tokens_total", owner="key_b") == 265
    assert told.value("pagemill_page_stage_seconds_count", stage="recognise") == 5
