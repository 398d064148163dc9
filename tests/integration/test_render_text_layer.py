"""Text layers through the render pool with real processes: lazily, by any engine, under the page's own limits."""

import asyncio
from contextlib import contextmanager
from io import BytesIO

import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from jobs.errors import PageRenderFailed, PageTimeout
from jobs.options import PageOptions
from jobs.settings import MIB, EngineSettings, LimitSettings
from tests import documents
from tests.layers import raw_pdf
from workers.render.pool import RenderPool
from workers.render.process import OPEN_DOCUMENTS

PDF = "application/pdf"


@contextmanager
def running(**values):
    limits = LimitSettings(**{"page_timeout": 60.0, "split_timeout": 60.0, **values})
    pool = RenderPool(1, "tests.layer_halves:Layers", EngineSettings(), limits, held_pages=OPEN_DOCUMENTS + 2)
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def page(pool, path, number=1, media_type=PDF, password=None):
    return pool.page(path, media_type, number, PageOptions(), 36, password)


def many_characters(count):
    row = b"(" + b"x" * 1000 + b") Tj 0 -1 Td\n"
    return raw_pdf(b"BT /F1 1 Tf 0 199 Td\n" + row * (count // 1000) + b"ET")


def test_every_page_gives_its_own_text(tmp_path):
    async def read(pool):
        path = write(tmp_path, "a.pdf", documents.pdf(3))
        return [await page(pool, path, number).call("text") for number in (1, 2, 3)]

    with running() as pool:
        assert asyncio.run(read(pool)) == ["page 1", "page 2", "page 3"]


def test_a_page_gives_its_text_after_its_document_was_closed(tmp_path):
    """A process keeps some documents open and the pages it holds may be of more."""

    async def read(pool):
        paths = [write(tmp_path, f"{i}.pdf", documents.pdf(1, f"document {i}")) for i in range(OPEN_DOCUMENTS + 2)]
        pages = [page(pool, path) for path in paths]
        for each in pages:
            await each.call("size")
        return [await each.call("text") for each in pages]

    with running() as pool:
        assert asyncio.run(read(pool)) == [f"document {i}" for i in range(OPEN_DOCUMENTS + 2)]


def test_an_image_has_no_layer_and_a_locked_document_opens_its_own(tmp_path):
    async def read(pool):
        image = BytesIO()
        Image.new("RGB", (30, 30)).save(image, "PNG")
        locked = BytesIO()
        canvas = Canvas(locked, encrypt="sesame")
        canvas.drawString(72, 700, "behind a door")
        canvas.save()
        return (
            await page(pool, write(tmp_path, "a.png", image.getvalue()), media_type="image/png").call("text"),
            await page(pool, write(tmp_path, "b.pdf", locked.getvalue()), password="sesame").call("text"),
        )

    with running() as pool:
        assert asyncio.run(read(pool)) == (None, "behind a door")


def test_half_a_million_characters_are_counted(tmp_path):
    async def read(pool):
        return await page(pool, write(tmp_path, "a.pdf", many_characters(500_000))).call("count")

    with running() as pool:
        assert asyncio.run(read(pool)) >= 500_000  # and the line ends that pdfium makes up


def test_a_layer_that_takes_too_long_ends_at_the_pages_deadline(tmp_path):
    async def read(pool):
        await page(pool, write(tmp_path, "a.pdf", many_characters(20_000_000))).call("count")

    with running(page_timeout=1.0) as pool:
        with pytest.raises(PageTimeout):
            asyncio.run(read(pool))
        neighbour = page(pool, write(tmp_path, "b.pdf", documents.pdf(1)))
        assert asyncio.run(neighbour.call("size")) == (100, 50)


def test_a_layer_that_takes_too_much_memory_ends_in_a_code(tmp_path):
    async def read(pool):
        await page(pool, write(tmp_path, "a.pdf", many_characters(5_000_000))).call("text")

    with running(render_memory=64 * MIB) as pool:
        with pytest.raises(PageRenderFailed):
            asyncio.run(read(pool))
        assert asyncio.run(page(pool, write(tmp_path, "b.pdf", documents.pdf(1))).call("text")) == "page 1"
