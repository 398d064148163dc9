"""Where we differ from PaddleX: what is recorded is a difference, and the documents tell of it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.golden import FOLDER, cases, deviations

ALL = {c.name: c for path in FOLDER.glob("*.jsonl") if path.stem != "deviations" for c in cases(path.stem)}
PAGE = (Path(__file__).parents[2] / "docs" / "paddleocr-vl.md").read_text()


def test_every_case_is_here() -> None:
    assert len(ALL) == 585 + len(cases("outlines"))


def test_a_deviation_is_one() -> None:
    for name, deviation in deviations().items():
        assert ALL[name].output != deviation["ours"], name


def test_the_documents_list_the_cases_where_we_differ() -> None:
    named = re.findall(r"`([a-z0-9_]+-[a-z0-9-]+-[0-9a-f]{8})`", PAGE)
    assert sorted(named) == sorted(deviations())
