"""Which engines an installation offers."""

import pytest

from jobs.engines import ENGINE_NAMES
from jobs.errors import InvalidRequest
from jobs.settings import ApiSettings, load


def test_all_engines_are_offered_unless_said_otherwise(monkeypatch):
    assert load(ApiSettings).offered == ENGINE_NAMES
    monkeypatch.setenv("PAGEMILL_ENGINES", " rapidocr, rapidocr,")
    assert load(ApiSettings).offered == ("rapidocr",)


@pytest.mark.parametrize(
    ("engines", "why"),
    [
        ("echo", "'rapidocr' .PAGEMILL_ENGINE. is not among: echo"),
        ("", "is not among: none"),
        ("rapidocr,tesseract", "there is no engine 'tesseract'; known: echo, paddleocr_vl, rapidocr"),
    ],
)
def test_what_cannot_be_offered_ends_the_start(monkeypatch, engines, why):
    monkeypatch.setenv("PAGEMILL_ENGINES", engines)
    with pytest.raises(InvalidRequest, match=f"^PAGEMILL_ENGINES: .*{why}$") as refused:
        load(ApiSettings)
    assert refused.value.where == "PAGEMILL_ENGINES"
