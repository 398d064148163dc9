"""Which files are read and where their results lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.cli.plan import Plan, make_plan
from jobs.results import Block, DocumentResult, EngineInfo, PageEntry, PageResult, SourceInfo

PDF = b"%PDF-1.7\n"


def put(path: Path, data: bytes = PDF) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(plan: Plan) -> list[str]:
    return [source.name for source in plan.sources]


def test_one_folder_is_mirrored(tmp_path):
    put(tmp_path / "in/b.pdf")
    put(tmp_path / "in/sub/deep/a.PNG", b"\x89PNG\r\n\x1a\n")
    assert names(make_plan([tmp_path / "in"])) == ["b.pdf", "sub/deep/a.PNG"]


def test_one_file_lies_at_the_top(tmp_path):
    assert names(make_plan([put(tmp_path / "in/b.pdf")])) == ["b.pdf"]


def test_folders_with_equal_names_do_not_meet(tmp_path):
    put(tmp_path / "2023/scans/x.pdf")
    put(tmp_path / "2024/scans/x.pdf")
    plan = make_plan([tmp_path / "2023/scans", tmp_path / "2024/scans"])
    assert names(plan) == ["2023/scans/x.pdf", "2024/scans/x.pdf"]


def test_files_with_equal_names_do_not_meet(tmp_path):
    plan = make_plan([put(tmp_path / "a/x.pdf"), put(tmp_path / "b/x.pdf")])
    assert names(plan) == ["a/x.pdf", "b/x.pdf"]


def test_a_path_given_twice_or_inside_another_is_read_once(tmp_path):
    inner = put(tmp_path / "in/sub/x.pdf")
    plan = make_plan([tmp_path / "in", inner, tmp_path / "in" / "sub" / ".." / "sub"])
    assert names(plan) == ["sub/x.pdf"]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    put(tmp_path / "in/.x.pdf")
    put(tmp_path / "in/.git/y.pdf")
    plan = make_plan([tmp_path / "in"])
    assert plan == Plan()


def test_a_named_hidden_file_is_read(tmp_path):
    assert names(make_plan([put(tmp_path / ".x.pdf")])) == [".x.pdf"]


def test_results_below_out_are_not_read_back(tmp_path):
    put(tmp_path / "in/x.pdf")
    put(tmp_path / "in/out/x.pdf.figures/1.jpg", b"\xff\xd8\xff")
    assert names(make_plan([tmp_path / "in"], tmp_path / "in/out")) == ["x.pdf"]


def put_result(path: Path, *figures: str) -> None:
    """A document.json as a run writes it, with these figures."""
    blocks = tuple(Block(label="image", bbox=(0, 0, 1, 1), order=n, figure=name) for n, name in enumerate(figures))
    page = PageResult(number=1, blocks=blocks, engine=EngineInfo(name="echo", version="1", model="none"))
    result = DocumentResult(
        id="doc_1",
        job_id="job_1",
        state="succeeded",
        source=SourceInfo(name="x.pdf", media_type="application/pdf", bytes=3, sha256="0" * 64, pages=1),
        options={},
        engine="echo",
        created_at="2026-01-01T00:00:00Z",
        pages=(PageEntry(number=1, state="succeeded", result=page),),
    )
    put(path, result.model_dump_json(exclude_none=True).encode())


def test_figures_beside_their_source_are_not_read_back(tmp_path):
    put(tmp_path / "in/x.pdf")
    put_result(tmp_path / "in/x.pdf.json", "1.jpg")
    put(tmp_path / "in/x.pdf.figures/1.jpg", b"\xff\xd8\xff")
    put(tmp_path / "in/mine.figures/1.jpg", b"\xff\xd8\xff")
    plan = make_plan([tmp_path / "in"], tmp_path / "in")
    assert names(plan) == ["x.pdf", "mine.figures/1.jpg"]
    assert plan.failures == []


def test_a_document_among_figures_is_never_left_out_silently(tmp_path):
    put(tmp_path / "in/x.pdf")
    put_result(tmp_path / "in/x.pdf.json", "1.jpg")
    put(tmp_path / "in/x.pdf.figures/1.jpg", b"\xff\xd8\xff")
    scan = put(tmp_path / "in/x.pdf.figures/scan.pdf")
    deep = put(tmp_path / "in/x.pdf.figures/deep/1.jpg", b"\xff\xd8\xff")
    plan = make_plan([tmp_path / "in"], tmp_path / "in")
    assert names(plan) == ["x.pdf"]
    assert {failure.where for failure in plan.failures} == {str(scan), str(deep)}


def test_a_folder_beside_a_json_of_somebody_elses_is_read(tmp_path):
    put(tmp_path / "in/x.json", b"{}")
    put(tmp_path / "in/x.figures/scan.pdf")
    assert names(make_plan([tmp_path / "in"], tmp_path / "in")) == ["x.figures/scan.pdf"]


def test_a_source_where_figures_will_lie_is_refused(tmp_path):
    put(tmp_path / "in/x.pdf")
    put(tmp_path / "in/x.pdf.figures/deep/1.jpg", b"\xff\xd8\xff")
    plan = make_plan([tmp_path / "in"])
    assert names(plan) == ["x.pdf"]
    assert [failure.code for failure in plan.failures] == ["invalid_request"]
    assert "x.pdf" in plan.failures[0].detail


def test_what_is_no_document_is_skipped_in_folders_and_kept_when_named(tmp_path):
    text = put(tmp_path / "in/notes.txt", b"hello")
    assert make_plan([tmp_path / "in"]).skipped == [str(text)]
    assert names(make_plan([text])) == ["notes.txt"]


def test_a_document_without_a_telling_name_is_found(tmp_path):
    put(tmp_path / "in/0001")
    put(tmp_path / "in/0002", b"")
    plan = make_plan([tmp_path / "in"])
    assert names(plan) == ["0001"]
    assert len(plan.skipped) == 1


def test_a_file_that_claims_to_be_a_document_is_never_skipped_silently(tmp_path):
    put(tmp_path / "in/empty.pdf", b"")
    put(tmp_path / "in/fake.pdf", b"hello")
    assert names(make_plan([tmp_path / "in"])) == ["empty.pdf", "fake.pdf"]


def test_a_missing_path_is_a_failure_and_its_neighbours_are_read(tmp_path):
    plan = make_plan([tmp_path / "no.pdf", put(tmp_path / "in/x.pdf"), tmp_path / "in/x.pdf/y.pdf"])
    assert names(plan) == ["x.pdf"]
    assert [failure.code for failure in plan.failures] == ["not_found", "not_found"]


def test_a_named_pipe_is_a_failure(tmp_path):
    os.mkfifo(tmp_path / "x.pdf")
    assert [failure.code for failure in make_plan([tmp_path / "x.pdf"]).failures] == ["unsupported_type"]


def test_links_in_a_circle_end(tmp_path):
    put(tmp_path / "in/sub/x.pdf")
    (tmp_path / "in/sub/up").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in/self").symlink_to("self")
    assert names(make_plan([tmp_path / "in"])) == ["sub/x.pdf"]


def test_a_linked_folder_is_read_once_and_its_real_place_wins(tmp_path):
    put(tmp_path / "in/real/x.pdf")
    put(tmp_path / "elsewhere/y.pdf")
    (tmp_path / "in/a-link").symlink_to(tmp_path / "in/real", target_is_directory=True)
    (tmp_path / "in/b-link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert names(make_plan([tmp_path / "in"])) == ["real/x.pdf", "b-link/y.pdf"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_a_failure(tmp_path):
    put(tmp_path / "in/x.pdf")
    closed = tmp_path / "in/closed"
    closed.mkdir(mode=0)
    plan = make_plan([tmp_path / "in"])
    assert names(plan) == ["x.pdf"]
    assert [failure.where for failure in plan.failures] == [str(closed)]


def test_names_that_are_no_unicode_are_kept(tmp_path):
    put(tmp_path / os.fsdecode(b"\xff.pdf"))
    assert names(make_plan([tmp_path])) == [os.fsdecode(b"\xff.pdf")]
