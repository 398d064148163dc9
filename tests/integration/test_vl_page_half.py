"""The page half of PaddleOCR-VL in a real render process."""

import asyncio
import io

import pytest
from PIL import Image, ImageChops, ImageStat

from jobs.options import PageOptions, VlOptions
from jobs.settings import EngineSettings, LimitSettings
from tests import documents
from workers.engines.paddleocr_vl.resize import lasting_size
from workers.render.documents import PdfDocument
from workers.render.pool import RenderPool

HALF = "workers.engines.paddleocr_vl.page:PaddleOcrVlPageHalf"
WHOLE = VlOptions(layout="none")
DPI = 600
"""The page is small: 1,667 x 833 pixels of it are more than the model takes."""


@pytest.fixture(scope="module")
def pool():
    engine = EngineSettings(vl_backend="openai", openai_image="png")
    found = RenderPool(1, HALF, engine, LimitSettings())
    found.start()
    yield found
    found.close()


@pytest.fixture
def pdf(tmp_path):
    path = tmp_path / "pages.pdf"
    path.write_bytes(documents.pdf(2, "The quick brown fox, page {n}"))
    return path


def asked(pool, path, media_type, *calls):
    """What the calls give, one after the other, on the first page."""

    async def together():
        async with pool.page(path, media_type, 1, PageOptions(), DPI) as page:
            return [await page.call(*call) for call in calls]

    return asyncio.run(together())


def full(path):
    document = PdfDocument(path, None)
    page = document.render(1, DPI, 40_000_000)
    document.close()
    return page


def as_image(crop):
    return Image.open(io.BytesIO(crop.data)).convert("RGB")


def test_a_whole_page_is_drawn_as_its_crop_and_keeps_its_own_size_in_the_result(pool, pdf):
    [cut] = asked(pool, pdf, "application/pdf", ("cut_whole", WHOLE))
    page = full(pdf)
    tall, wide = lasting_size(page.pixels.height, page.pixels.width)
    assert cut.image == page.info
    assert (cut.plan.width, cut.plan.height) == page.pixels.size
    [crop] = cut.crops
    assert (crop.width, crop.height) == (wide, tall) == as_image(crop).size
    assert wide < page.pixels.width
    shrunk = page.pixels.resize((wide, tall), Image.Resampling.BICUBIC)
    difference = ImageStat.Stat(ImageChops.difference(as_image(crop), shrunk).convert("L"))
    assert difference.mean[0] < 1.0, "the same page, by another filter"
    assert ImageStat.Stat(as_image(crop).convert("L")).extrema[0][0] < 100, "with its text"


def test_who_asks_for_all_pixels_gets_them_whatever_was_asked_before(pool, pdf):
    first, seen, again = asked(
        pool, pdf, "application/pdf", ("cut_whole", WHOLE), ("layout_input",), ("cut_whole", WHOLE)
    )
    assert (seen.width, seen.height) == full(pdf).pixels.size
    assert seen.pixels.shape == (800, 800, 3)
    assert (first.image, first.plan) == (again.image, again.plan)


def test_an_image_has_its_pixels_and_is_resized(pool, tmp_path):
    path = tmp_path / "scan.png"
    scan = Image.effect_noise((1300, 1500), 80).convert("RGB")
    scan.save(path)
    [cut] = asked(pool, path, "image/png", ("cut_whole", WHOLE))
    tall, wide = lasting_size(scan.height, scan.width)
    assert (cut.image.width, cut.image.height) == scan.size
    assert as_image(cut.crops[0]).tobytes() == scan.resize((wide, tall), Image.Resampling.BICUBIC).tobytes()
