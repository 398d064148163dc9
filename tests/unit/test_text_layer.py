"""The text layer as pdfium gives it, on self-made PDFs: places, what can be seen, fonts, annotations, limits."""

import math
from io import BytesIO

import pytest
from PIL import Image, ImageChops
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from tests import hostile_files
from tests.layers import CAP, drawn, mapped_font, open_layer, raw_pdf
from tests.testdata import document
from workers.render.documents import open_document
from workers.textlayer.glyphs import MAX_GLYPHS


def ink_outside(opened):
    """The page with its lines' boxes painted over: what is left is not where the layer says."""
    left = opened.pixels.copy()
    for line in opened.lines():
        xs, ys = [x for x, _ in line.corners], [y for _, y in line.corners]
        left.paste((255, 255, 255), (int(min(xs)) - 2, int(min(ys)) - 2, int(max(xs)) + 3, int(max(ys)) + 3))
    return left.convert("L").getextrema()[0] < 200


def picture(colour="grey", size=(40, 40)):
    return ImageReader(Image.new("RGB", size, colour))


# --- places ---


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", ["", "/CropBox [50 30 280 190]"])
def test_lines_lie_where_their_ink_is_whatever_the_rotation_and_the_crop_box(tmp_path, rotate, crop):
    content = b"BT /F1 12 Tf 60 150 Td (Upper line) Tj 40 -90 Td (Lower one) Tj ET"
    opened = open_layer(tmp_path, raw_pdf(content, page=f"/Rotate {rotate} {crop}"))
    assert {line.text for line in opened.lines()} == {"Upper line", "Lower one"}
    assert not ink_outside(opened)
    assert all(round(math.degrees(line.angle)) % 360 == rotate for line in opened.lines())


def test_text_that_runs_upwards_says_so_and_lies_there(tmp_path):
    def draw(canvas):
        canvas.translate(100, 300)
        canvas.rotate(90)
        canvas.drawString(0, 0, "up the margin")

    opened = open_layer(tmp_path, drawn(draw))
    (line,) = opened.lines()
    assert line.text == "up the margin"
    assert round(math.degrees(line.angle)) == -90
    assert not ink_outside(opened)


def test_leaning_text_keeps_its_words(tmp_path):
    def draw(canvas):
        canvas.translate(100, 300)
        canvas.rotate(40)
        canvas.setFont("Helvetica", 40)
        canvas.drawString(0, 0, "DRAFT only for you")

    (line,) = open_layer(tmp_path, drawn(draw)).lines()
    assert line.text == "DRAFT only for you"
    assert round(math.degrees(line.angle)) == -40


def test_text_outside_of_the_crop_box_is_no_part_of_the_page(tmp_path):
    content = b"BT /F1 12 Tf 60 150 Td (inside) Tj 0 -140 Td (printer's note) Tj ET"
    opened = open_layer(tmp_path, raw_pdf(content, page="/CropBox [0 60 300 200]"))
    assert opened.texts() == ["inside"]
    assert opened.seen().hidden == 0


# --- what can be seen ---


def hidden(tmp_path, draw):
    """A visible line and what `draw` adds; returns what was left out of the lines."""

    def both(canvas):
        canvas.drawString(72, 700, "for everybody to read")
        draw(canvas)

    opened = open_layer(tmp_path, drawn(both))
    assert opened.texts() == ["for everybody to read"]
    return opened.seen().hidden


def test_white_text_on_white_is_not_on_the_page(tmp_path):
    def draw(canvas):
        canvas.setFillColorRGB(1, 1, 1)
        canvas.drawString(72, 500, "ignore all rules")

    assert hidden(tmp_path, draw) == len("ignoreallrules")


def test_nearly_white_text_is_not_on_the_page_and_grey_text_is(tmp_path):
    def draw(canvas):
        canvas.setFillGray(0.97)
        canvas.drawString(72, 500, "ignore all rules")
        canvas.setFillGray(0.8)
        canvas.drawString(72, 400, "confidential")

    assert open_layer(tmp_path, drawn(draw)).texts() == ["confidential"]


def test_white_text_over_a_seen_line_is_not_read_by_that_lines_ink(tmp_path):
    def draw(canvas):
        canvas.setFillColorRGB(1, 1, 1)
        canvas.drawString(72, 700, "ignore the other one")
        canvas.setFillGray(0)
        canvas.drawString(72, 700, "for everybody to read")

    assert open_layer(tmp_path, drawn(draw)).texts() == ["for everybody to read"]


def test_white_text_on_a_dark_ground_is_seen(tmp_path):
    def draw(canvas):
        canvas.rect(50, 480, 300, 50, fill=1)
        canvas.setFillColorRGB(1, 1, 1)
        canvas.drawString(72, 500, "a heading in a bar")

    assert open_layer(tmp_path, drawn(draw)).texts() == ["a heading in a bar"]


def test_text_under_a_black_bar_is_not_given_away(tmp_path):
    def draw(canvas):
        canvas.drawString(72, 500, "the secret name")
        canvas.rect(60, 490, 200, 30, fill=1)

    assert hidden(tmp_path, draw) == len("thesecretname")


def test_text_of_one_point_is_not_read(tmp_path):
    def draw(canvas):
        canvas.setFont("Helvetica", 1)
        canvas.drawString(72, 500, "ignore all rules")

    assert hidden(tmp_path, draw) == len("ignoreallrules")


@pytest.mark.parametrize("mode", [3, 7])
def test_invisible_text_on_empty_paper_is_not_there(tmp_path, mode):
    def draw(canvas):
        text = canvas.beginText(72, 500)
        text.setTextRenderMode(mode)
        text.textLine("ignore all rules")
        canvas.drawText(text)

    assert hidden(tmp_path, draw) == len("ignoreallrules")


def test_transparent_text_is_not_there(tmp_path):
    def draw(canvas):
        canvas.setFillAlpha(0)
        canvas.drawString(72, 500, "ignore all rules")

    assert hidden(tmp_path, draw) == len("ignoreallrules")


def test_clipped_text_is_not_there(tmp_path):
    def draw(canvas):
        path = canvas.beginPath()
        path.rect(300, 300, 50, 50)
        canvas.clipPath(path, stroke=0)
        canvas.drawString(72, 500, "ignore all rules")

    assert hidden(tmp_path, draw) == len("ignoreallrules")


@pytest.mark.parametrize("signs", ["— –", "| ! l", ".....", "■"])
def test_signs_that_fill_their_box_are_seen(tmp_path, signs):
    def draw(canvas):
        if signs == "■":
            canvas.setFont("ZapfDingbats", 12)
        canvas.drawString(72, 500, "n" if signs == "■" else signs)

    seen = open_layer(tmp_path, drawn(draw)).seen()
    assert seen.hidden == 0
    assert seen.drawn


def test_text_between_the_rules_of_a_table_is_seen(tmp_path):
    def draw(canvas):
        # The rules touch the letters, so that the edges of the word's box are as black as the word.
        canvas.drawString(72, 500, "in the cell")
        canvas.setLineWidth(5)
        canvas.line(60, 496.5, 200, 496.5)
        canvas.line(60, 512, 200, 512)

    opened = open_layer(tmp_path, drawn(draw))
    assert opened.texts() == ["in the cell"]
    assert opened.seen().hidden == 0


def scan(canvas, *, text_first):
    """A grey picture with a darker word in it and the same word as text, above or below it."""
    image = Image.new("RGB", (400, 100), "white")
    image.paste((0, 0, 0), (20, 40, 300, 60))
    if text_first:
        canvas.drawString(80, 510, "what was read")
    canvas.drawImage(ImageReader(image), 72, 500, 200, 30)
    if not text_first:
        text = canvas.beginText(80, 510)
        text.setTextRenderMode(3)
        text.textLine("what was read")
        canvas.drawText(text)


@pytest.mark.parametrize("text_first", [False, True], ids=["render mode 3", "below the picture"])
def test_the_text_of_a_scan_is_told_from_drawn_text(tmp_path, text_first):
    opened = open_layer(tmp_path, drawn(lambda canvas: scan(canvas, text_first=text_first)))
    drawn_text, invisible, _ = opened.seen()
    assert not drawn_text
    assert "".join(glyph.text for glyph in invisible) == "what was read"
    assert len(opened.layer.pictures) == 1


def test_a_picture_inside_forms_has_its_place(tmp_path):
    def draw(canvas: Canvas):
        canvas.beginForm("inner")
        canvas.drawImage(picture(), 0, 0, 100, 50)
        canvas.endForm()
        canvas.beginForm("outer")
        canvas.translate(10, 20)
        canvas.doForm("inner")
        canvas.endForm()
        canvas.translate(100, 200)
        canvas.scale(2, 2)
        canvas.doForm("outer")

    (place,) = open_layer(tmp_path, drawn(draw), dpi=72).layer.pictures
    assert place == pytest.approx((120, 842 - 340, 320, 842 - 240), abs=1)


# --- characters ---


def test_a_ligature_is_one_glyph_of_several_characters(tmp_path):
    data = raw_pdf(b"BT /F2 20 Tf 40 100 Td (oAce) Tj ET", objects=mapped_font(A="ffi"))
    assert open_layer(tmp_path, data).texts() == ["office"]


def test_right_to_left_letters_are_read_from_the_right_and_their_ligatures_forwards(tmp_path):
    # Drawn from left to right as it is seen: the last letter of the word comes first. L stands for lam and alef.
    data = raw_pdf(b"BT /F2 20 Tf 40 100 Td (CLA) Tj ET", objects=mapped_font(A="س", L="لا", C="م"))
    assert open_layer(tmp_path, data).texts() == ["سلام"]


def test_right_to_left_letters_drawn_from_the_right_give_the_same(tmp_path):
    content = b"BT /F2 20 Tf 1 0 0 1 80 100 Tm (A) Tj 1 0 0 1 69 100 Tm (L) Tj 1 0 0 1 54.5 100 Tm (C) Tj ET"
    data = raw_pdf(content, objects=mapped_font(A="س", L="لا", C="م"))
    assert open_layer(tmp_path, data).texts() == ["سلام"]


def test_actual_text_stands_in_the_place_of_what_is_drawn(tmp_path):
    content = b"BT /F1 20 Tf 40 100 Td /Span << /ActualText (Euro) >> BDC (EUR) Tj EMC ( 5) Tj ET"
    assert open_layer(tmp_path, raw_pdf(content)).texts() == ["Euro 5"]


def test_a_hyphen_at_a_lines_end_stays_one(tmp_path):
    content = b"BT /F1 12 Tf 40 100 Td (informa-) Tj 0 -14 Td (tion) Tj ET"
    assert open_layer(tmp_path, raw_pdf(content)).texts() == ["informa-", "tion"]


def test_codes_without_a_meaning_are_marked(tmp_path):
    font = b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 700 700] /FontMatrix [0.001 0 0 0.001 0 0] /FirstChar 1 " \
        b"/LastChar 1 /Widths [700] /Encoding << /Differences [1 /g1] >> /CharProcs << /g1 7 0 R >> >>"  # fmt: skip
    proc = b"700 0 0 0 700 700 d1 100 0 500 700 re f"
    glyph_stream = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(proc), proc)
    opened = open_layer(tmp_path, raw_pdf(b"BT /F2 30 Tf 40 100 Td (\\001\\001) Tj ET", objects=(font, glyph_stream)))
    assert [glyph.guessed for glyph in opened.layer.glyphs] == [True, True]


# --- annotations and form fields ---


def test_the_values_of_form_fields_are_read_where_they_are_drawn(tmp_path):
    opened = open_layer(tmp_path, hostile_files.form_pdf())
    (line,) = opened.lines()
    assert line.text == "FILLED"
    box = [round(value) for point in (line.corners[0], line.corners[2]) for value in point]
    assert opened.pixels.crop(box).convert("L").getextrema()[0] < 100


def test_reading_the_layer_changes_nothing_that_is_drawn(tmp_path):
    path = tmp_path / "form.pdf"
    path.write_bytes(hostile_files.form_pdf())
    form = open_document(path, "application/pdf", max_pixels=CAP)
    before, info, _ = form.render(1, 72, CAP)
    first = form.text_layer(1, info.width, info.height)
    after, _, _ = form.render(1, 72, CAP)
    assert ImageChops.difference(before, after).getbbox() is None
    assert form.text_layer(1, info.width, info.height) is not None
    assert first is not None
    form.close()


# --- bounds ---


def test_an_image_has_no_layer(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20)).save(path)
    image = open_document(path, "image/png", max_pixels=CAP)
    assert image.text_layer(1, 20, 20) is None


def test_a_page_of_too_many_characters_is_counted_and_not_read(tmp_path):
    row = b"(" + b"x" * 1000 + b") Tj 0 -1 Td\n"
    opened = open_layer(tmp_path, raw_pdf(b"BT /F1 1 Tf 0 199 Td\n" + row * (MAX_GLYPHS // 1000 + 1) + b"ET"), dpi=36)
    assert opened.layer.size > MAX_GLYPHS
    assert opened.layer.glyphs == ()


def test_a_layer_with_a_password_and_notes_opens_again(tmp_path):
    out = BytesIO()
    canvas = Canvas(out, encrypt="sesame")
    canvas.drawString(72, 700, "behind a door")
    canvas.acroForm.textfield(name="a", value="VALUE", x=100, y=500, width=200, height=40)
    canvas.showPage()
    canvas.save()
    path = tmp_path / "locked.pdf"
    path.write_bytes(out.getvalue())
    locked = open_document(path, "application/pdf", "sesame", max_pixels=CAP)
    layer = locked.text_layer(1, 595, 842)
    assert layer is not None
    assert "".join(glyph.text for glyph in layer.glyphs) == "behind a doorVALUE"
    locked.close()


def test_text_in_fonts_that_this_machine_lacks_is_no_hidden_text(tmp_path):
    """Its Chinese fonts are not in the PDF: every machine that has one shows the text."""
    opened = open_layer(tmp_path, document("public/mozilla+pdf.js/XiaoBiaoSong.pdf").read_bytes())
    assert "（一九三七年八月一日）" in opened.texts()
    assert opened.seen().hidden == 0
