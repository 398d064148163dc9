"""PaddleOCR-VL through the real queue: PDFs in, Celery workers that hold the engine, text out; and how engines die.

One engine start takes half a minute of one core, hence one story: a worker with the trained model reads, until its
EngineCore is killed in mid-batch; a worker on vLLM's own server finishes what was left. The tests run in this order.
"""

import signal

import orjson
import pytest
from sqlalchemy import text

from jobs import lifecycle
from jobs.blobs import page_key
from jobs.metrics import VLLM
from jobs.options import VlOptions
from tests.installation import Installation
from tests.mill import CALM
from tests.processes import alive, free_port, wait_until
from tests.scraping import scrape
from tests.vllm.engines import ENGINE_DIED, engine_core
from tests.vllm.numbers import (
    DPI,
    ON_A_CPU,
    RESIDENT,
    TINY,
    black_pdf,
    numbers,
    numbers_pdf,
    tiny_model,
    variables,
    vllm_tier,
)
from tests.vllm.server import ENGINE_START

pytestmark = vllm_tier
ENGINE = "paddleocr_vl"
METRICS_PORT = free_port()
PRINTED = numbers(400, seed=1)
"""On the pages of the job in whose middle the engine dies."""


@pytest.fixture(scope="module")
def mill(tmp_path_factory, valkey):
    root = tmp_path_factory.mktemp("queue")
    settings = CALM | ON_A_CPU | variables(TINY | RESIDENT) | {"PAGEMILL_ENGINE": ENGINE}
    with Installation(root, f"sqlite:///{root / 'pagemill.db'}", valkey.url_of(2), settings=settings) as found:
        yield found


@pytest.fixture(scope="module")
def resident(mill, starting_server):
    """A worker that holds vLLM with the trained model."""
    worker = mill.worker(PAGEMILL_VLLM_MODEL=tiny_model(), PAGEMILL_METRICS_PORT=str(METRICS_PORT))
    worker.start_timeout = ENGINE_START
    with worker:
        yield worker


@pytest.fixture(scope="module")
def job(mill, resident):
    """A job in whose middle the engine dies."""
    return submit(mill, numbers_pdf(PRINTED))


def submit(mill, *documents, **options):
    return mill.submit(*documents, engine=ENGINE, dpi=DPI, paddleocr_vl=VlOptions(**options))


def pages(mill, job):
    """Stored results of the job's only document, by page number."""
    return {
        number: orjson.loads(mill.blobs.get(page_key(job, document, number, attempt)))
        for document, number, state, attempt in mill.page_rows(job)
        if state == "succeeded"
    }


def contents(mill, job):
    return [content for _, content in sorted(mill.results(job).items())]


def test_what_is_printed_in_pdfs_comes_out_in_document_md(mill, resident):
    printed = [numbers(count, seed=count) for count in (1, 5, 12)]
    job = submit(mill, *[numbers_pdf(lines) for lines in printed])
    assert mill.wait(job).state == "succeeded"
    assert [markdown.split() for markdown in mill.markdown(job)] == printed


def test_results_say_what_read_them(mill, resident):
    job = submit(mill, numbers_pdf(numbers(1)))
    mill.wait(job)
    [page] = pages(mill, job).values()
    assert (page["engine"]["name"], page["engine"]["model"]) == (ENGINE, tiny_model())
    assert {"render", "cut", "recognize"} <= set(page["timings"])


def test_vllm_tells_prometheus_beside_us_and_tokens_are_in_the_books(mill, resident):
    """vLLM counts the tokens of its own first crop too."""
    job = submit(mill, numbers_pdf(numbers(3, seed=7)))
    usage = mill.wait(job).usage
    told = scrape(METRICS_PORT)
    assert set(VLLM) <= told.names
    assert 0 < usage.tokens_out <= told.value("vllm:generation_tokens_total")
    assert 0 < usage.tokens_in <= told.value("vllm:prompt_tokens_total")
    assert told.value("pagemill_engine_sequences_limit") > 0
    assert usage.engine_seconds > 0


SHAPES = {"a hair": (900, 1.5), "a thread": (1.5, 900), "a dot": (0.36, 0.36), "a poster": (3000, 2000)}
"""Points: aspects of 600 and 1/600, where smart_resize gives up over 200; one pixel; 46 million pixels."""


def test_pages_of_impossible_shapes_are_read_and_their_neighbours_too(mill, resident):
    printed = numbers(4, seed=2)
    job = submit(mill, numbers_pdf(printed, sizes=[*SHAPES.values()]))
    mill.wait(job)
    assert [page.error.detail for page in mill.pages(job) if page.error is not None] == []
    assert contents(mill, job)[len(SHAPES) :] == printed


def test_an_answer_cut_at_its_limit_is_kept_and_marked(mill, resident):
    printed = numbers(3, seed=3)
    job = submit(mill, numbers_pdf(printed), max_new_tokens=4)
    assert mill.wait(job).state == "succeeded"
    for number, page in pages(mill, job).items():
        [block] = page["blocks"]
        assert printed[number - 1].startswith(block["content"])
        assert len(block["content"]) in (3, 4)
        assert "output_truncated" in [warning["code"] for warning in page["warnings"]]


def test_an_answer_that_repeats_itself_is_stopped_and_marked(mill, resident):
    """On a black page the model says dashes for ever: 512 tokens, but that it is found out at about 200."""
    [printed] = numbers(1, seed=6)
    endless, line = submit(mill, black_pdf(1)), submit(mill, numbers_pdf([printed]))
    assert (mill.wait(endless).state, mill.wait(line).state) == ("succeeded", "succeeded")
    [page] = pages(mill, endless).values()
    [block] = page["blocks"]
    assert len(block["content"]) < 300
    assert [warning["code"] for warning in page["warnings"]] == ["output_truncated"]
    assert contents(mill, line) == [printed]


def test_a_canceled_job_leaves_the_engine_to_the_others(mill, resident):
    printed = numbers(8, seed=4)
    canceled = submit(mill, numbers_pdf(numbers(400, seed=5)))
    mill.wait_for_pages(canceled, 1)
    lifecycle.cancel(mill.db, canceled)
    job = submit(mill, numbers_pdf(printed))
    mill.wait(job)
    assert contents(mill, job) == printed
    assert mill.wait(canceled).state == "canceled"
    assert resident.running


def test_a_killed_engine_ends_its_worker_and_no_page(mill, resident, job):
    mill.wait_for_pages(job, 20)
    tree = resident.tree()
    engine_core(resident).send_signal(signal.SIGKILL)
    assert resident.wait() == ENGINE_DIED
    wait_until(lambda: not any(map(alive, tree)), "the worker's processes to be gone")
    assert no_page_is_lost(mill, job) > 0
    assert crashes(mill) == 1, "the pages that were inside, once"
    assert (mill.workers()[-1].state, mill.workers()[-1].detail) == ("stopped", "vLLM's EngineCore died")


def test_a_worker_on_a_server_finishes_what_was_left(mill, job, server):
    settings = {"PAGEMILL_VL_BACKEND": "openai", "PAGEMILL_OPENAI_URLS": server.url}
    with mill.worker(**settings) as worker:
        assert mill.wait(job, timeout=120).state == "succeeded"
        assert contents(mill, job) == PRINTED
        assert worker.terminate() == 0
    models = {page["engine"]["model"] for page in pages(mill, job).values()}
    assert models == {tiny_model(), "tiny"}, "both have read"


def no_page_is_lost(mill, job):
    """None failed, none is held by who is gone; returns how many wait."""
    counts = mill.count(job)
    assert (counts["failed"], counts["running"]) == (0, 0)
    return counts["pending"]


def crashes(mill):
    """The most that any page has."""
    with mill.db.read() as session:
        return session.connection().execute(text("SELECT max(crashes) FROM page")).scalar_one()
