"""Crops at the model's size: the pixels of Pillow's own bicubic filter, whatever was left out on the way."""

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.testdata import document
from workers.engines.paddleocr_vl.backends.packing import pack
from workers.engines.paddleocr_vl.scaling import resized
from workers.render.documents import PdfDocument

BLACK, BLUE, PAPER = (0, 0, 0), (20, 40, 200), (250, 246, 240)
SIZES = [((620, 877), (420, 588)), ((300, 90), (644, 196)), ((240, 200), (112, 196)), ((5, 600), (28, 3360))]
"""Smaller, larger, one side of each, and thin."""


def page(size, text=(BLACK,), paper=(255, 255, 255), margin=40):
    """Lines of text in these colours, in turn."""
    image = Image.new("RGB", size, paper)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for turn, top in enumerate(range(margin, size[1] - margin, 21)):
        pen.text((margin, top), "Sphinx of black quartz, judge my vow. " * 3, text[turn % len(text)], font)
    image.paste(Image.new("RGB", image.size, paper), (size[0] - margin, 0))
    return image


def as_pillow_does(image, size):
    return image.resize(size, Image.Resampling.BICUBIC)


def noise(size):
    return Image.merge("RGB", [Image.effect_noise(size, 90) for _ in range(3)])


KINDS = {
    "white": lambda size: Image.new("RGB", size, "white"),
    "black on white": lambda size: page(size, margin=min(40, min(size) // 4)),
    "to the edges": lambda size: page(size, margin=0),
    "a line in colour": lambda size: page(size, (BLACK, BLACK, BLUE, BLACK), margin=min(40, min(size) // 4)),
    "all in colour": lambda size: page(size, (BLUE,), margin=0),
    "on paper": lambda size: page(size, paper=PAPER, margin=0),
    "noise": noise,
    "grey noise": lambda size: Image.effect_noise(size, 90).convert("RGB"),
}


@pytest.mark.parametrize(("size", "wanted"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_are_those_of_pillows_filter(kind, size, wanted):
    image = KINDS[kind](size)
    assert resized(image, *wanted).convert("RGB").tobytes() == as_pillow_does(image, wanted).tobytes()


def test_one_pixel_of_colour_at_each_edge_is_not_lost():
    for place in ((0, 0), (299, 0), (0, 199), (299, 199), (150, 100)):
        image = Image.new("RGB", (300, 200), "white")
        image.putpixel(place, (255, 0, 0))
        assert resized(image, 196, 140).tobytes() == as_pillow_does(image, (196, 140)).tobytes()


def test_a_grey_crop_has_one_channel_and_its_bytes_have_three():
    image = page((300, 200))
    small = resized(image, 196, 140)
    assert small.mode == "L"
    assert pack(small, "rgb").data == as_pillow_does(image, (196, 140)).tobytes()


def test_a_crop_that_has_its_size_is_left_as_it_is():
    image = page((196, 140))
    assert resized(image, 196, 140) is image


@pytest.mark.parametrize(
    "name", ["debian/install.ru.pdf", "mozilla+pdf.js/tracemonkey.pdf", "tabulapdf+tabula-java/us-018.pdf"]
)
def test_pages_of_real_documents(name):
    pdf = PdfDocument(document(f"public/{name}"), None)
    for number in range(1, 4):
        image = pdf.render(number, 144, 40_000_000).pixels
        assert resized(image, 812, 1176).convert("RGB").tobytes() == as_pillow_does(image, (812, 1176)).tobytes()
    pdf.close()
