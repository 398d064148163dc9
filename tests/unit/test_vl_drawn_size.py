"""At which size a page may be drawn that is one crop: the crop's own, wherever the crop would only be shrunk."""

import pytest
from PIL import Image

from jobs.options import VlOptions, VlPixels
from workers.engines.paddleocr_vl.crops import cut_crop, drawn_size
from workers.engines.paddleocr_vl.plan import plan_whole_page

A4_AT_144 = (1191, 1684)


def request(size, task="ocr", **options):
    asked = VlOptions(layout="none", task=task, **options)
    return plan_whole_page(number=1, width=size[0], height=size[1], options=asked).requests[0]


@pytest.mark.parametrize("size", [A4_AT_144, (1684, 1191), (1654, 2339), (3000, 900), (1008, 996)])
@pytest.mark.parametrize("task", ["ocr", "table", "chart", "seal"])
def test_a_page_that_would_be_shrunk_is_drawn_as_its_crop(size, task):
    asked = request(size, task)
    drawn = drawn_size(asked)
    assert drawn == cut_crop(Image.new("RGB", size, "white"), asked).size
    assert drawn[0] < size[0]


@pytest.mark.parametrize("size", [(300, 400), (840, 1176), (20, 4000), (65_000, 40), (1190, 30)])
def test_a_page_that_would_be_enlarged_or_widened_keeps_its_size(size):
    assert drawn_size(request(size)) == size


def test_the_bounds_are_those_of_the_job():
    small = drawn_size(request(A4_AT_144, pixels={"ocr": VlPixels(min=784, max=200_704)}))
    assert small[0] * small[1] <= 200_704
    assert drawn_size(request(A4_AT_144, pixels={"ocr": VlPixels(min=784, max=4_000_000)})) == A4_AT_144


def test_margins_that_are_cut_and_pages_that_are_doubled_come_first():
    assert drawn_size(request(A4_AT_144, "formula")) == A4_AT_144
    assert drawn_size(request((1400, 1400), "spotting")) == (1400, 1400)
    assert drawn_size(request((1700, 2400), "spotting")) != (1700, 2400)
