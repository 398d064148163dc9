"""HEIC images in this process: what phones make, what lies, and what happens where the reader is not installed."""

import sys
from io import BytesIO

import pytest
from PIL import Image

from jobs.errors import CorruptFile, PageRenderFailed, PageTooLarge, UnsupportedType
from jobs.media import SNIFF_BYTES, sniff
from tests.testdata import document, needs_testdata
from workers.render.documents import open_document
from workers.render.heic import register

CAP = 40_000_000
HEIC = "image/heic"


@pytest.fixture
def opened(tmp_path):
    def open_bytes(data, cap=CAP):
        path = tmp_path / "picture"
        path.write_bytes(data)
        assert sniff(data[:SNIFF_BYTES], len(data)) == HEIC
        return open_document(path, HEIC, max_pixels=cap)

    return open_bytes


def heic(size=(200, 100), mode="RGB", pictures=1, **options):
    """White pictures whose upper left quarter is black."""
    register()
    picture = Image.new(mode, size, "white")
    picture.paste("black", (0, 0, size[0] // 2, size[1] // 2))
    out = BytesIO()
    more = [Image.new(mode, (32, 32), "white")] * (pictures - 1)
    picture.save(out, "HEIF", quality=50, save_all=True, append_images=more, **options)
    return out.getvalue()


def test_a_picture_is_one_page_of_its_own_size(opened):
    picture = opened(heic())
    assert picture.page_count == 1
    pixels, info, notes = picture.render(1, 300, CAP)
    assert (pixels.mode, pixels.size, notes) == ("RGB", (200, 100), ())
    assert (info.width, info.height) == (200, 100)
    assert max(pixels.getpixel((20, 20))) < 60
    assert min(pixels.getpixel((150, 80))) > 200


def test_the_main_picture_of_several_is_the_page(opened):
    picture = opened(heic(pictures=3))
    assert picture.page_count == 1
    assert picture.render(1, 72, CAP).pixels.size == (200, 100)


def test_it_is_turned_once_as_the_camera_was_held(opened):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    # The encoder makes a turn of the container out of it (irot), which the standard wants applied; the tag stays.
    pixels = opened(heic(exif=exif.tobytes())).render(1, 72, CAP).pixels
    assert pixels.size == (100, 200)
    assert max(pixels.getpixel((80, 20))) < 60, "the black quarter is at the upper right now"
    assert min(pixels.getpixel((20, 20))) > 200


def test_transparency_becomes_white(opened):
    register()
    out = BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(out, "HEIF")
    assert min(opened(out.getvalue()).render(1, 72, CAP).pixels.getpixel((9, 9))) > 250


def test_it_is_scaled_down_to_the_pixel_cap(opened):
    pixels, _, notes = opened(heic((400, 300))).render(1, 72, 70_000)
    assert 60_000 < pixels.width * pixels.height <= 70_000
    assert [note.code for note in notes] == ["page_scaled_down"]


def test_more_pixels_than_decoding_may_take_are_refused_by_the_header(opened):
    # 48 megapixels, as phones make, are within twice the cap.
    small = opened(heic((100, 100)), 10_000 // 2)
    assert small.render(1, 72, 10_000 // 2).pixels.size == (70, 70)
    with pytest.raises(PageTooLarge) as caught:
        opened(heic((100, 100))).render(1, 72, 10_000 // 2 - 1)
    assert (caught.value.limit, caught.value.actual) == (9_998, 10_000)


@pytest.mark.parametrize("claimed", [(30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_header_that_claims_more_than_there_is_allocates_nothing(opened, claimed):
    data = heic()
    box = b"ispe\0\0\0\0" + (200).to_bytes(4, "big") + (100).to_bytes(4, "big")
    assert box in data
    liar = data.replace(box, box[:8] + claimed[0].to_bytes(4, "big") + claimed[1].to_bytes(4, "big"))
    with pytest.raises((PageTooLarge, CorruptFile)):
        opened(liar).render(1, 72, CAP)


def test_a_header_that_claims_less_than_there_is_fails_the_page(opened):
    data = heic((640, 480))
    box = b"ispe\0\0\0\0" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big")
    liar = data.replace(box, box[:8] + (16).to_bytes(4, "big") + (16).to_bytes(4, "big"))
    assert liar != data
    with pytest.raises(PageRenderFailed):
        opened(liar).render(1, 72, CAP)


def test_a_damaged_header_fails_the_document_and_damaged_pixels_the_page(opened):
    data = heic()
    with pytest.raises(CorruptFile):
        opened(data[:60])
    with pytest.raises(PageRenderFailed):
        opened(data[:-40]).render(1, 72, CAP)


def test_without_the_package_the_error_says_what_to_install(opened, monkeypatch):
    data = heic()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedType, match=r"\.\[heic\]"):
        opened(data)


@needs_testdata
def test_a_real_page(opened):
    pixels, info, _ = opened(document("public/Unstructured-IO+unstructured/DA-1p.heic").read_bytes()).render(1, 72, CAP)
    assert pixels.size == (595, 842) == (info.width, info.height)
    assert pixels.convert("L").getextrema()[0] < 60, "there is ink on it"
