"""Workers whose vLLM does not come up: no model, told to end while it loads."""

import pytest

from tests.installation import Installation
from tests.mill import CALM
from tests.processes import alive, wait_until
from tests.vllm.engines import engine_cores
from tests.vllm.numbers import ON_A_CPU, RESIDENT, TINY, numbers, numbers_pdf, tiny_model, variables, vllm_tier
from tests.vllm.server import ENGINE_START

pytestmark = vllm_tier


@pytest.fixture
def mill(tmp_path, valkey):
    settings = CALM | ON_A_CPU | variables(TINY | RESIDENT) | {"PAGEMILL_ENGINE": "paddleocr_vl"}
    with Installation(tmp_path, f"sqlite:///{tmp_path / 'pagemill.db'}", valkey.url_of(3), settings=settings) as found:
        yield found


def test_without_a_model_a_worker_says_so_and_takes_no_work(mill, tmp_path):
    job = mill.submit(numbers_pdf(numbers(1)), engine="paddleocr_vl")
    worker = mill.worker(PAGEMILL_VLLM_MODEL=str(tmp_path / "nowhere")).launch()
    assert worker.wait() == 1
    said = f"there is no model in {tmp_path / 'nowhere'}: no config.json"
    assert f"engine_unavailable: {said} (PAGEMILL_VLLM_MODEL)" in worker.output()
    [row] = mill.workers()
    assert (row.state, row.capacity, row.detail) == ("stopped", 0, said)
    assert mill.job(job).state == "queued"
    worker.remove()


def test_a_worker_that_is_told_to_end_while_its_model_loads_leaves_nothing_behind(mill):
    worker = mill.worker(PAGEMILL_VLLM_MODEL=tiny_model()).launch()
    wait_until(lambda: engine_cores(worker), "EngineCore to start", ENGINE_START)
    tree = worker.tree()
    assert worker.terminate() == 0
    wait_until(lambda: not any(map(alive, tree)), "its processes to be gone")
    assert [row.state for row in mill.workers()] in ([], ["stopped"])
    worker.remove()
