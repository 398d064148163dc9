"""`pagemill run` into a folder where other things lie: they stay as they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from jobs.results import DocumentResult
from tests.acceptance.command import Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, {"PAGEMILL_ENGINE": "echo", "PAGEMILL_TIME_FACTOR": "20"})


def contents(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def reasons(place: Place, summary: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    found = summary["failures"]
    return {str(Path(failure["where"]).relative_to(place.path / "figs")): failure["code"] for failure in found}


def test_results_beside_the_sources_touch_nothing_of_the_users(place):
    for number, name in enumerate(("x.pdf", "x.pdf.figures/scan.pdf", "sub/y.pdf", "sub/y.pdf.figures/only-copy.pdf")):
        place.put_pdf(f"figs/{name}", width=200 + number)
    (place.path / "figs/x.pdf.figures/notes.txt").write_text("mine")
    mine = place.path / "figs/x.pdf.json"
    mine.write_text(json.dumps({"pages": [], "state": "mine"}))
    before = contents(place.path / "figs")
    covered = {
        "x.pdf.figures/scan.pdf": "invalid_request", "sub/y.pdf.figures/only-copy.pdf": "invalid_request"
    }  # fmt: skip

    first = place.json("run", "figs", "-o", "figs", status=1)
    assert reasons(place, first) == covered | {"x.pdf": "output_forbidden"}
    assert any("figs/x.pdf.json is in the way" in failure["detail"] for failure in first["failures"])
    after = contents(place.path / "figs")
    assert after.items() >= before.items()
    assert after.keys() - before.keys() == {"sub/y.pdf.json", "sub/y.pdf.md"}

    # With our own result beside it the folder is still the user's, and what lies in it is still told.
    again = place.json("run", "figs", "-o", "figs", "--force", status=1)
    assert reasons(place, again) == covered | {"x.pdf": "output_forbidden"}
    assert contents(place.path / "figs").items() >= before.items()
    mine.rename(place.path / "moved.json")
    assert reasons(place, place.json("run", "figs", "-o", "figs", status=1)) == covered
    DocumentResult.model_validate_json(mine.read_bytes())
    del before["x.pdf.json"]
    assert contents(place.path / "figs").items() >= before.items()


def test_a_markdown_of_the_users_is_not_overwritten(place):
    place.put_pdf("in/x.pdf")
    place.put_pdf("in/y.pdf", width=300)
    mine = place.path / "out/x.pdf.md"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = place.run("run", "in", "-o", "out")
    assert done.returncode == 1, done
    [told] = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert "in/x.pdf: output_forbidden: out/x.pdf.md is in the way" in told
    assert mine.read_text() == "mine"
    assert sorted(path.name for path in mine.parent.iterdir()) == ["x.pdf.md", "y.pdf.json", "y.pdf.md"]
