"""Which truth belongs to which result, and what `pagemill eval` makes of them."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from api.cli.main import build
from api.cli.scoring import Evaluation, How, evaluate
from api.cli.truth import match
from jobs.errors import InvalidRequest, NotFound, PageCrashed
from jobs.results import Block, DocumentResult, EngineInfo, Label, PageEntry, PageResult, SourceInfo
from jobs.scoring import score

TABLE = "<table><tr><td>a</td><td>b</td></tr></table>"


@pytest.fixture
def truth(tmp_path):
    (tmp_path / "truth").mkdir()
    return tmp_path / "truth"


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def entry(number: int, *contents: str, label: Label = "text") -> PageEntry:
    blocks = tuple(Block(label=label, bbox=(0, 0, 1, 1), content=c, order=i) for i, c in enumerate(contents))
    engine = EngineInfo(name="e", version="1", model="m")
    return PageEntry(number=number, state="succeeded", result=PageResult(number=number, engine=engine, blocks=blocks))


def put_result(folder: Path, name: str, *pages: PageEntry) -> Path:
    """As `pagemill run` writes it: the JSON, and Markdown beside it."""
    document = DocumentResult(
        id="doc_1",
        job_id="job_1",
        state="succeeded",
        source=SourceInfo(name=name, media_type="application/pdf", bytes=1, sha256="0"),
        options={},
        engine="e",
        created_at="2026-01-01T00:00:00Z",
        pages=pages,
    )
    put(folder / f"{name}.md", "the Markdown says the same and is not looked at")
    return put(folder / f"{name}.json", document.model_dump_json(by_alias=True))


def evaluated(truth: Path, results: Path, **how: bool) -> Evaluation:
    return evaluate(match(truth, results), How(**how), lambda name: None)


def cers(done: Evaluation) -> dict[str, float | None]:
    return {one.pair.result.name: one.score.cer for one in done.scored}


def codes(done: Evaluation) -> list[tuple[str, str]]:
    return [(Path(failure.where).name, failure.code) for failure in done.failures]


# --- what belongs together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.pdf.txt", "x.txt", "x.pdf.md", "x.html", "x.pdf.MARKDOWN", "x.page-1.txt"])
def test_truth_is_named_as_its_document_or_its_stem(truth, results, name):
    put(truth / name, "abcd")
    put_result(results, "x.pdf", entry(1, "abxd"))
    assert cers(evaluated(truth, results)) == {"x.pdf": 0.25}


def test_folders_are_mirrored(truth, results):
    for folder in ("a", "b/c"):
        put(truth / folder / "x.txt", folder)
        put_result(results / folder, "x.pdf", entry(1, folder))
    done = evaluated(truth, results)
    assert cers(done) == {"a/x.pdf": 0.0, "b/c/x.pdf": 0.0}
    assert list(done.groups) == ["a", "b/c"]


def test_the_stem_is_about_every_document_of_that_name_unless_one_has_its_own(truth, results):
    put(truth / "x.txt", "stem")
    put(truth / "x.png.txt", "own")
    put_result(results, "x.pdf", entry(1, "stem"))
    put_result(results, "x.png", entry(1, "own"))
    assert cers(evaluated(truth, results)) == {"x.pdf": 0.0, "x.png": 0.0}


def test_truth_beside_the_results(truth):
    put(truth / "x.txt", "abcd")
    put_result(truth, "x.pdf", entry(1, "abcd"))
    assert cers(evaluated(truth, truth)) == {"x.pdf": 0.0}


def test_markdown_alone_is_a_result_too(truth, results):
    put(truth / "x.txt", "Title abcd")
    put(results / "x.pdf.md", "# Title\n\nab*cd*\n")
    put(results / "notes.md", "this is of no document")
    done = evaluated(truth, results)
    assert cers(done) == {"x.pdf": 0.0}
    assert done.unused == []


def test_hidden_files_are_no_truth(truth, results):
    put(truth / ".x.txt", "abcd")
    put(truth / ".git/x.txt", "abcd")
    put(truth / "y.txt", "abcd")
    put_result(results, "y.pdf", entry(1, "abcd"))
    assert codes(evaluated(truth, results)) == []


def test_results_without_truth_are_named(truth, results):
    put(truth / "x.txt", "abcd")
    for name in ("x.pdf", "y.pdf"):
        put_result(results, name, entry(1, "abcd"))
    assert evaluated(truth, results).unused == ["y.pdf"]


# --- pages -------------------------------------------------------------------------------------------------------


def test_form_feeds_end_pages(truth, results):
    put(truth / "x.txt", "one\fthree\f")  # as pdftotext writes them
    put_result(results, "x.pdf", entry(1, "one"), entry(2, "thxee"))
    [scored] = evaluated(truth, results).scored
    assert {number: page.edits for number, page in scored.pages.items()} == {1: 0, 2: 1}


def test_truth_of_single_pages_leaves_the_others_alone(truth, results):
    put(truth / "x.pdf.page-2.txt", "two")
    put(truth / "x.pdf.page-03.md", "*three*")
    put_result(results, "x.pdf", *(entry(n, text) for n, text in enumerate(("one", "two", "three"), 1)))
    [scored] = evaluated(truth, results).scored
    assert scored.pages.keys() == {2, 3}
    assert scored.score.cer == 0.0


def test_a_page_that_failed_was_not_read(truth, results):
    put(truth / "x.txt", "one\ftwo")
    failed = PageEntry(number=2, state="failed", error=PageCrashed("it ended the engine three times").problem())
    put_result(results, "x.pdf", entry(1, "one"), failed)
    assert cers(evaluated(truth, results)) == {"x.pdf": 0.5}


def test_pages_that_the_result_lacks_are_told(truth, results):
    put(truth / "x.txt", "one\ftwo\fthree")
    put_result(results, "x.pdf", entry(1, "one"))
    done = evaluated(truth, results)
    [failure] = done.failures
    assert (failure.code, failure.pages) == ("not_found", "2-3")
    assert cers(done) == {"x.pdf": 0.0}


# --- what is compared --------------------------------------------------------------------------------------------


def test_furniture_counts_where_asked_for(truth, results):
    put(truth / "x.txt", "Head\nBody")
    put_result(results, "x.pdf", entry(1, "Head", label="header"))
    assert cers(evaluated(truth, results)) == {"x.pdf": 1.0}
    assert cers(evaluated(truth, results, furniture=True)) == {"x.pdf": pytest.approx(5 / 9)}


def test_exact(truth, results):
    put(truth / "x.txt", "“a”")
    put_result(results, "x.pdf", entry(1, '"a"'))
    assert cers(evaluated(truth, results)) == {"x.pdf": 0.0}
    assert cers(evaluated(truth, results, exact=True)) == {"x.pdf": pytest.approx(2 / 3)}


def test_tables_are_compared_where_the_truth_has_some(truth, results):
    put(truth / "x.html", TABLE)
    put(truth / "y.txt", "ab")
    put_result(results, "x.png", entry(1, TABLE.replace(">b<", ">c<"), label="table"))
    put_result(results, "y.png", entry(1, TABLE, label="table"))
    first, second = evaluated(truth, results).scored
    assert first.score.teds == pytest.approx(0.75)
    assert first.score.teds_structure == 1.0
    assert second.score.teds is None


# --- what cannot be compared -------------------------------------------------------------------------------------


def test_truth_without_a_result(truth, results):
    put(truth / "x.txt", "abcd")
    put_result(results, "y.pdf", entry(1, "abcd"))
    done = evaluated(truth, results)
    assert codes(done) == [("x.txt", "not_found")]
    assert f"x.json or x.….json in {results}" in done.failures[0].detail


@pytest.mark.parametrize(("first", "second"), [("x.pdf.txt", "x.pdf.md"), ("x.txt", "x.page-2.txt")])
def test_two_truths_about_the_same_page(truth, results, first, second):
    for name in (first, second):
        put(truth / name, "abcd")
    put_result(results, "x.pdf", entry(1, "abcd"), entry(2, "abcd"))
    done = evaluated(truth, results)
    assert [code for _, code in codes(done)] == ["invalid_request"]
    assert done.scored == []


def test_truth_that_is_no_utf8_harms_nobody_else(truth, results):
    (truth / "x.txt").write_bytes("é".encode("latin-1"))
    put(truth / "y.txt", "\ufeffabcd")
    for name in ("x.pdf", "y.pdf"):
        put_result(results, name, entry(1, "abcd"))
    done = evaluated(truth, results)
    assert codes(done) == [("x.txt", "corrupt_file")]
    assert done.failures[0].detail == "not UTF-8 at byte 0"
    assert cers(done) == {"y.pdf": 0.0}


def test_a_result_that_ends_in_the_middle(truth, results):
    put(truth / "x.txt", "abcd")
    path = put_result(results, "x.pdf", entry(1, "abcd"))
    path.write_bytes(path.read_bytes()[:-10])
    assert codes(evaluated(truth, results)) == [("x.pdf.json", "corrupt_file")]


def test_a_result_that_is_no_json_is_not_replaced_by_its_markdown(truth, results):
    put(truth / "x.txt", "abcd")
    put(results / "x.pdf.md", "abcd")
    put(results / "x.pdf.json", '{"schema"')
    done = evaluated(truth, results)
    assert codes(done) == [("x.pdf.json", "corrupt_file")]
    assert done.scored == []


def test_truth_that_nothing_is_compared_with_is_told(truth, results):
    put(truth / "x.pdf.txt", "abcd")
    put(truth / "x.page-1.txt", "abcd")
    put_result(results, "x.pdf", entry(1, "abcd"))
    done = evaluated(truth, results)
    assert codes(done) == [("x.page-1.txt", "invalid_request")]
    assert "other truth names x.pdf itself" in done.failures[0].detail
    assert cers(done) == {"x.pdf": 0.0}


def test_texts_too_long_say_how_to_go_on(truth, results, monkeypatch):
    monkeypatch.setattr(score, "LONGEST", 10)
    put(truth / "x.txt", "a" * 11)
    put_result(results, "x.pdf", entry(1, "a"))
    [failure] = evaluated(truth, results).failures
    assert failure.code == "file_too_large"
    assert "limit 10" in failure.detail
    assert "cut the truth into pages" in failure.detail


def test_folders_that_cannot_be_meant(truth, results, tmp_path):
    with pytest.raises(NotFound, match="there is no such folder"):
        match(tmp_path / "nowhere", results)
    with pytest.raises(InvalidRequest, match="this is no folder"):
        match(put(tmp_path / "file.txt", ""), truth)
    with pytest.raises(NotFound, match="no results of pagemill lie here"):
        match(truth, results)
    put_result(results, "x.pdf", entry(1))
    with pytest.raises(NotFound, match=r"no ground truth lies here: \.txt, \.md"):
        match(truth, results)
    with pytest.raises(NotFound, match="no ground truth lies here"):
        match(results, results)


# --- the command -------------------------------------------------------------------------------------------------


def say(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(build(["eval"]), ["eval", *map(str, arguments)])
    return done.exit_code, done.stdout


def test_json(truth, results):
    put(truth / "sub/x.txt", "abcd\fefgh")
    put_result(results / "sub", "x.pdf", entry(1, "abxd"), entry(2, "efgh"))
    status, said = say(truth, "-r", results, "--json")
    document = orjson.loads(said)
    assert status == 0
    assert document["total"]["files"] == 1
    assert document["total"]["cer"] == 0.125
    assert document["total"]["teds"] is None
    assert [group["group"] for group in document["groups"]] == ["sub"]
    [file] = document["files"]
    assert file["name"] == "sub/x.pdf"
    assert [(page["page"], page["cer"]) for page in file["pages"]] == [(1, 0.25), (2, 0.0)]


def test_a_table_to_be_cut_by_tabs_where_no_terminal_is(truth, results):
    put(truth / "x.txt", "abcd")
    put_result(results, "x.pdf", entry(1, "abxd"))
    status, said = say(truth, "-r", results)
    rows = [line.split("\t") for line in said.splitlines()]
    assert status == 0
    assert rows[0][:4] == ["document", "characters", "CER", "recall"]
    assert rows[1][:4] == ["x.pdf", "4", "25.00 %", "75.00 %"]
    assert rows[-1][0] == "total"


@pytest.mark.parametrize("tables", [False, True])
def test_a_terminal_of_80_columns_has_room_for_names(truth, results, monkeypatch, tables):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    put(truth / "report.html", f"<p>abcd</p>{TABLE if tables else ''}")
    put_result(results, "report.pdf", entry(1, "abxd"))
    status, said = say(truth, "-r", results)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in said.splitlines()]
    assert status == 0
    heads = next(line for line in lines if line.startswith("document")).split()
    assert heads[:4] == ["document", "chars", "CER", "recall"]
    assert ("TEDS" in heads) == tables
    [row] = [line.split() for line in lines if line.startswith("report.pdf")]
    assert len(row) == len(heads)
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(("limit", "status"), [("24.9", 1), ("25", 0)])
def test_a_limit_for_the_total(truth, results, limit, status):
    put(truth / "x.txt", "abcd")
    put_result(results, "x.pdf", entry(1, "abxd"))
    assert say(truth, "-r", results, "--max-cer", limit)[0] == status


def test_what_failed_makes_the_status_1(truth, results):
    put(truth / "x.txt", "abcd")
    put(truth / "z.txt", "abcd")
    put_result(results, "x.pdf", entry(1, "abcd"))
    status, said = say(truth, "-r", results)
    assert status == 1
    assert "z.txt: not_found: " in said
