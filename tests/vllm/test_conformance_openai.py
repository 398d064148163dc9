"""PaddleOCR-VL on a real OpenAI-compatible vLLM server under the rules of all engines; reads what is printed."""

import pytest

from jobs.options import PageOptions
from jobs.settings import EngineSettings
from tests.conformance import EngineConformance, engine_up
from tests.vllm.numbers import DPI, TINY, numbers, numbers_pdf, vllm_tier

pytestmark = vllm_tier


@pytest.fixture(scope="module")
def subject(tmp_path_factory, server):
    printed = numbers(6)
    document = tmp_path_factory.mktemp("openai") / "pages.pdf"
    document.write_bytes(numbers_pdf(printed))
    settings = EngineSettings(
        name="paddleocr_vl", engine_capacity=16, render_processes=1, vl_backend="openai", openai_urls=server.url, **TINY
    )
    with engine_up(settings, document, printed, PageOptions(dpi=DPI)) as found:
        yield found


class TestOpenAi(EngineConformance):
    pass
