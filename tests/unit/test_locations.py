"""How places of users are written."""

from __future__ import annotations

import pytest

from jobs.blobs import Location, parse_location
from jobs.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("s3://bucket/incoming/", Location("s3", "bucket", "incoming/")),
        ("s3://bucket", Location("s3", "bucket", "")),
        ("s3://bucket/a b/ü+%.pdf", Location("s3", "bucket", "a b/ü+%.pdf")),
        ("file:/data/incoming/", Location("file", "/data/incoming", "")),
        ("file:/data/incoming", Location("file", "/data/incoming", "")),
        ("file:///data/incoming/", Location("file", "/data/incoming", "")),
    ],
)
def test_locations_are_read(text, location):
    assert parse_location(text, where="here") == location
    assert parse_location(str(location), where="here") == location


@pytest.mark.parametrize(
    "text",
    [
        "", "bucket/a", "s3:/bucket", "s3://", "s3:///a", "s3://a/x", "s3://-bucket/", "s3://bucket/../other/x",
        "s3://bucket/./x", "s3://bucket/a/..", "s3://bucket/a\nb", "s3://bucket/" + "x" * 1025, "file:relative/",
        "file:", "s3://bucket//a", "s3://bucket/a//b", "file://host/x", "file:/data/../etc", "http://bucket/x", "s3://bucket/\ud800",
    ],
)  # fmt: skip
def test_what_is_no_location_is_refused(text):
    with pytest.raises(InvalidRequest) as refused:
        parse_location(text, where="here")
    assert refused.value.where == "here"


def test_beside_and_covers():
    for text, beside in [
        ("s3://b1/incoming/", "s3://b1/outgoing/"), ("s3://b1/t/in/", "s3://b1/t/outgoing/"),
        ("s3://b1/", "s3://b1/outgoing/"), ("file:/data/in/", "file:/data/outgoing/"), ("file:/in/", "file:/outgoing/"),
    ]:  # fmt: skip
        assert str(parse_location(text, where="").beside("outgoing")) == beside
    inbox = parse_location("s3://b1/in/", where="")
    assert inbox.covers(parse_location("s3://b1/in/done/", where=""))
    assert not inbox.covers(parse_location("s3://b1/in2/", where=""))
    assert not inbox.covers(parse_location("s3://b2/in/", where=""))
    folder = parse_location("file:/in/", where="")
    assert folder.covers(parse_location("file:/in/done/", where=""))
    assert not folder.covers(parse_location("file:/in2/", where=""))
