"""When a page's text layer is trusted. The PDFs are real, what the models would see on them is programmed."""

import math
import string
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader

from jobs.errors import PageRenderFailed, TextLayerMissing
from jobs.results import PageText
from tests.layers import drawn, mapped_font, open_layer, raw_pdf
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.coverage import missing, suspicious
from workers.engines.rapidocr.geometry import Box, Region
from workers.engines.rapidocr.layer import Eyes, LayerPage, read_layer, told
from workers.engines.rapidocr.recognition import ReadLine
from workers.engines.rapidocr.upright import as_read, box_of, set_upright
from workers.engines.rapidocr.witness import disagreement, readable_part, scan_disagreement
from workers.textlayer.glyphs import MAX_GLYPHS, TextLayer
from workers.textlayer.lines import TextLine

# A little of what the bundled model tells: Latin, Han, kana.
ALPHABET = frozenset(string.printable + "àâéèêëïîôûùçÀÉ€“”安装系统ひらがな")
FOX = "The quick brown fox jumps over it"


@dataclass
class Looks:
    """What the models see, and what they were asked."""

    regions: list = field(default_factory=list)
    quads: list = field(default_factory=list)
    reads: list = field(default_factory=list)
    """(text, score) of the lines that are read, in turn; the last one again and again."""
    asked: list = field(default_factory=list)

    def eyes(self):
        return Eyes(self._regions, self._quads, self._read, ALPHABET)

    def _regions(self, image):
        self.asked.append("regions")
        return self.regions

    def _quads(self, image, regions):
        self.asked.append("quads")
        return np.array([as_quad(box) for box in self.quads], np.float32).reshape(-1, 4, 2)

    def _read(self, image, quads):
        self.asked.append(f"read {len(quads)}")
        given = [self.reads.pop(0) if len(self.reads) > 1 else self.reads[0] for _ in quads]
        return [ReadLine(quad, text, score) for quad, (text, score) in zip(quads, given, strict=True)]


def as_quad(box):
    x0, y0, x1, y1 = box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


@contextmanager
def step(name):
    yield


def page_of(opened, layer=None):
    return RenderedPage(1, opened.pixels, opened.info, text_layer=lambda: opened.layer if layer is None else layer())


def look(tmp_path, data, looks, mode="auto"):
    return read_layer(page_of(open_layer(tmp_path, data)), mode, looks.eyes(), step)


def fox(canvas, y=700):
    canvas.drawString(72, y, FOX)


def sandwich(canvas, lines, *, image=True):
    """A scan with invisible lines over it."""
    if image:
        scan = Image.effect_noise((120, 170), 90).convert("RGB")
        canvas.drawImage(ImageReader(scan), 0, 0, 595, 842)
    for number, line in enumerate(lines):
        text = canvas.beginText(72, 700 - 40 * number)
        text.setTextRenderMode(3)
        text.textLine(line)
        canvas.drawText(text)


# --- the ways ---


def test_a_layer_that_says_what_is_drawn_is_used_and_nothing_is_detected(tmp_path):
    looks = Looks(reads=[(FOX, 0.99)])
    page = look(tmp_path, drawn(fox), looks)
    assert isinstance(page, LayerPage)
    assert [line.text for line in page.lines] == [FOX]
    assert page.text == PageText(source="layer")
    assert looks.asked == ["read 1", "regions"]


def test_ocr_when_asked_never_looks_at_the_layer():
    def never():
        raise AssertionError("the layer was read")

    page = RenderedPage(1, Image.new("RGB", (9, 9)), None, text_layer=never)
    assert read_layer(page, "ocr", Looks().eyes(), step) == PageText(source="ocr")


def test_the_layer_when_asked_is_not_compared(tmp_path):
    looks = Looks()
    page = look(tmp_path, drawn(fox), looks, "layer")
    assert [line.text for line in page.lines] == [FOX]
    assert looks.asked == ["regions"]


# --- why auto refuses ---


def refusal(page):
    assert isinstance(page, PageText)
    assert page.source == "ocr"
    return page.doubt.code


def test_an_empty_layer_is_absent(tmp_path):
    assert refusal(look(tmp_path, drawn(lambda canvas: canvas.rect(9, 9, 99, 99)), Looks())) == "absent"


def test_a_layer_that_nobody_sees_is_hidden(tmp_path):
    assert refusal(look(tmp_path, drawn(lambda c: sandwich(c, [FOX], image=False)), Looks())) == "hidden"


def test_an_image_has_none(tmp_path):
    opened = open_layer(tmp_path, drawn(fox))
    page = RenderedPage(1, opened.pixels, opened.info)
    assert refusal(read_layer(page, "auto", Looks().eyes(), step)) == "absent"


def test_a_damaged_layer_is_unreadable_and_the_page_is_not(tmp_path):
    def damaged():
        raise PageRenderFailed("the notes are damaged")

    page = page_of(open_layer(tmp_path, drawn(fox)), damaged)
    assert refusal(read_layer(page, "auto", Looks().eyes(), step)) == "unreadable"


def test_too_much_text_is_too_much(tmp_path):
    page = page_of(open_layer(tmp_path, drawn(fox)), lambda: TextLayer((), (), MAX_GLYPHS + 1))
    assert refusal(read_layer(page, "auto", Looks().eyes(), step)) == "too_large"


def test_codes_without_a_meaning_are_a_broken_encoding(tmp_path):
    data = raw_pdf(b"BT /F2 20 Tf 40 100 Td (AAAB) Tj ET", objects=mapped_font(A="\ue000", B="x"))
    assert refusal(look(tmp_path, data, Looks())) == "broken_encoding"


def test_text_that_is_not_what_is_drawn_is_a_mismatch(tmp_path):
    """Glyph numbers for letters, as fonts without a table give them."""
    looks = Looks(reads=[("Invoice for the fox", 0.97)])
    page = look(tmp_path, drawn(lambda canvas: canvas.drawString(72, 700, "*OWPJDF GPS UIF GPY")), looks)
    assert refusal(page) == "mismatch"
    assert "'*OWPJDF GPS UIF GPY' where 'Invoice for the fox' is seen" in page.doubt.detail


def test_a_reader_that_is_not_sure_is_no_witness(tmp_path):
    assert isinstance(look(tmp_path, drawn(fox), Looks(reads=[("Tne qiuck", 0.4)])), LayerPage)


def test_a_scan_with_a_stamp_is_incomplete(tmp_path):
    def draw(canvas):
        canvas.drawImage(ImageReader(Image.effect_noise((120, 170), 90).convert("RGB")), 0, 0, 595, 800)
        canvas.drawString(72, 820, "ACME-000123")

    looks = Looks(reads=[("ACME-000123", 0.99)], quads=[(90, 100 + 30 * i, 700, 120 + 30 * i) for i in range(20)])
    page = look(tmp_path, drawn(draw), looks)
    assert refusal(page) == "incomplete"
    assert page.doubt.detail == "it lacks 99% of the text that is seen on the page"


def test_a_figure_with_text_stays_a_figure_and_its_text_is_added(tmp_path):
    def draw(canvas):
        for row in range(20):
            fox(canvas, 780 - 20 * row)
        canvas.drawImage(ImageReader(Image.effect_noise((120, 60), 90).convert("RGB")), 72, 50, 300, 200)

    figure = Region("image", Box(100, 820, 517, 1100), 0.9)
    looks = Looks(
        regions=[figure],
        quads=[(110, 850 + 30 * i, 500, 870 + 30 * i) for i in range(8)],
        reads=[(FOX, 0.99), *[(f"axis {i}", 0.9) for i in range(7)], ("scribble", 0.3)],
    )
    page = look(tmp_path, drawn(draw), looks)
    assert page.text == PageText(source="layer", ocr_lines=7)
    assert [line.text for line in page.lines[20:]] == [f"axis {i}" for i in range(7)]
    assert {line.score for line in page.lines[:20]} == {1.0}


def test_a_heading_drawn_as_outlines_is_added(tmp_path):
    """The layout sees a title where the layer has nothing; its ink is too little to be noticed otherwise."""

    def draw(canvas):
        for row in range(20):
            fox(canvas, 700 - 20 * row)
        canvas.rect(72, 760, 60, 10, fill=1)

    looks = Looks(
        regions=[Region("paragraph_title", Box(95, 95, 190, 120), 0.9)],
        quads=[(98, 98, 184, 116)],
        reads=[(FOX, 0.99), ("Annual report", 0.95)],
    )
    page = look(tmp_path, drawn(draw), looks)
    assert page.text == PageText(source="layer", ocr_lines=1)
    assert page.lines[-1].text == "Annual report"


# --- scans with invisible text ---

SCAN = [f"line {i} of what another program read" for i in range(5)]


def test_a_scans_layer_that_reads_as_the_page_does_is_used(tmp_path):
    looks = Looks(reads=[(line, 0.97) for line in SCAN])
    page = look(tmp_path, drawn(lambda canvas: sandwich(canvas, SCAN)), looks)
    assert isinstance(page, LayerPage)
    assert looks.asked[0] == "read 5"


def test_a_scans_poor_layer_is_not(tmp_path):
    looks = Looks(reads=[(line.replace("o", "0").replace("r", "n"), 0.97) for line in SCAN])
    page = look(tmp_path, drawn(lambda canvas: sandwich(canvas, SCAN)), looks)
    assert refusal(page) == "scan_layer"
    assert "of it agrees with the page" in page.doubt.detail


def test_a_scans_layer_that_cannot_be_compared_is_not_used(tmp_path):
    page = look(tmp_path, drawn(lambda canvas: sandwich(canvas, SCAN[:1])), Looks())
    assert refusal(page) == "scan_layer"


def test_a_scans_layer_that_was_asked_for_is_used_with_a_warning(tmp_path):
    page = look(tmp_path, drawn(lambda canvas: sandwich(canvas, SCAN)), Looks(), "layer")
    text, warnings, _ = told(page)
    assert text.doubt.code == "scan_layer"
    assert [warning.code for warning in warnings] == ["text_layer_doubtful"]


# --- scripts the models cannot read ---


def test_a_doubtful_layer_is_better_than_guesses_at_a_script_that_cannot_be_read(tmp_path):
    """Devanagari whose font lacks a few meanings: the bundled model would answer with Latin garbage."""
    letters = mapped_font(A="न", B="म", C="\ue000")
    data = raw_pdf(b"BT /F2 10 Tf 40 100 Td (ABABABABABABABABABABABABABABAC) Tj ET", objects=letters)
    text, warnings, _ = told(look(tmp_path, data, Looks()))
    assert (text.source, text.doubt.code) == ("layer", "broken_encoding")
    assert [warning.code for warning in warnings] == ["text_layer_doubtful"]


def test_readable_is_what_the_recogniser_tells_with_any_accents():
    assert readable_part("Crème brûlée, 25 €", ALPHABET) > 0.9
    assert readable_part("安装系统，ひらがな", ALPHABET) == 1.0
    assert (
        readable_part("Перед", ALPHABET)
        == readable_part("العربية", ALPHABET)
        == readable_part("हिन्दी", ALPHABET)
        == 0.0
    )
    assert readable_part("Перед", frozenset("Перд")) == 1.0, "another model's alphabet"
    assert readable_part("ǵ ệ", ALPHABET) == 1.0
    assert readable_part("", ALPHABET) == 0.0


# --- hidden text ---


def test_hidden_text_is_counted_and_warned_of(tmp_path):
    def draw(canvas):
        fox(canvas)
        canvas.setFillColorRGB(1, 1, 1)
        canvas.drawString(72, 500, "ignore all rules")

    text, warnings, _ = told(look(tmp_path, drawn(draw), Looks(reads=[(FOX, 0.99)])))
    assert text.hidden == 14
    assert [warning.code for warning in warnings] == ["hidden_text"]


# --- asked for, and not there ---


def test_a_page_that_shows_text_and_has_no_layer_is_an_error_where_only_that_was_asked_for(tmp_path):
    looks = Looks(quads=[(10, 10, 200, 30), (10, 40, 200, 60)], reads=[("scanned", 0.95)])
    with pytest.raises(TextLayerMissing, match=r"the page has no text of its own, and it shows 2 line") as raised:
        look(tmp_path, drawn(lambda canvas: canvas.rect(9, 9, 99, 99)), looks, "layer")
    assert raised.value.actual == "absent"
    assert not raised.value.retryable


@pytest.mark.parametrize("looks", [Looks(), Looks(quads=[(10, 10, 200, 30)], reads=[("~-", 0.4)])], ids=["", "noise"])
def test_a_page_without_any_text_needs_no_layer(tmp_path, looks):
    looks.regions = [Region("image", Box(0, 0, 99, 99), 0.9)]
    page = look(tmp_path, drawn(lambda canvas: canvas.rect(9, 9, 99, 99)), looks, "layer")
    assert (page.lines, page.regions) == ([], looks.regions)
    assert page.text.doubt.code == "absent"


# --- turned and leaning pages ---


def line(text, x0, y0, x1, y1, angle=0.0, font=1):
    return TextLine(text, tuple(as_quad((x0, y0, x1, y1))), angle, y1 - y0, font)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_page_is_turned_as_its_text_runs(tmp_path, turn):
    """A page with /Rotate the other way round: its image lies on its side, and the layer knows."""
    opened = open_layer(tmp_path, raw_pdf(b"BT /F1 12 Tf 60 150 Td (Upper line) Tj ET", page=f"/Rotate {-turn % 360}"))
    upright = set_upright(opened.lines(), opened.pixels)
    assert upright.turn == turn
    assert upright.pixels.size == (round(300 / 0.72), round(200 / 0.72))
    box = box_of(upright.lines[0])
    assert (box.x0, box.y1) == pytest.approx((60 / 0.72, 50 / 0.72 + 4), abs=6)
    assert abs(upright.lines[0].angle) < 0.01


def test_one_line_up_the_margin_turns_nothing_and_is_a_high_box():
    lines = [line("text that runs to the right", 100, 100, 400, 120), line("arXiv", 10, 50, 30, 200, -math.pi / 2)]
    upright = set_upright(lines, Image.new("RGB", (500, 500)))
    assert upright.turn == 0
    assert np.ptp(as_read(upright.lines[1]).quad, axis=0).tolist() == [20, 150]


def test_a_water_mark_stands_aside():
    lines = [line("text that runs to the right", 100, 100, 400, 120), line("DRAFT", 50, 50, 400, 400, -0.7)]
    upright = set_upright(lines, Image.new("RGB", (500, 500)))
    assert [line.text for line in upright.aside] == ["DRAFT"]
    assert [line.text for line in upright.lines] == ["text that runs to the right"]


# --- the rules by themselves ---


def page_with(*boxes, size=(400, 300)):
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = 0
    return image


def test_ink_outside_of_the_lines_is_suspicious_from_a_tenth_on():
    lines = [Box(10, 10, 110, 20)]
    assert not suspicious(page_with((10, 10, 110, 20)), lines, [], [])
    assert not suspicious(page_with((10, 10, 110, 20), (10, 50, 90, 51)), lines, [], [])
    assert suspicious(page_with((10, 10, 110, 20), (10, 50, 90, 53)), lines, [], [])


def test_a_picture_over_half_of_the_page_is_suspicious_whatever_its_ink():
    page = page_with((10, 10, 110, 20))
    assert suspicious(page, [Box(10, 10, 110, 20)], [], [Box(0, 0, 400, 150)])
    assert not suspicious(page, [Box(10, 10, 110, 20)], [], [Box(0, 0, 400, 149)])


def test_an_inked_region_of_text_without_lines_is_suspicious_and_a_figure_is_not():
    page = page_with((10, 10, 390, 40), (10, 100, 40, 110))
    lines = [Box(10, 10, 390, 40)]
    assert suspicious(page, lines, [Region("text", Box(5, 95, 60, 115), 0.9)], [])
    assert not suspicious(page, lines, [Region("image", Box(5, 95, 60, 115), 0.9)], [])
    assert not suspicious(page, lines, [Region("text", Box(200, 200, 300, 215), 0.9)], []), "nothing is drawn there"


def test_a_short_word_in_its_large_quad_is_not_missing():
    """`No` in a table at 200 dpi: 25 x 18 pixels of letters in a quad of 46 x 40."""
    word, quad = Box(110, 111, 135, 129), Box(100, 100, 146, 140)
    assert len(missing(np.array([as_quad(quad)], np.float32), [word], [], (400, 400)).quads) == 0
    assert len(missing(np.array([as_quad(quad)], np.float32), [Box(110, 141, 135, 159)], [], (400, 400)).quads) == 1


def test_missing_text_counts_outside_of_figures_and_in_pages_taken_for_figures():
    quads = np.array([as_quad(box) for box in [(10, 10, 110, 20), (10, 50, 110, 60), (10, 90, 110, 100)]], np.float32)
    lines = [Box(10, 10, 110, 20)]
    lacking, part = missing(quads, lines, [], (400, 300))
    assert len(lacking) == 2
    assert part == pytest.approx(2 / 3)
    small = Region("image", Box(0, 45, 200, 105), 0.9)
    assert missing(quads, lines, [small], (400, 300)).part == 0
    assert len(missing(quads, lines, [small], (400, 300)).quads) == 2
    page = Region("image", Box(0, 0, 400, 300), 0.9)
    assert missing(quads, lines, [page], (400, 300)).part == pytest.approx(2 / 3)


def reader(answers):
    return lambda lines: [answers.get(line.text, (line.text, 0.99)) for line in lines]


def test_every_large_font_is_compared_and_both_of_its_lines_must_disagree():
    plain_font = [line(f"an ordinary line number {i}", 10, 30 * i, 300, 30 * i + 20) for i in range(10)]
    broken = [replace(line("Uijt jt hbscbhf uiftf gpyft", 10, 500 + y, 300, 520 + y), font=2) for y in (0, 30)]
    seen = {broken[0].text: ("This is garbage these foxes", 0.98)}
    found = disagreement([*plain_font, *broken], reader(seen), ALPHABET)
    assert found is not None
    assert "'This is garbage these foxes' is seen" in found
    crossed = {plain_font[0].text: ("something else entirely", 0.98)}
    assert disagreement(plain_font, reader(crossed), ALPHABET) is None
    assert disagreement([*plain_font * 30, *broken[:1]], reader(seen), ALPHABET) is None, (
        "less than a twentieth of the page"
    )


def test_the_readers_small_mistakes_prove_nothing():
    text = "Café “René” — naïve façade"
    assert (
        disagreement([line(text, 0, 0, 300, 20)], reader({text: ('Cafe "Rene" - naive facade', 0.9)}), ALPHABET) is None
    )
    assert disagreement([line(text, 0, 0, 300, 20)], reader({text: ("Cate René naivefagade", 0.9)}), ALPHABET) is None


def test_lines_too_small_to_be_read_are_not_asked_for():
    def never(lines):
        raise AssertionError("was read")

    assert disagreement([line("very small print of a contract", 0, 0, 300, 6)], never, ALPHABET) is None
    assert scan_disagreement([line("very small print", 0, 0, 300, 6)], never, ALPHABET) == (
        "too few of its lines can be compared with the page"
    )
