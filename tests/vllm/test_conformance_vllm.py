"""PaddleOCR-VL on a resident vLLM engine under the rules of all engines; reads what is printed."""

import pytest

from jobs.options import PageOptions
from jobs.settings import EngineSettings
from tests.conformance import EngineConformance, engine_up
from tests.vllm.numbers import DPI, ON_A_CPU, RESIDENT, TINY, numbers, numbers_pdf, tiny_model, vllm_tier

pytestmark = vllm_tier


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    printed = numbers(6)
    document = tmp_path_factory.mktemp("vllm") / "pages.pdf"
    document.write_bytes(numbers_pdf(printed))
    settings = EngineSettings(
        name="paddleocr_vl", engine_capacity=16, render_processes=1, vllm_model=tiny_model(), **TINY, **RESIDENT
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ON_A_CPU.items():
            patch.setenv(name, value)
        with engine_up(settings, document, printed, PageOptions(dpi=DPI)) as found:
            yield found


class TestVllm(EngineConformance):
    pass
