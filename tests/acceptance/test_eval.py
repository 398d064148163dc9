"""`pagemill eval` after a real `pagemill run`: what the echo engine read ("page <number>") against truth of our own."""

from __future__ import annotations

import pytest

from tests.acceptance.command import Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, {"PAGEMILL_ENGINE": "echo", "PAGEMILL_TIME_FACTOR": "20"})


def test_results_are_scored_and_what_is_wrong_is_told(place):
    place.put_pdf("in/a.pdf", pages=2)
    place.put_pdf("in/sub/b.pdf", width=300)
    assert place.run("run", "in", "-o", "out").returncode == 0
    truth = place.path / "truth"
    (truth / "sub").mkdir(parents=True)
    (truth / "a.txt").write_text("page 1\fPage 2\f")
    (truth / "sub/b.pdf.md").write_text("page *1*\n")

    good = place.json("eval", "truth", "-r", "out")
    assert [(file["name"], file["edits"], len(file["pages"])) for file in good["files"]] == [
        ("a.pdf", 1, 2),
        ("sub/b.pdf", 0, 0),
    ]
    assert good["total"]["cer"] == pytest.approx(1 / 18, abs=1e-6)
    assert [group["group"] for group in good["groups"]] == [".", "sub"]
    assert good["failures"] == []
    shown = place.run("eval", "truth", "-r", "out").stdout.splitlines()
    assert [line.split("\t")[:3] for line in shown[:2]] == [
        ["document", "characters", "CER"],
        ["a.pdf", "12", "8.33 %"],
    ]

    (truth / "missing.txt").write_text("nobody read this")
    (truth / "sub/b.pdf.md").write_bytes(b"\xff")
    bad = place.json("eval", "truth", "-r", "out", "--max-cer", "5", status=1)
    assert {failure["where"]: failure["code"] for failure in bad["failures"]} == {
        "truth/missing.txt": "not_found",
        "truth/sub/b.pdf.md": "corrupt_file",
        "truth": "max_cer",
    }
    assert [file["name"] for file in bad["files"]] == ["a.pdf"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "pagemill: not_found: there is no such folder (nowhere)\n"),
        (["in/a.pdf"], "pagemill: invalid_request: this is no folder (in/a.pdf)\n"),
        (["in"], "pagemill: not_found: no results of pagemill lie here: x.pdf.json or x.pdf.md (in)\n"),
    ],
)
def test_folders_that_hold_no_truth_or_no_results(place, arguments, said):
    place.put_pdf("in/a.pdf")
    done = place.run("eval", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
