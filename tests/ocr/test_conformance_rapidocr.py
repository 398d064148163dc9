"""RapidOCR under the rules of all engines."""

import pytest

from jobs.options import PageOptions
from jobs.settings import EngineSettings
from tests.conformance import EngineConformance, engine_up
from tests.documents import pdf

pytestmark = pytest.mark.ocr


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    document = tmp_path_factory.mktemp("rapidocr") / "pages.pdf"
    document.write_bytes(pdf(3))
    settings = EngineSettings(name="rapidocr", engine_capacity=2, render_processes=1)
    with engine_up(settings, document, ["page 1", "page 2", "page 3"], PageOptions(dpi=150)) as found:
        yield found


class TestRapidOcr(EngineConformance):
    pass
