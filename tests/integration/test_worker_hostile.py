"""Bad documents and bad pages: each ends in its own code, alone, and the rest of the job succeeds."""

import json

from jobs.models import State
from jobs.options import EchoOptions
from tests.documents import pdf
from tests.hostile_files import (
    bomb_png,
    encrypted_pdf,
    huge_page_pdf,
    image,
    pdf_with_damaged_page,
    pdf_without_pages,
    renamed_text,
    truncated_pdf,
)
from tests.installation import Upload
from tests.mill import mill_fixture
from tests.soundness import unsound
from tests.testdata import document, needs_testdata

mill = mill_fixture(PAGEMILL_MAX_PAGES="50")

RENDER = EchoOptions(render=True)


def ended(mill, job_id):
    job = mill.wait(job_id)
    assert unsound(mill, job_id) == []
    return job


def outcomes(mill, job_id):
    """(state, code) of each document by position."""
    return [(d.state.value, d.error.code if d.error else None) for d in mill.documents(job_id)]


def page_outcomes(mill, job_id):
    """(state, code) of each page, by position of its document."""
    order = {d.id: d.position for d in mill.documents(job_id)}
    return {
        (order[p.document_id], p.number): (p.state.value, p.error.code if p.error else None) for p in mill.pages(job_id)
    }


def test_every_bad_document_ends_alone(mill):
    job_id = mill.submit(
        pdf(3),
        truncated_pdf(),
        renamed_text(),
        encrypted_pdf(),
        pdf_without_pages(),
        pdf(51),
        b"",
        Upload(image("PNG"), "image/png"),
        Upload(bomb_png(), "image/png"),
        huge_page_pdf(),
        pdf_with_damaged_page(),
        pdf(2),
        echo=RENDER,
    )
    job = ended(mill, job_id)
    assert outcomes(mill, job_id) == [
        ("succeeded", None),
        ("failed", "corrupt_file"),
        ("failed", "corrupt_file"),  # it passed for a PDF at the door
        ("failed", "password_required"),
        ("failed", "corrupt_file"),
        ("failed", "too_many_pages"),
        ("failed", "corrupt_file"),  # it shrank since it passed the door
        ("succeeded", None),
        ("failed", "page_too_large"),
        ("failed", "page_too_large"),
        ("partial", None),
        ("succeeded", None),
    ]
    bad_pages = {where: told for where, told in page_outcomes(mill, job_id).items() if told[0] != "succeeded"}
    assert bad_pages == {
        (8, 1): ("failed", "page_too_large"),
        (9, 1): ("failed", "page_too_large"),
        (10, 2): ("failed", "page_render_failed"),
    }
    assert (job.state, job.pages.succeeded) == (State.PARTIAL, 3 + 1 + 2 + 2)
    assert all(page.attempt == 1 and page.crashes == 0 for page in mill.pages(job_id)), "the worker was not harmed"


def test_passwords(mill):
    job_id = mill.submit(
        encrypted_pdf("sesame", pages=2), encrypted_pdf("other"), pdf(1), password="sesame", echo=RENDER
    )
    job = ended(mill, job_id)
    assert outcomes(mill, job_id) == [("succeeded", None), ("failed", "password_incorrect"), ("succeeded", None)]
    assert (job.state, job.pages.succeeded) == (State.PARTIAL, 3)
    assert "sesame" not in json.dumps(mill.manifest(job_id)) + job.model_dump_json()
    assert not any("sesame" in worker.output() for worker in mill.started), "no password in a log"


@needs_testdata
def test_encrypted_documents_of_other_programs(mill):
    names = json.loads(document("hostile/PASSWORDS.json").read_text())
    shared = [name for name, password in names.items() if password == "asdfzxcv"]
    job_id = mill.submit(*(document(name).read_bytes() for name in shared), password="asdfzxcv", echo=RENDER)
    assert (ended(mill, job_id).state, len(shared)) == (State.SUCCEEDED, 6)


def test_pages_outside_the_document(mill):
    job_id = mill.submit(pdf(10), pdf(3), pdf(9), pages="9-")
    ended(mill, job_id)
    assert outcomes(mill, job_id) == [("succeeded", None), ("failed", "invalid_page_range"), ("succeeded", None)]
    assert sorted(page_outcomes(mill, job_id)) == [(0, 9), (0, 10), (2, 9)]
    assert mill.documents(job_id)[1].error.limit == 3


def test_a_job_of_nothing_but_bad_documents_fails(mill):
    job_id = mill.submit(truncated_pdf(), renamed_text())
    job = ended(mill, job_id)
    assert (job.state, job.pages.total, job.documents.failed) == (State.FAILED, 0, 2)
