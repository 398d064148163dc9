"""Pages read from their text layer by the real engine: public documents against their sources, and self-made ones."""

import re
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader

from jobs.errors import TextLayerMissing
from jobs.markdown import page_markdown
from jobs.options import PageOptions
from jobs.settings import EngineSettings
from tests.layers import CAP, drawn, mapped_font, raw_pdf
from tests.testdata import document
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.page import RapidOcrPageHalf
from workers.render.documents import open_document
from workers.textlayer.lines import text_lines
from workers.textlayer.sight import seen

pytestmark = pytest.mark.ocr

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DPI = 150


@pytest.fixture(scope="module")
def half():
    half = RapidOcrPageHalf(EngineSettings(name="rapidocr", render_processes=1))
    half.start()
    return half


def rendered(path, number=1, dpi=DPI):
    pdf = open_document(Path(path), "application/pdf", max_pixels=CAP)
    pixels, info, _ = pdf.render(number, dpi, CAP)
    return RenderedPage(number, pixels, info, text_layer=partial(pdf.text_layer, number, info.width, info.height))


def read(half, path, number=1, text="auto"):
    return half.recognize(rendered(path, number), PageOptions(text=text)).result


def written(folder, data):
    path = folder / "made.pdf"
    path.write_bytes(data)
    return path


def text_of(result):
    return "\n".join(block.content for block in result.blocks)


# --- against the sources of two manuals ---

# The text edition of the manuals writes quotes as ", dashes as -- and bullets as *, breaks lines as it likes, and names
# the titles of what it refers to, which the PDF does not.
_SIGNS = str.maketrans({"—": "--", "–": "--", "…": "...", **dict.fromkeys('"?«»“”„*•', "")})
_TITLES = re.compile(r'((?:Раздел|Глава|Приложение) [A-Z0-9.]+), \?[^?]*\?|(第 ?[A-Z0-9.]+ 节) *"[^"]*"')


def comparable(text, *, spaces):
    text = unicodedata.normalize("NFC", text).translate(_SIGNS)
    return re.sub(r"\s+", " " if spaces else "", text)


def distance_to_part(text, truth):
    """Levenshtein distance to the part of the truth that is nearest."""
    codes = np.array([ord(char) for char in truth])
    columns = np.arange(len(truth) + 1)
    row = np.zeros(len(truth) + 1, int)
    for i, char in enumerate(text, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(char)))
        row = np.minimum.accumulate(np.concatenate(([i], best)) - columns) + columns
    return int(row.min())


def errors_in(text, truth):
    """The distance to the part of the truth that is nearest, looked for wherever a piece of the text occurs."""
    places = set()
    for start in range(0, len(text) - 12, max(1, len(text) // 8)):
        found = truth.find(text[start : start + 12])
        while found >= 0 and len(places) < 40:
            places.add((found - start) // 50 * 50)
            found = truth.find(text[start : start + 12], found + 1)
    parts = [truth[max(0, place - 50) : place + len(text) + 100] for place in places]
    return min((distance_to_part(text, part) for part in parts), default=len(text))


@pytest.mark.parametrize(
    ("manual", "numbers", "spaces"),
    [("install.ru", (21, 22), True), ("install.zh_CN", (21, 22), False)],
    ids=["Russian", "Chinese"],
)
def test_born_digital_pages_are_read_without_errors(half, manual, numbers, spaces):
    source = document(f"public/debian/gt/{manual}.utf8.txt").read_text()
    truth = comparable(_TITLES.sub(lambda match: match[1] or match[2], source), spaces=spaces)
    errors = size = 0
    for number in numbers:
        result = read(half, document(f"public/debian/{manual}.pdf"), number)
        assert result.text.source == "layer"
        assert "recognize" not in result.timings
        assert result.score == 1.0
        blocks = [comparable(b.content, spaces=spaces) for b in result.blocks if b.label in ("text", "paragraph_title")]
        for block in (block for block in blocks if len(block) > 30):
            errors += errors_in(block, truth)
            size += len(block)
    assert size > 1500
    assert errors / size < 0.005, f"{errors} errors in {size} characters"


# --- layer and OCR give the same kind of page ---


def test_a_page_has_the_same_blocks_whichever_way_it_was_read(half):
    layer = read(half, EXAMPLES / "two-columns.pdf")
    ocr = read(half, EXAMPLES / "two-columns.pdf", text="ocr")
    assert (layer.text.source, ocr.text.source) == ("layer", "ocr")
    assert ocr.text.doubt is None
    titles = [[b.content for b in page.blocks if b.label == "doc_title"] for page in (layer, ocr)]
    assert titles[0] == titles[1] != []
    words = [re.findall(r"\w+", text_of(page).lower()) for page in (layer, ocr)]
    assert len(words[0]) > 200
    assert abs(len(words[0]) - len(words[1])) < 0.05 * len(words[0])
    assert words[0][:40] == words[1][:40] or len(set(words[0]) & set(words[1])) > 0.85 * len(set(words[0]))


def test_a_page_on_its_side_is_set_upright_by_its_layer(half):
    result = read(half, document("public/allenai+olmocr/edgar-rotated90.pdf"))
    assert result.text.source == "layer"
    assert result.image.rotation == 270
    assert result.image.width < result.image.height
    assert "Edgar" in text_of(result)


# --- what auto refuses ---


PROSE = "The quick brown dog jumped over the lazy fox on a sunny day in the park"


def scan_of(folder, draw_over=lambda canvas, lines: None):
    """A scan of a page of prose: its picture, and what is drawn over it with the lines it shows."""

    def prose(canvas):
        for row in range(12):
            canvas.drawString(60, 740 - 18 * row, f"{PROSE} {row + 1}")

    page = rendered(written(folder, drawn(prose)))
    lines = text_lines(seen(page.text_layer().glyphs, page.pixels, page.info.dpi).drawn)

    def draw(canvas):
        canvas.drawImage(ImageReader(page.pixels), 0, 0, *A4)
        draw_over(canvas, lines)

    return written(folder, drawn(draw))


def overlaid(change):
    """Invisible text line by line, as programs for scanned documents put it there."""

    def draw(canvas, lines):
        for line in lines:
            (x, _), _, (x1, _), (_, y) = line.corners
            text = canvas.beginText(x * 72 / DPI, A4[1] - y * 72 / DPI + 2)
            text.setTextRenderMode(3)
            width = (x1 - x) * 72 / DPI
            text.setHorizScale(100 * width / canvas.stringWidth(line.text, "Helvetica", 12))
            text.textOut(change(line.text))
            canvas.drawText(text)

    return draw


def test_a_scan_with_a_stamp_is_read_by_ocr_and_says_why(half, tmp_path):
    path = scan_of(tmp_path, lambda canvas, _: canvas.drawString(20, 10, "ACME-000123"))
    result = read(half, path)
    assert (result.text.source, result.text.doubt.code) == ("ocr", "incomplete")
    assert "jumped over the lazy fox on a sunny day" in text_of(result).replace("\n", " ")


def test_a_scans_good_layer_is_used(half, tmp_path):
    result = read(half, scan_of(tmp_path, overlaid(lambda text: text)))
    assert result.text.source == "layer", result.text
    assert "jumped over the lazy fox on a sunny day" in text_of(result).replace("\n", " ")


def test_a_scans_poor_layer_is_not(half, tmp_path):
    poor = str.maketrans("aeorsn", "o3a1zu")
    result = read(half, scan_of(tmp_path, overlaid(lambda text: text.translate(poor))))
    assert (result.text.source, result.text.doubt.code) == ("ocr", "scan_layer")


def test_a_font_that_says_something_else_than_it_shows_is_found_out(half, tmp_path):
    """Letters moved by one, as in fonts whose table was made for another."""
    shifted = mapped_font(**{chr(code): chr(code + 1) for code in range(ord("A"), ord("z"))})
    content = b"BT /F2 14 Tf 20 150 Td (The invoice is due on Monday) Tj 0 -30 Td (Thank you for your order) Tj ET"
    result = read(half, written(tmp_path, raw_pdf(content, objects=shifted)))
    assert (result.text.source, result.text.doubt.code) == ("ocr", "mismatch")
    assert "invoice is due" in text_of(result)


def test_fonts_without_a_table_are_found_out_in_the_wild(half):
    result = read(half, document("public/ocrmypdf+OCRmyPDF/truetype_font_nomapping.pdf"))
    assert (result.text.source, result.text.doubt.code) == ("ocr", "mismatch")


# --- what is seen and what is not ---


def test_hidden_text_reaches_neither_markdown_nor_json(half):
    result = read(half, document("public/docling-project+docling/invisible_text_layer.pdf"), text="layer")
    assert text_of(result) == "Visible heading line"
    assert result.text.hidden == 21
    assert [warning.code for warning in result.warnings] == ["hidden_text"]


def test_text_in_a_picture_of_a_born_digital_page_is_read_too(half, tmp_path):
    """Most of the page is text; its picture holds a word that no layer has."""
    sign = open_document(
        written(tmp_path, drawn(lambda canvas: canvas.drawString(10, 10, "WARNING SIGN"), (110, 30))),
        "application/pdf", max_pixels=CAP,
    ).render(1, 300, CAP).pixels  # fmt: skip

    def draw(canvas):
        for row in range(25):
            canvas.drawString(72, 780 - 15 * row, "An ordinary line of text that everybody can read.")
        canvas.drawImage(ImageReader(sign), 72, 150, 330, 90)

    result = read(half, written(tmp_path, drawn(draw)))
    assert (result.text.source, result.text.ocr_lines) == ("layer", 1)
    assert "WARNING SIGN" in text_of(result)


# --- only the layer ---


def test_only_the_layer_of_a_page_without_one_is_an_error_and_of_a_blank_one_is_empty(half, tmp_path):
    with pytest.raises(TextLayerMissing, match="ask for text=auto or text=ocr"):
        read(half, scan_of(tmp_path), text="layer")
    assert read(half, written(tmp_path, drawn(lambda canvas: None)), text="layer").blocks == ()


def test_only_the_layer_of_an_image_is_an_error(half):
    page = rendered(EXAMPLES / "two-columns.pdf")
    image = RenderedPage(1, page.pixels, page.info)
    with pytest.raises(TextLayerMissing, match="images have no text layer"):
        half.recognize(image, PageOptions(text="layer"))
    plate = Image.new("RGB", (300, 300), "white")
    plate.paste((120, 10, 10), (50, 50, 250, 250))
    info = page.info.model_copy(update={"width": 300, "height": 300})
    assert half.recognize(RenderedPage(1, plate, info), PageOptions(text="layer")).result.text.source == "layer"


# --- listings


def test_a_listing_keeps_its_lines_and_indents(half):
    result = read(half, document("public/docling-project+docling/code_and_formula.pdf"))
    code = [block.content for block in result.blocks if block.label == "algorithm"]
    assert code == ["function add(a, b) {\n    return a + b;\n}\nconsole.log(add(3, 5));"]
    assert "\n```\n" + code[0] + "\n```\n" in page_markdown(result)
