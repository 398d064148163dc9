"""A blank page through a real worker with the real engine."""

import orjson
import pytest

from jobs.blobs import page_key
from jobs.models import State
from tests.documents import pdf
from tests.installation import Installation
from tests.mill import CALM


@pytest.mark.ocr
def test_a_blank_page_succeeds_with_nothing_to_say(tmp_path, sqlite_url, broker_url):
    settings = CALM | {"PAGEMILL_ENGINE": "rapidocr"}
    with Installation(tmp_path, sqlite_url, broker_url, settings=settings) as mill, mill.worker():
        job_id = mill.submit(pdf(1, text=""), engine="rapidocr")
        job = mill.wait(job_id)
        assert (job.state, job.pages.succeeded) == (State.SUCCEEDED, 1)
        [page] = mill.pages(job_id)
        stored = orjson.loads(mill.blobs.get(page_key(job_id, page.document_id, 1, page.attempt)))
        assert stored["blocks"] == []
        [line] = mill.manifest(job_id)["documents"]
        assert mill.blobs.get(f"jobs/{job_id}/{line['markdown']}").strip() == b""
