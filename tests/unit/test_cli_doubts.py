"""What `pagemill run` says of pages that were read, and not well."""

import pytest

from api.cli import doubts as searching
from api.cli.doubts import SAID, doubts
from api.cli.plan import Failure
from api.cli.report import failure_line
from jobs.errors import PageTimeout
from jobs.results import Block, DocumentResult, EngineInfo, PageEntry, PageResult, SourceInfo, Warning_

ENGINE = EngineInfo(name="rapidocr", version="1", model="m")


def page(number, *codes, content="text"):
    block = Block(label="text", bbox=(0, 0, 1, 1), content=content, order=0)
    warnings = tuple(Warning_(code=code, detail="why", bbox=(0, 0, 1, 1)) for code in codes)
    result = PageResult(number=number, blocks=(block,), engine=ENGINE, warnings=warnings)
    return PageEntry(number=number, state="succeeded", result=result)


def write(path, *pages):
    result = DocumentResult(
        id="doc_1",
        job_id="job_1",
        state="succeeded",
        source=SourceInfo(name="x.pdf", media_type="application/pdf", bytes=1, sha256="0"),
        options={},
        engine="rapidocr",
        created_at="2026-01-01T00:00:00Z",
        pages=pages,
    )
    path.write_text(result.model_dump_json(exclude_none=True))
    return path


def failed(number):
    return PageEntry(number=number, state="failed", error=PageTimeout("too slow", limit=1).problem())


def test_pages_are_named_by_what_is_doubtful_of_them(tmp_path):
    path = write(
        tmp_path / "x.json",
        page(1),
        page(3, "unsupported_script"),
        failed(4),
        page(7, "page_scaled_down", "unsupported_script", "low_confidence"),
        page(8, "unsupported_script"),
    )
    assert doubts("x.pdf", path) == [
        Failure("x.pdf", "unsupported_script", SAID["unsupported_script"], None, "3,7-8"),
        Failure("x.pdf", "low_confidence", SAID["low_confidence"], None, "7"),
    ]


def test_what_stands_on_a_page_is_no_warning(tmp_path):
    said = '{"number":9,"state":"succeeded"},{"code":"low_confidence","detail":"x"}'
    assert doubts("x.pdf", write(tmp_path / "x.json", page(1, content=said))) == []


@pytest.mark.parametrize("piece", [1, 7, 64, 1000])
def test_large_results_are_searched_in_pieces(tmp_path, monkeypatch, piece):
    pages = [page(number, *(["low_confidence"] if number % 3 == 0 else [])) for number in range(1, 31)]
    path = write(tmp_path / "x.json", *pages)
    monkeypatch.setattr(searching, "_PIECE", piece)
    monkeypatch.setattr(searching, "_LONGEST", 64)
    (found,) = doubts("x.pdf", path)
    assert found.pages == "3,6,9,12,15,18,21,24,27,30"


def test_a_doubt_is_not_called_a_failure():
    doubt = Failure("x.pdf", "low_confidence", "guessed", pages="3")
    assert failure_line(doubt, "doubtful") == "doubtful: x.pdf page 3: low_confidence: guessed"
