"""What the model answered -> content: repetition, formulas, tables, spotting."""

from __future__ import annotations

import pytest

from tests.golden import Case, cases
from workers.engines.paddleocr_vl.answers import content_of
from workers.engines.paddleocr_vl.otsl import otsl_to_html
from workers.engines.paddleocr_vl.repetition import without_repetition
from workers.engines.paddleocr_vl.spotting import spotted_lines, spotted_text


@pytest.mark.parametrize("case", cases("otsl_to_html"), ids=str)
def test_tables_are_those_of_paddlex(case: Case) -> None:
    assert otsl_to_html(case.input) == case.expected


@pytest.mark.parametrize("case", cases("truncate_repetitive"), ids=str)
def test_repetition_is_cut_as_paddlex_does(case: Case) -> None:
    assert without_repetition(case.input, case.params["min_count"]) == case.expected


@pytest.mark.parametrize("case", cases("spotting"), ids=str)
def test_lines_are_spotted_as_by_paddlex(case: Case) -> None:
    lines = spotted_lines(case.input, case.params["width"], case.params["height"])
    assert spotted_text(lines) == case.expected["text"]
    expected = case.expected["spotting_res"]
    assert [line.text for line in lines] == expected["rec_texts"]
    polygons = [[list(point) for point in line.polygon] for line in lines]
    assert [p for line in polygons for p in line] == [
        pytest.approx(p, abs=1e-9) for line in expected["rec_polys"] for p in line
    ]


@pytest.mark.parametrize("case", cases("vlm_text"), ids=str)
def test_contents_are_those_of_paddlex(case: Case) -> None:
    content = content_of(case.input, case.params["label"], tuple(case.params["block_size"]))
    assert content.text == case.expected["content"]
