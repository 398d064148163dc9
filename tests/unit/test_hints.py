"""Event messages: what they name, whoever sends them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.hints import Hint, parse_hints


def record(key: str, bucket: str = "b", event: str = "ObjectCreated:Put") -> dict[str, object]:
    return {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "eTag": "x"}}}


@pytest.mark.parametrize(
    ("message", "hints"),
    [
        ({"Records": [record("in/a+b%2Bc%25.pdf")]}, [Hint("b", "in/a b+c%.pdf")]),  # AWS
        (
            {"EventName": "s3:ObjectCreated:Put", "Key": "b/in/%C3%A9.pdf", "Records": [record("in%2F%C3%A9.pdf")]},
            [Hint("b", "in/é.pdf")],
        ),  # MinIO
        ([{"Event": [record("in/a.pdf")], "EventTime": "now"}], [Hint("b", "in/a.pdf")]),  # MinIO in Redis
        (
            {"source": "aws.s3", "detail": {"bucket": {"name": "b"}, "object": {"key": "in/a+b%20c.pdf"}}},
            [Hint("b", "in/a+b%20c.pdf")],
        ),  # EventBridge does not encode
        ({"key": "/buckets/b/in/a+b.pdf", "event_type": "create", "message": {}}, [Hint("b", "in/a+b.pdf")]),
        ({"Records": [record("x"), record("y"), record("x")]}, [Hint("b", "x"), Hint("b", "y")]),
        ({"Records": [record("x", event="ObjectRemoved:Delete")]}, []),
        ({"key": "/buckets/b/x", "event_type": "delete"}, []),
        ({"key": "/topics/x", "event_type": "create"}, []),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}, []),
        ({"Records": [{"s3": {"bucket": {"name": 7}, "object": {"key": None}}}]}, []),
        ({"Records": [{"s3": "no"}, 7, None, {"detail": []}]}, []),
        ("text", []), (7, []), (None, []), ([[[[[[record("deep")]]]]]], []),
    ],
)  # fmt: skip
def test_what_messages_name(message, hints):
    assert parse_hints(json.dumps(message)) == hints


def test_what_is_no_json_is_an_error():
    with pytest.raises(ValueError, match=r"."):
        parse_hints(b"{")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Records", "Event", "s3", "bucket", "object", "key", "name", "detail", "eventName"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON)
def test_any_json_names_keys_or_nothing(value):
    for hint in parse_hints(json.dumps(value)):
        assert isinstance(hint.bucket, str)
        assert isinstance(hint.key, str)
        assert hint.bucket
        assert hint.key
