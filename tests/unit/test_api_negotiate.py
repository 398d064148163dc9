"""Which format a client gets."""

import pytest

from api.negotiate import ALL, JSON, MARKDOWN, TEXT, ZIP, choose, has_already
from jobs.errors import InvalidRequest, NotAcceptable


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, MARKDOWN),
        ("", MARKDOWN),
        ("*/*", MARKDOWN),
        ("application/json", JSON),
        ("text/plain", TEXT),
        ("text/*", MARKDOWN),
        ("application/*", JSON),
        ("application/zip, application/json;q=0.9", ZIP),
        ("application/zip;q=0.2, application/json;q=0.9", JSON),
        ("text/markdown;q=0, */*", JSON),  # the more specific range wins, whatever its q
        ("Application/JSON; charset=utf-8; Q=1", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", MARKDOWN),  # a browser
        ("text/plain;q=nonsense, application/zip", ZIP),
    ],
)
def test_by_accept(accept, chosen):
    assert choose(None, accept, ALL) is chosen


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/json;q=0", "*/*;q=0", ",;,"])
def test_nothing_acceptable(accept):
    with pytest.raises(NotAcceptable, match="application/zip"):
        choose(None, accept, ALL)


def test_format_goes_before_accept():
    assert choose("zip", "application/json", ALL) is ZIP


def test_a_format_that_is_not_offered_here_says_why():
    with pytest.raises(NotAcceptable, match="one by one"):
        choose("markdown", None, (JSON, ZIP), "read them one by one")


def test_a_format_that_does_not_exist():
    with pytest.raises(InvalidRequest, match="markdown, json, text, zip") as caught:
        choose("docx", None, ALL)
    assert caught.value.where == "query.format"


@pytest.mark.parametrize(
    ("header", "known"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), (None, False), ("", False)],
)
def test_if_none_match(header, known):
    assert has_already(header, '"a"') is known
