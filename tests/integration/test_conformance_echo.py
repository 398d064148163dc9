"""The engine that reads nothing, under the rules of all engines."""

import pytest

from jobs.options import EchoOptions, PageOptions
from jobs.settings import EngineSettings
from tests.conformance import EngineConformance, engine_up
from tests.documents import pdf


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    document = tmp_path_factory.mktemp("echo") / "pages.pdf"
    document.write_bytes(pdf(6))
    settings = EngineSettings(name="echo", engine_capacity=4, render_processes=1)
    printed = [f"page {number}" for number in range(1, 7)]
    with engine_up(settings, document, printed, PageOptions(echo=EchoOptions(render=True))) as found:
        yield found


class TestEcho(EngineConformance):
    pass
