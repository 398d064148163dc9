"""What lies in OUT, when it counts as done, and what a killed run leaves."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.cli.output import Recipe, Staging, Target, is_done, relink
from jobs.errors import OutputForbidden
from jobs.results import Block, DocumentResult, EngineInfo, PageEntry, PageResult, SourceInfo

RECIPE = Recipe("echo", {"figures": True})


def finished(tmp_path: Path, **changes: object) -> tuple[Target, Path]:
    """A source and its result as a run writes them, with changes to document.json."""
    source = tmp_path / "x.pdf"
    source.write_bytes(b"%PDF-1.7 hello")
    target = Target(tmp_path / "out/x.pdf")
    target.base.parent.mkdir(exist_ok=True)
    document = {
        "schema_version": "1",
        "state": "succeeded",
        "source": {
            "name": "x.pdf",
            "bytes": source.stat().st_size,
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "pages": 3,
        },
        "options": {"figures": True},
        "engine": "echo",
        "pages": [{"number": 1, "result": {"pages": ["x"]}}],
    } | changes
    target.json.write_text(json.dumps(document))
    target.markdown.write_text("hello")
    return target, source


def fill(staging: Staging, figures: list[str], listed: list[str]) -> None:
    """A result of these figures, whose document.json lists `listed`."""
    blocks = tuple(Block(label="image", bbox=(0, 0, 1, 1), order=n, figure=name) for n, name in enumerate(listed))
    page = PageResult(number=1, blocks=blocks, engine=EngineInfo(name="echo", version="1", model="none"))
    result = DocumentResult(
        id="doc_1",
        job_id="job_1",
        state="succeeded",
        source=SourceInfo(name="x.pdf", media_type="application/pdf", bytes=3, sha256="0" * 64, pages=1),
        options={"figures": True},
        engine="echo",
        created_at="2026-01-01T00:00:00Z",
        pages=(PageEntry(number=1, state="succeeded", result=page),),
    )
    staging.markdown.write_text("".join(f"![](figures/{name})\n" for name in figures))
    staging.json.write_text(result.model_dump_json(exclude_none=True))
    for name in figures:
        staging.figure(name).write_bytes(b"jpeg")


def publish(target: Target, figures: Sequence[str] = (), listed: Sequence[str] | None = None) -> None:
    with Staging(target) as staging:
        fill(staging, list(figures), list(figures if listed is None else listed))
        staging.publish()


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything that lies below: its inode and bytes by path."""
    paths = sorted(folder.rglob("*"))
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_ino, path.read_bytes() if path.is_file() else b"")
        for path in paths
    }


def test_a_complete_result_of_the_same_bytes_is_done(tmp_path):
    assert is_done(*finished(tmp_path), RECIPE)


@pytest.mark.parametrize(
    "changes",
    [{"state": "partial"}, {"engine": "rapidocr"}, {"options": {"figures": True, "dpi": 300}}, {"source": None}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_way_of_reading_is_not_done(tmp_path, changes):
    assert not is_done(*finished(tmp_path, **changes), RECIPE)


def test_changed_bytes_of_the_same_length_are_not_done(tmp_path):
    target, source = finished(tmp_path)
    source.write_bytes(source.read_bytes()[::-1])
    assert not is_done(target, source, RECIPE)


def test_missing_markdown_and_damaged_json_are_not_done(tmp_path):
    target, source = finished(tmp_path)
    whole = target.json.read_bytes()
    target.json.write_bytes(whole[:40])
    assert not is_done(target, source, RECIPE)
    target.json.write_bytes(whole)
    target.markdown.unlink()
    assert not is_done(target, source, RECIPE)


def test_only_the_head_of_a_long_result_is_read(tmp_path):
    """document.json of 10,000 pages has hundreds of megabytes; its pages come last."""
    target, source = finished(tmp_path)
    head = target.json.read_bytes()
    with target.json.open("r+b") as file:
        file.seek(len(head))
        file.write(b"#" * (1 << 17))  # behind the pages: never parsed
    assert is_done(target, source, RECIPE)


def test_results_appear_together_with_links_into_their_own_folder(tmp_path):
    target = Target(tmp_path / "out/a b/ü.pdf")
    with Staging(target) as staging:
        staging.markdown.write_text('![](figures/p1.jpg) <img src="figures/p1.jpg"> ![](figures/other.jpg)\n')
        staging.json.write_text("{}")
        staging.figure("p1.jpg").write_bytes(b"jpeg")
        assert not target.markdown.exists()
        staging.publish()
    folder = "%C3%BC.pdf.figures"
    expected = f'![]({folder}/p1.jpg) <img src="{folder}/p1.jpg"> ![](figures/other.jpg)\n'
    assert target.markdown.read_text() == expected
    assert (target.figures / "p1.jpg").read_bytes() == b"jpeg"
    assert sorted(path.name for path in target.base.parent.iterdir()) == [
        "ü.pdf.figures", "ü.pdf.json", "ü.pdf.md"
    ]  # fmt: skip


def test_old_figures_go_when_the_new_result_has_none(tmp_path):
    target = Target(tmp_path / "x.pdf")
    publish(target, figures=["old.jpg"])
    assert (target.figures / "old.jpg").exists()
    publish(target)
    assert not target.figures.exists()


def test_only_listed_figures_are_replaced_and_removed(tmp_path):
    target = Target(tmp_path / "x.pdf")
    publish(target, figures=["1.jpg", "2.jpg"])
    (target.figures / "scan.pdf").write_bytes(b"the only copy")
    publish(target, figures=["2.jpg", "3.jpg"])
    assert sorted(path.name for path in target.figures.iterdir()) == ["2.jpg", "3.jpg", "scan.pdf"]
    publish(target)
    assert [path.name for path in target.figures.iterdir()] == ["scan.pdf"]


def test_a_foreign_folder_stays_when_a_document_has_no_figures(tmp_path):
    target = Target(tmp_path / "x.pdf")
    target.figures.mkdir()
    publish(target)
    assert target.figures.is_dir()
    (target.figures / "scan.pdf").write_bytes(b"the only copy")
    publish(target)
    publish(target)
    assert (target.figures / "scan.pdf").read_bytes() == b"the only copy"


def foreign_places(target: Target) -> dict[str, Path]:
    return {
        "json": target.json,
        "markdown": target.markdown,
        "figure": target.figures / "1.jpg",
        "figures": target.figures,
    }


@pytest.mark.parametrize("place", ["json", "markdown", "figure", "figures"])
def test_what_is_foreign_is_never_overwritten(tmp_path, place):
    target = Target(tmp_path / "x.pdf")
    foreign = foreign_places(target)[place]
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text('{"mine": ""figure": "1.jpg""}')
    before = tree(tmp_path)
    with pytest.raises(OutputForbidden, match=re.escape(str(foreign))) as refused:
        publish(target, figures=["1.jpg"])
    assert refused.value.where == str(foreign)
    assert tree(tmp_path) == before


def test_a_foreign_figure_in_the_way_leaves_the_whole_old_result(tmp_path):
    target = Target(tmp_path / "x.pdf")
    publish(target, figures=["1.jpg"])
    (target.figures / "2.jpg").write_bytes(b"mine")
    before = tree(tmp_path)
    with pytest.raises(OutputForbidden, match=re.escape("2.jpg")):
        publish(target, figures=["1.jpg", "2.jpg"])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_folder_or_link_where_a_result_goes_is_foreign(tmp_path, kind):
    target = Target(tmp_path / "out/x.pdf")
    target.base.parent.mkdir()
    elsewhere = tmp_path / "elsewhere"
    publish(Target(elsewhere / "x.pdf"))
    if kind == "folder":
        target.json.mkdir()
    else:
        target.json.symlink_to(elsewhere / "x.pdf.json")
    before = tree(tmp_path)
    with pytest.raises(OutputForbidden):
        publish(target)
    assert tree(tmp_path) == before


def test_names_that_leave_the_folder_are_not_followed(tmp_path):
    """A document.json is data of somebody's: what it lists outside the folder is not its own."""
    target = Target(tmp_path / "x.pdf")
    publish(target, figures=["1.jpg"], listed=["1.jpg", "../keep.txt", ".."])
    (tmp_path / "keep.txt").write_text("kept")
    publish(target)
    assert (tmp_path / "keep.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("step", "earlier"), [*((step, False) for step in range(5)), *((step, True) for step in range(7))]
)
def test_a_run_killed_while_publishing_is_undone_by_the_next(tmp_path, step, earlier):
    """Whatever was moved in when it died is known as ours, and so replaced; what is foreign stays."""
    target = Target(tmp_path / "x.pdf")
    if earlier:
        publish(target, figures=["1.jpg", "2.jpg"])
    target.figures.mkdir(exist_ok=True)
    (target.figures / "scan.pdf").write_bytes(b"the only copy")
    child = os.fork()
    if child == 0:
        try:
            die_at(step)
            publish(target, figures=["2.jpg", "3.jpg"])
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert any(path.name.startswith(".pagemill-") for path in tmp_path.iterdir())
    publish(target, figures=["4.jpg"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pdf.figures", "x.pdf.json", "x.pdf.md"]
    assert sorted(path.name for path in target.figures.iterdir()) == ["4.jpg", "scan.pdf"]


def die_at(step: int) -> None:
    """End this process like a kill at its `step`th unlink or rename of a result."""
    left = step

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("os.rename", "os.remove") and "x.pdf." in os.fsdecode(
            arguments[-2 if event == "os.remove" else 1]
        ):
            if left == 0:
                os._exit(9)
            left -= 1

    sys.addaudithook(watch)


def test_an_error_while_publishing_leaves_nothing_half(tmp_path):
    target = Target(tmp_path / "x.pdf")
    with contextlib.suppress(FileNotFoundError), Staging(target) as staging:
        fill(staging, ["1.jpg"], ["1.jpg"])
        staging.json.unlink()
        staging.publish()
        raise AssertionError("a result without its mark was published")
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_old_result_as_it_was(tmp_path):
    target = Target(tmp_path / "x.pdf")
    target.markdown.write_text("old")
    with contextlib.suppress(OSError), Staging(target) as staging:
        staging.markdown.write_text("new")
        raise OSError("no space left")
    assert target.markdown.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.pdf.md"]


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path):
    target = Target(tmp_path / "x.pdf")
    Staging(target).__enter__().markdown.write_text("half")  # killed here
    with Staging(target) as staging:
        fill(staging, [], [])
        staging.publish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pdf.json", "x.pdf.md"]


@pytest.mark.parametrize("name", ["../x.jpg", "a/b.jpg", "..", "", "a\\b"])
def test_a_figure_stays_in_its_folder(tmp_path, name):
    with Staging(Target(tmp_path / "x.pdf")) as staging, pytest.raises(ValueError, match="no file name"):
        staging.figure(name)


def test_only_links_to_known_figures_are_moved():
    text = "(figures/a.jpg) ](figures/a.jpg) [figures/a.jpg] ](figures/ab.jpg) src='figures/a.jpg'"
    moved = "(figures/a.jpg) ](F/a.jpg) [figures/a.jpg] ](figures/ab.jpg) src='F/a.jpg'"
    assert relink(text, "F", {"a.jpg"}) == moved
