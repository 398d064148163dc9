"""What people see of messages: every page and document of them, in a form that tells them apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.readable import documents_shown, node_name, pages_shown, ranges
from jobs.store.claiming import DocumentRef, PageRef
from tests.flower import _numbers, pages_in

A, B, C = (f"doc_{digit * 32}" for digit in "abc")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([1], "1"), ([1, 2], "1-2"), ([3, 1, 2, 7], "1-3, 7"), ([10, 12, 14], "10, 12, 14"), ([], "")],
)
def test_ranges(numbers, text):
    assert ranges(numbers) == text


@given(st.sets(st.integers(1, 10_000), max_size=16))
def test_ranges_say_all_and_nothing_else(numbers):
    assert set(_numbers(ranges(sorted(numbers)))) == numbers


def test_pages_of_documents_of_jobs():
    refs = [PageRef(A, 2, 0), PageRef(A, 1, 3), PageRef(B, 7, 0), PageRef(C, 5, 0)]
    jobs = {A: "job_1", B: "job_1", C: "job_2"}
    assert pages_shown(refs, jobs) == f"pages 1-2 of {A}, page 7 of {B} (job_1); page 5 of {C} (job_2)"
    assert pages_shown(refs, {}) == f"pages 1-2 of {A}, page 7 of {B}, page 5 of {C}"
    assert pages_in(pages_shown(refs, jobs)) == {ref[:2] for ref in refs}
    assert documents_shown([DocumentRef(A, 0), DocumentRef(C, 4)], jobs) == f"{A} (job_1); {C} (job_2)"


def test_the_longest_text_is_no_longer_than_said():
    """16 pages of 16 jobs: about as long as the arguments that the worker reads."""
    documents = [f"doc_{n:032x}" for n in range(16)]
    text = pages_shown([PageRef(d, 10_000, 0) for d in documents], {d: f"job{d[3:]}" for d in documents})
    assert len(text) < 1500


def test_workers_are_named_by_their_rows():
    assert node_name("rapidocr", "cpu-0", "host") == "rapidocr-cpu-0@host"
    assert node_name("", "cpu-0", "host") == "cpu-0@host"
