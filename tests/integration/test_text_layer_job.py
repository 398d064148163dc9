"""Option `text` through the real queue with the CPU engine: the same page three ways, and an image without a layer."""

import io

import orjson
import pytest
from PIL import Image, ImageDraw, ImageFont

from jobs.blobs import page_key
from tests.documents import pdf
from tests.installation import Installation, Upload
from tests.mill import CALM


@pytest.fixture
def mill(tmp_path, valkey):
    valkey.flush()
    url = f"sqlite:///{tmp_path / 'pagemill.db'}"
    settings = CALM | {"PAGEMILL_ENGINE": "rapidocr"}
    with Installation(tmp_path, url, valkey.url_of(1), settings=settings) as found, found.worker():
        yield found


def sign():
    image = Image.new("RGB", (600, 120), "white")
    ImageDraw.Draw(image).text((30, 30), "WARNING SIGN", "black", ImageFont.load_default(60))
    out = io.BytesIO()
    image.save(out, "PNG")
    return Upload(out.getvalue(), "image/png")


def result(mill, job):
    ((document, number, state, attempt),) = mill.page_rows(job)
    assert state == "succeeded"
    page = orjson.loads(mill.blobs.get(page_key(job, document, number, attempt)))
    return page["text"]["source"], page["text"].get("doubt", {}).get("code"), page["blocks"][0]["content"]


def test_the_same_page_three_ways_and_an_image_without_a_layer(mill):
    ways = ("auto", "ocr", "layer")
    jobs = [mill.submit(pdf(1, "Invoice {n}"), engine="rapidocr", text=way) for way in ways]
    image = mill.submit(sign(), engine="rapidocr")
    refused = mill.submit(sign(), engine="rapidocr", text="layer")
    assert [mill.wait(job).state for job in (*jobs, image, refused)] == ["succeeded"] * 4 + ["failed"]
    found = [result(mill, job) for job in jobs]
    assert [source for source, _, _ in found] == ["layer", "ocr", "layer"]
    assert {text.replace(" ", "") for _, _, text in found} == {"Invoice1"}
    assert result(mill, image)[:2] == ("ocr", "absent")
    (page,) = mill.pages(refused)
    assert page.error.code == "text_layer_missing"
    assert not page.error.retryable
