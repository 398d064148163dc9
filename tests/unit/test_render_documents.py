"""Opening and rendering, in this process: real documents and hostile ones."""

import json
import math
import warnings
from io import BytesIO

import pytest
from PIL import Image, ImageChops

from jobs.errors import (
    CorruptFile,
    PageRenderFailed,
    PageTooLarge,
    PasswordIncorrect,
    PasswordRequired,
    StorageUnavailable,
    UnsupportedType,
)
from jobs.media import SNIFF_BYTES, sniff
from tests import hostile_files as files
from tests.testdata import TESTDATA, document, needs_testdata
from workers.render.documents import MAX_SIDE, fit, open_document

CAP = 40_000_000


@pytest.fixture
def opened(tmp_path):
    """Opens bytes as the type they are; closes what was opened."""
    documents = []

    def open_bytes(data, password=None, cap=CAP):
        path = tmp_path / f"{len(documents)}"
        path.write_bytes(data)
        documents.append(open_document(path, sniff(data[:SNIFF_BYTES], len(data)), password, max_pixels=cap))
        return documents[-1]

    yield open_bytes
    for opened_document in documents:
        opened_document.close()


def is_black(pixels, point):
    return max(pixels.getpixel(point)) < 60


def is_white(pixels, point):
    return min(pixels.getpixel(point)) > 200


# --- PDF ---


def test_a_page_has_the_size_that_its_dpi_gives(opened):
    pixels, info, notes = opened(files.pdf(2)).render(2, 144, CAP)
    assert pixels.mode == "RGB"
    assert (info.width, info.height, info.dpi) == (1190, 1684, 144.0) == (*pixels.size, 144.0)
    assert notes == ()
    assert is_black(pixels, (50, 1684 - 50))
    assert is_white(pixels, (1100, 1600))


@pytest.mark.parametrize(("rotate", "corner"), [(0, (50, 792)), (90, (50, 50)), (180, (545, 50)), (270, (792, 545))])
def test_the_rotation_of_a_page_is_respected(opened, rotate, corner):
    pixels, info, _ = opened(files.pdf(rotate=rotate)).render(1, 72, CAP)
    assert pixels.size == ((595, 842) if rotate % 180 == 0 else (842, 595))
    assert is_black(pixels, corner)
    assert info.rotation == 0


def test_annotations_and_form_fields_are_drawn(opened):
    pixels, _, _ = opened(files.form_pdf()).render(1, 72, CAP)
    field = pixels.crop((100, 842 - 760, 400, 842 - 700)).convert("L")
    assert field.getextrema()[0] < 100, "the field's value is missing"
    highlight = pixels.getpixel((200, 842 - 150))
    assert highlight != (255, 255, 255), "the highlight is missing"


def test_a_page_over_the_pixel_cap_is_scaled_down_and_says_so(opened):
    pixels, info, notes = opened(files.pdf()).render(1, 600, 1_000_000)
    assert pixels.width * pixels.height <= 1_000_000 < pixels.width * pixels.height * 1.01
    assert [note.code for note in notes] == ["page_scaled_down"]
    assert info.dpi == pytest.approx(math.sqrt(1_000_000 / 595 / 842) * 72, abs=0.1)


def test_a_page_of_20000_points_is_refused(opened):
    with pytest.raises(PageTooLarge) as caught:
        opened(files.huge_page_pdf()).render(1, 200, CAP)
    assert caught.value.limit == CAP
    assert caught.value.actual == 100_000_000


@pytest.mark.parametrize("size", [(math.nan, 100.0), (0.0, 100.0), (-5.0, 100.0), (math.inf, 1.0)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(PageRenderFailed):
        fit(*size, 200, CAP)


@pytest.mark.parametrize("size", [(1e-6, 1e-6), (0.01, 5000.0), (100_000.0, 0.01), (595.0, 842.0), (7000.0, 8000.0)])
@pytest.mark.parametrize("cap", [10_000, 1_000_003, CAP])
def test_whatever_the_size_the_cap_holds(size, cap):
    try:
        width, height, dpi = fit(*size, 600, cap)
    except PageTooLarge:
        assert size[0] * size[1] / 4 > cap or max(size) > MAX_SIDE * 2
    else:
        assert 1 <= width <= MAX_SIDE
        assert 1 <= height <= MAX_SIDE
        assert width * height <= cap
        assert 36 <= dpi <= 600


@pytest.mark.parametrize("number", [0, -1, 4])
def test_a_page_outside_the_document_is_refused(opened, number):
    for data in (files.pdf(3), files.tiff(3)):
        with pytest.raises(PageRenderFailed):
            opened(data).render(number, 72, CAP)


def test_a_damaged_page_fails_alone(opened):
    damaged = opened(files.pdf_with_damaged_page())
    assert damaged.page_count == 3
    with pytest.raises(PageRenderFailed):
        damaged.render(2, 72, CAP)
    assert is_black(damaged.render(3, 72, CAP).pixels, (50, 800))


@pytest.mark.parametrize("maker", [files.truncated_pdf, files.pdf_without_pages])
def test_a_broken_pdf_is_corrupt(opened, maker):
    # pdfium keeps the error of the last document that failed: a document without pages must not inherit it.
    with pytest.raises(PasswordRequired):
        opened(files.encrypted_pdf())
    with pytest.raises(CorruptFile):
        opened(maker())


def test_passwords(opened):
    data = files.encrypted_pdf("sesame")
    with pytest.raises(PasswordRequired):
        opened(data)
    with pytest.raises(PasswordRequired):
        opened(data, "")
    with pytest.raises(PasswordIncorrect):
        opened(data, "wrong")
    assert opened(data, "sesame").encrypted
    _, _, notes = opened(data, "sesame").render(1, 72, CAP)
    assert notes == ()


def test_a_password_that_is_not_needed_is_only_a_warning(opened):
    plain = opened(files.pdf(), "sesame")
    assert not plain.encrypted
    assert [note.code for note in plain.render(1, 72, CAP).warnings] == ["password_not_needed"]


def test_an_unknown_security_handler_is_named(opened):
    with pytest.raises(UnsupportedType):
        opened(files.foreign_handler_pdf())


def test_a_source_that_is_gone_says_nothing_about_the_document(tmp_path):
    with pytest.raises(StorageUnavailable):
        open_document(tmp_path / "gone.pdf", "application/pdf", max_pixels=CAP)


def test_a_type_that_is_not_rendered_is_refused(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(files.renamed_text())
    with pytest.raises(UnsupportedType):
        open_document(path, "text/plain", max_pixels=CAP)


@needs_testdata
def test_every_password_of_the_test_documents_opens_its_document():
    passwords = json.loads((TESTDATA / "hostile/PASSWORDS.json").read_text())
    for name, password in passwords.items():
        with pytest.raises(PasswordRequired):
            open_document(document(name), "application/pdf", max_pixels=CAP)
        with pytest.raises(PasswordIncorrect):
            open_document(document(name), "application/pdf", password + "?", max_pixels=CAP)
        locked = open_document(document(name), "application/pdf", password, max_pixels=CAP)
        assert locked.page_count >= 1, name
        locked.close()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("mozilla+pdf.js/pdfjs-public/poppler-85140-0.pdf", PageTooLarge),
        ("qpdf+qpdf/broken-public/bad34.pdf", PageRenderFailed),
        ("python-pillow+Pillow/images-public/decompression_bomb.gif", PageTooLarge),
        ("python-pillow+Pillow/images-public/truncated_image.png", PageRenderFailed),
        ("python-pillow+Pillow/images-public/crash-2020-10-test.tif", PageRenderFailed),
    ],
)
def test_real_hostile_pages_end_in_their_code(name, code):
    path = document(f"hostile/{name}")
    hostile = open_document(path, sniff(path.read_bytes()[:SNIFF_BYTES], path.stat().st_size), max_pixels=CAP)
    with pytest.raises(code):
        hostile.render(1, 100, CAP)
    hostile.close()


@pytest.mark.parametrize(
    "name", ["python-pillow+Pillow/images-public/broken.png", "qpdf+qpdf/broken-public/issue-120.pdf"]
)
def test_real_hostile_files_are_corrupt(name):
    path = document(f"hostile/{name}")
    with pytest.raises(CorruptFile):
        open_document(path, sniff(path.read_bytes()[:SNIFF_BYTES], path.stat().st_size), max_pixels=CAP)


# --- images ---


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_an_image_is_one_page_of_its_own_size(opened, kind):
    picture = opened(files.image(kind))
    assert picture.page_count == 1
    pixels, info, notes = picture.render(1, 600, CAP)
    assert pixels.mode == "RGB"
    assert pixels.size == (200, 100) == (info.width, info.height)
    assert is_black(pixels, (20, 20))
    assert is_white(pixels, (150, 80))
    assert notes == ()


def test_an_animated_gif_is_its_first_frame(opened):
    frames = [Image.new("L", (20, 20), shade) for shade in (0, 128, 255)]
    animation = opened(files.encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert animation.page_count == 1
    assert is_black(animation.render(1, 72, CAP).pixels, (5, 5))


@pytest.mark.parametrize("bigtiff", [False, True])
def test_every_frame_of_a_tiff_is_a_page_in_any_order(opened, bigtiff):
    frames = opened(files.tiff(4, bigtiff=bigtiff))
    assert frames.page_count == 4
    assert [frames.render(number, 72, CAP).pixels.width for number in (3, 1, 4, 2)] == [30, 10, 40, 20]


def test_a_thumbnail_inside_a_tiff_is_no_page(opened):
    page, thumbnail = Image.new("L", (100, 100)), Image.new("L", (10, 10))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    data = files.encoded(page, "TIFF", save_all=True, append_images=[thumbnail])
    assert opened(data).page_count == 1


def test_a_frame_that_cannot_be_reached_fails_and_is_not_lost(opened):
    data = bytearray(files.tiff(2))
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    link = first + 2 + 12 * entries
    data[link : link + 4] = (len(data) - 3).to_bytes(4, "little")
    broken = opened(bytes(data))
    assert broken.page_count == 2
    assert broken.render(1, 72, CAP).pixels.width == 10
    with pytest.raises(PageRenderFailed):
        broken.render(2, 72, CAP)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_exif_orientation_is_applied(opened, kind, orientation):
    upright = Image.new("RGB", (60, 40), "white")
    upright.paste("black", (0, 0, 30, 20))
    # What a camera stores when held so: the inverse of what the tag asks of a viewer.
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, info, _ = opened(files.encoded(stored, kind, exif=exif)).render(1, 72, CAP)
    assert pixels.size == (60, 40) == (info.width, info.height)
    assert is_black(pixels, (10, 10))
    assert is_white(pixels, (50, 10))
    assert is_white(pixels, (10, 30))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_colour_mode_becomes_rgb(opened, mode):
    picture = Image.open(BytesIO(files.image())).convert(mode)
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    pixels = opened(files.encoded(picture, kind)).render(1, 72, CAP).pixels
    assert pixels.mode == "RGB"
    assert is_black(pixels, (20, 20))
    assert is_white(pixels, (150, 80))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_becomes_white(opened, mode):
    if mode == "P":
        picture, options = Image.new("P", (20, 20), 0), {"transparency": 0}
        picture.putpalette([0, 0, 0, 255, 0, 0])
    else:
        picture, options = Image.new("RGBA", (20, 20), (0, 0, 0, 0)).convert("LA" if mode == "LA" else "RGBA"), {}
    pixels = opened(files.encoded(picture, "PNG", **options)).render(1, 72, CAP).pixels
    assert pixels.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_shades(opened, kind):
    picture = Image.new("I;16", (3, 1))
    for column, value in enumerate((0, 0x8000, 0xFFFF)):
        picture.putpixel((column, 0), value)
    pixels = opened(files.encoded(picture, kind)).render(1, 72, CAP).pixels
    assert [pixels.getpixel((column, 0))[0] for column in range(3)] == pytest.approx([0, 128, 255], abs=1)


def test_floats_are_stretched_to_their_own_range(opened):
    picture = Image.new("F", (2, 1))
    picture.putpixel((1, 0), 0.5)
    pixels = opened(files.encoded(picture, "TIFF")).render(1, 72, CAP).pixels
    assert [pixels.getpixel((column, 0))[0] for column in range(2)] == [0, 255]


def test_the_depth_of_a_12_bit_scan_is_read_from_the_file():
    # A dark crop: its lightest sample is 30 of 4,095, which would be 0 of 255 if it were taken for 16 bits.
    path = document("public/python-pillow+Pillow/12bit.cropped.tif")
    pixels = open_document(path, "image/tiff", max_pixels=CAP).render(1, 72, CAP).pixels
    assert pixels.convert("L").getextrema() == (0, 1)


@pytest.mark.parametrize(("stated", "used"), [(300, 300.0), (0, 96.0), (1, 96.0), (None, 96.0)])
def test_the_dpi_of_an_image_is_its_own_where_it_is_plausible(opened, stated, used):
    options = {} if stated is None else {"dpi": (stated, stated)}
    info = opened(files.encoded(Image.new("L", (50, 50)), "PNG", **options)).render(1, 200, CAP).info
    assert info.dpi == pytest.approx(used, abs=0.5)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "1"), ("TIFF", "L"), ("JPEG", "RGB"), ("PNG", "P")])
def test_an_image_over_the_pixel_cap_is_scaled_down(opened, kind, mode):
    data = files.encoded(Image.open(BytesIO(files.image(size=(600, 300)))).convert(mode), kind)
    pixels, info, notes = opened(data).render(1, 72, 60_000)
    assert 55_000 < pixels.width * pixels.height <= 60_000
    assert [note.code for note in notes] == ["page_scaled_down"]
    assert info.dpi == pytest.approx(96 * math.sqrt(60_000 / 180_000), rel=0.02)
    assert is_black(pixels, (20, 20))
    assert is_white(pixels, (pixels.width - 20, pixels.height - 20))


def test_scaling_in_strips_equals_scaling_at_once(opened, monkeypatch):
    noise = Image.effect_noise((600, 900), 90)
    whole = noise.convert("RGB")
    monkeypatch.setattr("workers.render.images._STRIP_PIXELS", 600 * 50)
    pixels = opened(files.encoded(noise, "PNG")).render(1, 72, 100_000).pixels
    expected = whole.resize(pixels.size, Image.Resampling.LANCZOS)
    difference = ImageChops.difference(pixels, expected).convert("L")
    assert difference.getextrema()[1] <= 1


def test_a_bomb_is_refused_by_its_header(opened):
    bomb = opened(files.bomb_png())
    with pytest.raises(PageTooLarge) as caught:
        bomb.render(1, 72, CAP)
    assert caught.value.actual == 2_500_000_000
    assert caught.value.limit == 16 * CAP


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_colour_beyond_what_decoding_may_take_is_refused(opened, kind):
    data = files.encoded(Image.new("RGB", (400, 400)), kind)
    with pytest.raises(PageTooLarge):
        opened(data).render(1, 72, 10_000 - 1)


def test_truncated_pixels_fail_the_page_and_a_broken_header_the_document(opened):
    with pytest.raises(PageRenderFailed):
        opened(files.truncated_png()).render(1, 72, CAP)
    with pytest.raises(CorruptFile):
        opened(files.image("PNG")[:20])


def test_pillow_does_not_warn_and_its_own_limit_stays(opened):
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(files.encoded(Image.new("1", (1000, 1000)), "PNG")).render(1, 72, 300_000)
    assert before == Image.MAX_IMAGE_PIXELS
