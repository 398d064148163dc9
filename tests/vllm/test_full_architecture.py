"""Both models of the pipeline in one worker, the full architecture with random weights; then EngineCore is stopped.

The layout model finds boxes wherever its weights tell it to, and the language model says the same few tokens for ever:
nothing is read, and everything that real weights would go through is gone through.
"""

import re
import signal

import orjson
import pytest

from jobs.blobs import page_key
from tests.installation import REPOSITORY, Installation
from tests.mill import CALM
from tests.processes import alive, wait_until
from tests.vllm.checkpoints import write_layout, write_model
from tests.vllm.engines import ENGINE_DIED, engine_core
from tests.vllm.numbers import ON_A_CPU, RESIDENT, variables, vllm_tier
from tests.vllm.server import ENGINE_START

pytestmark = vllm_tier
DOCUMENT = (REPOSITORY / "examples" / "two-columns.pdf").read_bytes()
STALL = 20.0
"""Seconds without a step after which an engine counts as dead here; on a busy machine a step takes one or two."""


@pytest.fixture(scope="module")
def mill(tmp_path_factory, valkey):
    root = tmp_path_factory.mktemp("full")
    models = {
        "vllm_model": write_model(root / "model"),
        "vl_layout_model": write_layout(root / "layout"),
        "vl_max_tokens": 160,
        "vl_stall_timeout": STALL,
        "engine": "paddleocr_vl",
    }
    settings = CALM | ON_A_CPU | variables(RESIDENT | {"vllm_max_model_len": 2048} | models)
    with Installation(root, f"sqlite:///{root / 'pagemill.db'}", valkey.url_of(4), settings=settings) as found:
        yield found


@pytest.fixture(scope="module")
def worker(mill):
    found = mill.worker()
    found.start_timeout = ENGINE_START
    with found:
        yield found


def test_a_document_goes_through_layout_crops_and_model(mill, worker):
    job = mill.submit(DOCUMENT, engine="paddleocr_vl", pages="1")
    assert mill.wait(job, timeout=240).state == "succeeded"
    [(document, number, _, attempt)] = mill.page_rows(job)
    page = orjson.loads(mill.blobs.get(page_key(job, document, number, attempt)))
    assert {"render", "layout", "cut", "recognize"} <= set(page["timings"])
    assert str(mill.root / "layout") in page["engine"]["model"]
    assert len(page["blocks"]) > 1
    for block in page["blocks"]:
        assert block["label"] in {"display_formula", "paragraph_title", "table", "text"}
        assert block["score"] > 0
        left, top, right, bottom = block["bbox"]
        assert 0 <= left < right <= page["image"]["width"]
        assert 0 <= top < bottom <= page["image"]["height"]
    assert any(block["content"] for block in page["blocks"])
    assert {warning["code"] for warning in page["warnings"]} == {"output_truncated"}
    assert len(mill.markdown(job)) == 1


def test_an_engine_that_stops_moving_ends_its_worker_and_no_page(mill, worker):
    """Its health check would still be fine: it lives."""
    job = mill.submit(*[DOCUMENT] * 8, engine="paddleocr_vl")
    mill.wait_for_pages(job, 1, timeout=240)
    tree = worker.tree()
    engine_core(worker).send_signal(signal.SIGSTOP)
    assert worker.wait(timeout=6 * STALL) == ENGINE_DIED
    wait_until(lambda: not any(map(alive, tree)), "the worker's processes to be gone, the stopped one too")
    counts = mill.count(job)
    assert (counts["failed"], counts["running"]) == (0, 0)
    assert counts["pending"] > 0
    assert re.fullmatch(rf"vLLM made no step for {STALL:g} seconds with \d+ crops inside", mill.workers()[-1].detail)
