"""What lies in OUT, when it counts as done, and what a killed run leaves."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import pytest

from api.cli.output import Recipe, Staging, Target, is_done, relink

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
    target.figures.mkdir()
    (target.figures / "old.jpg").write_bytes(b"")
    with Staging(target) as staging:
        staging.markdown.write_text("")
        staging.json.write_text("{}")
        staging.publish()
    assert not target.figures.exists()


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
        staging.markdown.write_text("whole")
        staging.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["x.pdf.md"]


@pytest.mark.parametrize("name", ["../x.jpg", "a/b.jpg", "..", "", "a\\b"])
def test_a_figure_stays_in_its_folder(tmp_path, name):
    with Staging(Target(tmp_path / "x.pdf")) as staging, pytest.raises(ValueError, match="no file name"):
        staging.figure(name)


def test_only_links_to_known_figures_are_moved():
    text = "(figures/a.jpg) ](figures/a.jpg) [figures/a.jpg] ](figures/ab.jpg) src='figures/a.jpg'"
    moved = "(figures/a.jpg) ](F/a.jpg) [figures/a.jpg] ](figures/ab.jpg) src='F/a.jpg'"
    assert relink(text, "F", {"a.jpg"}) == moved
