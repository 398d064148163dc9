"""Options at the door: page ranges, limits, and what is kept of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.errors import InvalidPageRange
from jobs.options import EchoOptions, JobOptions, PageOptions, page_options, parse_page_ranges, select_pages


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("1", [(1, 1)]),
        ("1-3", [(1, 3)]),
        ("1-3,8-", [(1, 3), (8, None)]),
        ("-3", [(1, 3)]),
        ("4-", [(4, None)]),
        (" 2 , 5 - 6 ", [(2, 2), (5, 6)]),
        ("7,7", [(7, 7), (7, 7)]),
    ],
)
def test_ranges_are_read(text, ranges):
    assert parse_page_ranges(text) == ranges


@pytest.mark.parametrize("text", ["", ",", "1,", "-", "0", "0-2", "3-1", "a", "1--2", "1-2-3", "1.5", "-0"])
def test_what_is_no_range_is_refused_with_the_part_that_is_none(text):
    with pytest.raises(ValueError, match="is no page range"):
        parse_page_ranges(text)
    with pytest.raises(ValidationError):
        JobOptions(pages=text)


@pytest.mark.parametrize(
    ("text", "count", "pages"),
    [
        (None, 3, [1, 2, 3]),
        (None, 0, []),
        ("2", 3, [2]),
        ("2-", 4, [2, 3, 4]),
        ("-2", 4, [1, 2]),
        ("3,1,2-3", 4, [1, 2, 3]),
        ("2-9", 3, [2, 3]),
        ("1,99", 3, [1]),
    ],
)
def test_pages_are_selected_ascending_and_once(text, count, pages):
    assert select_pages(text, count) == pages


@pytest.mark.parametrize(("text", "count"), [("4", 3), ("9-12", 3), ("1", 0)])
def test_selecting_nothing_is_an_error_that_says_how_many_there_are(text, count):
    with pytest.raises(InvalidPageRange) as raised:
        select_pages(text, count)
    assert (raised.value.code, raised.value.limit, raised.value.actual) == ("invalid_page_range", count, text)


def test_a_huge_bound_costs_nothing():
    assert select_pages("1-999999999999", 3) == [1, 2, 3]


def test_thousands_of_ranges_over_the_same_pages_cost_no_more_than_one():
    assert select_pages(",".join(["2-"] * 20_000), 100_000) == list(range(2, 100_001))


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), min_size=1))
def test_ranges_in_any_order_and_overlap_select_each_page_once(spans):
    text = ",".join(f"{first}-{first + more}" for first, more in spans)
    assert select_pages(text, 40) == sorted({n for first, more in spans for n in range(first, first + more + 1)})


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 50))
def test_naming_pages_one_by_one_selects_those_that_exist(chosen, count):
    text = ",".join(str(number) for number in chosen)
    there = sorted(number for number in chosen if number <= count)
    if there:
        assert select_pages(text, count) == there
    else:
        with pytest.raises(InvalidPageRange):
            select_pages(text, count)


@given(st.text(alphabet="0123456789-, ", max_size=12))
def test_any_text_is_read_or_refused_and_nothing_else(text):
    try:
        ranges = parse_page_ranges(text)
    except ValueError:
        return
    assert all(first >= 1 and (last is None or last >= first) for first, last in ranges)


@pytest.mark.parametrize("dpi", [35, 601, 0, -1])
def test_the_resolution_has_bounds(dpi):
    with pytest.raises(ValidationError):
        JobOptions(dpi=dpi)


@pytest.mark.parametrize("options", [{"dpy": 200}, {"echo": {"secs": {}}}, {"priority": "urgent"},
                                     {"echo": {"faults": {"1": "explode"}}}])  # fmt: skip
def test_unknown_names_and_words_are_errors(options):
    with pytest.raises(ValidationError):
        JobOptions.model_validate(options)


def test_what_is_kept_has_no_secret_and_nothing_that_lies_elsewhere():
    options = JobOptions(dpi=150, pages="1-2", password="geheim", priority="interactive", metadata={"a": 1},
                         engine="echo", echo=EchoOptions(seconds={"*": 0.5}))  # fmt: skip
    kept = options.stored()
    assert set(kept) == {"dpi", "pages", "figures", "text", "echo"}
    assert "geheim" not in str(kept)
    assert "geheim" not in repr(options)


def test_the_engine_gets_its_share_of_what_was_kept():
    options = JobOptions(dpi=150, pages="1-2", figures=False, echo=EchoOptions(render=True))
    assert page_options(options.stored()) == PageOptions(dpi=150, figures=False, echo=EchoOptions(render=True))
    assert page_options({}) == PageOptions()


def test_options_are_values():
    with pytest.raises(ValidationError):
        JobOptions().dpi = 100
