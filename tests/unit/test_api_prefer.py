"""Prefer as clients write it (RFC 7240)."""

import pytest

from api.prefer import MAX_WAIT, preferred_wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async", "Wait = 10"], 10),
        (['foo="a, wait=5"; bar=";,", wait="10"'], 10),
        (["wait=10; x=1, wait=20"], 10),
        (["wait=100000"], MAX_WAIT),
        (["wait=0"], 0),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=ten"], None),
        (["wait=²"], None),
        (["wait=" + "9" * 5000], None),
        (["waiting=10"], None),
        ([",,;=, wait=10"], 10),
        (["{}, wait=10"], 10),
        (['foo="open, wait=10'], 10),
        ([""], None),
    ],
)
def test_the_first_wait_counts_and_nonsense_is_ignored(headers, seconds):
    assert preferred_wait(headers) == seconds


def test_a_long_header_takes_no_long_time():
    assert preferred_wait([";" * 60_000]) is None
    assert preferred_wait(['a="' + "\\" * 60_000]) is None
    assert preferred_wait(["a ;" * 20_000 + "{"]) is None
    assert preferred_wait(["a" + "; " * 30_000 + "="]) is None
    assert preferred_wait(["a=" + " " * 1_000_000 + "("]) is None
    assert preferred_wait(["a" + " ; b = c" * 10_000 + "(, wait=10"]) == 10
