"""What the model answered -> content: repetition, formulas, tables, spotting."""

from __future__ import annotations

import re
from html import unescape
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.golden import Case, cases
from workers.engines.paddleocr_vl.answers import content_of
from workers.engines.paddleocr_vl.formula import with_dollars
from workers.engines.paddleocr_vl.html_tables import cells, read_html, rows
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


TAGS = ["<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"]
SOUP = st.lists(st.sampled_from([*TAGS, *TAGS, "a", " ", "b&c", "<b>", "\n", "<fcel", "é"]), max_size=60).map("".join)


@given(SOUP)
def test_any_answer_gives_a_table_without_holes_or_overlaps(otsl: str) -> None:
    html = otsl_to_html(otsl)
    if not html:
        return
    table = read_html(html)
    plain = re.sub("&#x27;|&quot;", lambda m: unescape(m[0]), html)
    assert table.html() == re.sub(r'( rowspan="\d+")( colspan="\d+")', r"\2\1", plain), "well-formed"
    taken: set[tuple[int, int]] = set()
    for top, row in enumerate(rows(table)):
        left = 0
        for cell in cells(row):
            while (top, left) in taken:
                left += 1
            places = set(product(range(top, top + cell.span("rowspan")), range(left, left + cell.span("colspan"))))
            assert not taken & places
            taken |= places
    width = max(left for _, left in taken) + 1
    assert taken == set(product(range(len(rows(table))), range(width)))


@given(SOUP)
def test_every_cell_with_text_is_in_the_table(otsl: str) -> None:
    html = otsl_to_html(otsl)
    read = [text.strip() for text in re.findall(f"<fcel>(.*?)(?={'|'.join(TAGS)}|$)", otsl.strip(), re.S)]
    assert [cell.text() for cell in read_html(html).find("td") if cell.text()] == [text for text in read if text]


def test_a_table_as_large_as_a_book_is_not_filled_up() -> None:
    """One long row, and many short ones that would be as long."""
    otsl = "".join(f"<fcel>{n}" for n in range(2000)) + "<nl>" + "".join(f"<fcel>{n}<nl>" for n in range(2000))
    assert content_of(otsl, "table", (10, 10)).text == otsl


@given(st.text(alphabet="ab \n", min_size=1, max_size=12), st.integers(1, 600), st.text(alphabet="cd\n", max_size=80))
def test_repetition_is_cut_and_never_to_nothing(unit: str, times: int, before: str) -> None:
    text = before + unit * times
    cut = without_repetition(text)
    assert len(cut) <= len(text)
    assert bool(cut.strip()) == bool(text.strip())


def test_repetition_after_text_leaves_the_text() -> None:
    assert without_repetition("The sum is 12. " + "and so on " * 100) == "The sum is 12."


@given(st.text(alphabet="ab$\\()[] ", max_size=40), st.booleans())
def test_formulas_have_dollars_or_stay_as_they_are(text: str, number: bool) -> None:
    found = with_dollars(text, formula_number=number)
    pairs = any(a in text and b in text for a, b in (("\\(", "\\)"), ("\\[", "\\]")))
    assert (found == text) if not pairs else not re.search(r"\\[()\[\]]", found.replace("\\\\", ""))


def test_garbage_of_places_is_no_error() -> None:
    answer = "a" + "<|LOC_99999999999999999999|>" * 8
    [line] = spotted_lines(answer, 10, 10)
    assert line.text == "a"
    assert spotted_lines("a<|LOC_1|><|LOC_2|>", 10, 10) == ()


MARKS = ["<|TEXT_START|>", "<|TEXT_END|>", "<|LOC_BEGIN|>", "<|LOC_END|>", "<|LOC_5|>" * 8, "a", "\n"]


@given(st.lists(st.sampled_from(MARKS), max_size=40).map("".join))
def test_lines_are_what_stands_between_their_tags(answer: str) -> None:
    texts = re.findall(r"<\|TEXT_START\|>(.*?)<\|TEXT_END\|>", answer, re.S)
    blocks = re.findall(r"<\|LOC_BEGIN\|>(.*?)<\|LOC_END\|>", answer, re.S)
    expected = [text.strip() for text, block in zip(texts, blocks, strict=False) if "<|LOC_5|>" in block]
    if expected:
        assert [line.text for line in spotted_lines(answer, 10, 10)] == expected


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("<|TEXT_START|>x" * 8000 + "<|LOC_BEGIN|>" * 8000, "spotting"),
        ("<fcel>a" + "<lcel>" * 16_000 + "<nl>" + "<fcel>b<nl>" * 16_000, "table"),
    ],
    ids=["tags without an end", "one long row"],
)
def test_an_endless_answer_is_looked_at_once(answer: str, label: str) -> None:
    """Half a minute for as many tokens as a job may ask for, in which the worker's loop and heartbeat stood still."""
    assert "x" not in content_of(answer, label, (10, 10)).text
