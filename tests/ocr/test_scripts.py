"""Real pages in scripts that the bundled model cannot read, and in those that it can."""

import pytest
from PIL import Image

from jobs.options import PageOptions
from jobs.results import PageImage
from jobs.settings import EngineSettings
from tests.testdata import document
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.page import RapidOcrPageHalf
from workers.render.documents import open_document

pytestmark = pytest.mark.ocr

DPI = 200
LARGEST = 40_000_000


@pytest.fixture(scope="module")
def half():
    half = RapidOcrPageHalf(EngineSettings(name="rapidocr", render_processes=1))
    half.start()
    return half


def read(half, name):
    """An image as it is; of a PDF the first page, read by OCR, with its text layer at hand."""
    path = document(name)
    options = PageOptions(text="ocr", figures=False)
    if path.suffix != ".pdf":
        with Image.open(path) as image:
            pixels = image.convert("RGB")
        info = PageImage(width=pixels.width, height=pixels.height, dpi=DPI)
        return half.recognize(RenderedPage(number=1, pixels=pixels, info=info), options).result
    opened = open_document(path, "application/pdf", max_pixels=LARGEST)
    try:
        made = opened.render(1, DPI, LARGEST)

        def layer():
            return opened.text_layer(1, made.info.width, made.info.height)

        page = RenderedPage(1, made.pixels, made.info, made.warnings, 0.0, layer)
        return half.recognize(page, options).result
    finally:
        opened.close()


def told(result):
    return {warning.code: warning for warning in result.warnings}


@pytest.mark.parametrize(
    "name",
    [
        "public/RapidAI+RapidOCR/arabic.png",
        "public/RapidAI+RapidOCR/cyrillic.png",
        "public/RapidAI+RapidOCR/korean.jpg",
        "public/RapidAI+RapidOCR/ta.png",
        "public/RapidAI+RapidOCR/te.png",
        "public/tesseract-ocr+test/devatest.png",
        "public/tesseract-ocr+test/hebrew.png",
    ],
)
def test_a_page_in_a_script_that_the_model_cannot_read_says_so(half, name):
    result = read(half, name)
    warning = told(result)["unsupported_script"]
    assert "PP-OCRv6_rec_small.onnx does not read" in warning.detail
    x0, y0, x1, y1 = warning.bbox
    assert 0 <= x0 < x1 <= result.image.width
    assert 0 <= y0 < y1 <= result.image.height
    assert sum(len(block.content) for block in result.blocks) < 150, "what is Latin on these pages and no more"


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("public/debian/install.ru.pdf", "Cyrillic"),
        ("public/tabulapdf+tabula-java/arabic.pdf", "Arabic"),
    ],
)
def test_a_text_layer_names_the_script(half, name, script):
    assert f"are in {script} script" in told(read(half, name))["unsupported_script"].detail


@pytest.mark.parametrize(
    "name",
    [
        "public/RapidAI+RapidOCR/japan.jpg",
        "public/RapidAI+RapidOCR/latin.jpg",
        "public/RapidAI+RapidOCR/ch_en_num.jpg",
        "public/RapidAI+RapidOCR/text_vertical_words.png",
        "public/tesseract-ocr+test/eurotext.tif",
        "public/RapidAI+RapidOCR/empty_black.jpg",
    ],
)
def test_a_page_that_can_be_read_is_not_complained_of(half, name):
    assert told(read(half, name)) == {}


def test_a_hand_that_is_guessed_at_is_said_to_be_doubtful(half):
    result = read(half, "public/HTR-United+CREMMA-AN-TestamentsDePoilus/TestamentsDePoilus_will_AD78_0005-0.jpg")
    assert "low_confidence" in told(result)
    assert result.score < 0.85
