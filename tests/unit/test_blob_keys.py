"""Object keys: where things lie, and which names are refused before any store sees them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.blobs import (
    check_key,
    check_prefix,
    content_disposition,
    figure_key,
    job_prefix,
    manifest_key,
    open_store,
    page_key,
    result_key,
    upload_key,
)
from jobs.errors import InvalidRequest
from jobs.settings import BlobSettings

JOB, DOCUMENT = "job_" + "a" * 32, "doc_" + "b" * 32


def test_keys_of_a_job_lie_under_its_prefix():
    keys = [
        manifest_key(JOB),
        page_key(JOB, DOCUMENT, 12, 3),
        figure_key(JOB, DOCUMENT, 12, 3, "figure-1.png"),
        result_key(JOB, DOCUMENT, 2, "document.md"),
    ]
    assert all(check_key(key).startswith(job_prefix(JOB)) for key in keys)
    assert check_prefix(job_prefix(JOB)) == f"jobs/{JOB}/"


def test_each_attempt_has_its_own_keys():
    assert page_key(JOB, DOCUMENT, 1, 1) != page_key(JOB, DOCUMENT, 1, 2)
    assert result_key(JOB, DOCUMENT, 1, "document.md") != result_key(JOB, DOCUMENT, 2, "document.md")
    # Neither page 1, attempt 11 nor page 11, attempt 1 may be mistaken for the other.
    assert page_key(JOB, DOCUMENT, 1, 11) != page_key(JOB, DOCUMENT, 11, 1)


def test_uploads_lie_under_their_day_so_that_old_ones_can_be_swept():
    assert upload_key(date(2026, 3, 7), JOB, DOCUMENT) == f"uploads/2026-03-07/{JOB}/{DOCUMENT}"


@pytest.mark.parametrize(
    "key",
    ["a", "a/b.c", "...", "a/..b", " ", "ä/日本 語", "😀", "a" * 255, "/".join(["é" * 100] * 5), "%2e%2e", "a:b*?"],
)
def test_odd_names_are_keys(key):
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a\0b", "a\nb", "a\x7f", "a\\b",
        "..\\a", "\ud800", "a" * 256, "ä" * 128, "/".join(["a" * 100] * 11), ".pagemill-tmp/x", "a/.pagemill-x",
    ],
)  # fmt: skip
def test_dangerous_names_are_not_keys(key):
    with pytest.raises(InvalidRequest) as refused:
        check_key(key)
    refused.value.problem().model_dump_json()  # can be shown to whoever sent it


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "a/b/", "a/."])
def test_prefixes_are_folders_or_beginnings_of_names(prefix):
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", "a//", "./", "a\0", "a\\", ".pagemill-tmp/", "a" * 1025])
def test_prefixes_never_leave_the_store(prefix):
    with pytest.raises(InvalidRequest):
        check_prefix(prefix)


@pytest.mark.parametrize(
    "url", ["file:", "file://host/share", "file://", "s3://", "s3:///prefix", "s3://bucket/a/../b"]
)
def test_store_urls_without_a_place_are_refused(url):
    with pytest.raises(InvalidRequest):
        open_store(BlobSettings(store_url=url))


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "file://localhost{}"])
def test_every_form_of_a_file_url_names_the_same_directory(form, tmp_path):
    open_store(BlobSettings(store_url=f"file:{tmp_path}/objects")).put("a", b"1")
    assert open_store(BlobSettings(store_url=form.format(tmp_path / "objects"))).get("a") == b"1"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("scan.pdf", "attachment; filename=\"scan.pdf\"; filename*=UTF-8''scan.pdf"),
        ("näïve.md", "attachment; filename=\"naive.md\"; filename*=UTF-8''n%C3%A4%C3%AFve.md"),
        ("日本.md", "attachment; filename=\".md\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.md"),
        ("日本", "attachment; filename=\"download\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC"),
        ('a"; b=\\c', "attachment; filename=\"a__ b=_c\"; filename*=UTF-8''a%22%3B%20b%3D%5Cc"),
        ("a\r\nX-Evil: 1", "attachment; filename=\"a__X-Evil: 1\"; filename*=UTF-8''a%0D%0AX-Evil%3A%201"),
    ],
)
def test_content_disposition_by_rfc_6266(name, header):
    assert content_disposition(name) == header


@given(st.text(st.characters(exclude_categories=())))
def test_content_disposition_is_always_one_line_of_ascii(name):
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
