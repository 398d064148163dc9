"""URLs of users: one parser, and nothing that two could read differently."""

from __future__ import annotations

import pytest

from jobs.errors import InvalidRequest
from jobs.urls import MAX_URL, check_http_url, parse_http_url, shown


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("https://Example.org", "https://example.org/"),
        ("HTTPS://example.org:443/a?b=c#d", "https://example.org/a?b=c"),
        ("http://example.org.:8080/?x", "http://example.org:8080/?x"),
        ("https://example.org/ä b".replace(" ", "%20"), "https://example.org/%C3%A4%20b"),
        ("https://[2606:4700::1111]:8443/x", "https://[2606:4700::1111]:8443/x"),
        ("https://[::FFFF:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
        ("https://2130706433/", "https://2130706433/"),
        ("https://a_b.example/%2e%2e/?q=%20", "https://a_b.example/%2e%2e/?q=%20"),
        ("https://example.org?x=1", "https://example.org/?x=1"),
        ("https://example.org:/", "https://example.org/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ],
)
def test_what_will_be_asked(text, asked):
    assert check_http_url(text, "url") == asked
    assert check_http_url(asked, "url") == asked


@pytest.mark.parametrize(
    "text",
    [
        "", "example.org", "//example.org", "ftp://example.org", "file:///etc/passwd", "gopher://x", "javascript:x",
        "https://", "https:///x", "https://user@example.org", "https://user:word@example.org", "https://@example.org",
        "https://example.org:0/", "https://example.org:65536/", "https://example.org:x/", "https://example.org:-1/",
        "https://exa mple.org/", "https://example.org/a b", "https://example.org/\r\nX: y", "https://example.org/\0",
        "\nhttps://example.org/", "https://example.org\\@evil/", "https://[::1].evil/", "https://[::1]evil/",
        "https://evil[::1]/", "https://[::1%25eth0]/", "https://[1.2.3.4]/", "https://[]/", "https://[::1/",
        "https://bücher.example/", "https://%31%32%37.0.0.1/", "https://a..b/", "https://-a/", "https://a:1:2/",
        "https://" + "a" * 64 + ".org/", "https://" + "a." * 127 + "org/", "https://x/" + "a" * MAX_URL,
        "https://x/\ud800", "https://ⓔxample.org/", "https://x\u3002y/",
    ],
)  # fmt: skip
def test_what_is_no_url_for_us(text):
    with pytest.raises(InvalidRequest) as raised:
        check_http_url(text, "webhook.url")
    assert raised.value.where == "webhook.url"


def test_only_the_origin_is_shown():
    assert parse_http_url("https://example.org/T0K3N?key=secret").origin == "https://example.org"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example.org/a.pdf?token=x#y", "https://example.org/a.pdf"),
        ("https://user:secret@example.org:8443/a.pdf", "https://example.org:8443/a.pdf"),
        ("https://user:sec@ret@example.org", "https://example.org"),
        ("s3://bucket/a@b/c.pdf", "s3://bucket/a@b/c.pdf"),
        ("//user:secret@example.org/", "//example.org/"),
        ("x?secret", "x"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url_is_no_secret(url, told):
    assert shown(url) == told
