"""Names that users gave, in lists, archives and headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.names import UniqueNames, archive_name, content_disposition
from jobs.names import MAX_NAME, display_name


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("contract.pdf", "contract.pdf"),
        ("2024/Q1/contract.pdf", "2024/Q1/contract.pdf"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\Users\\me\\scan.pdf", "Users/me/scan.pdf"),
        ("a/./b//c.pdf", "a/b/c.pdf"),
        ("line\r\nbreak\0.pdf", "line__break_.pdf"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe", "_fdp.exe"),
        ('quo"te.pdf', 'quo"te.pdf'),
        ("报告.pdf", "报告.pdf"),
        ("  ", "document"),
        ("..", "document"),
        ("", "document"),
    ],
)
def test_names_are_shown_as_given_and_lead_nowhere(given_name, shown):
    assert display_name(given_name, "document") == shown


def test_a_long_name_keeps_its_end():
    shown = display_name("x" * 5000 + ".pdf", "document")
    assert len(shown) == MAX_NAME
    assert shown.endswith("x.pdf")


@given(st.text(max_size=400))
def test_no_name_leaves_its_folder_or_hides_anything(text):
    for name in (display_name(text, "document"), archive_name(text)):
        parts = name.split("/")
        assert all(part and part not in (".", "..") for part in parts)
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c == "\\" for c in name)
        name.encode()


@given(st.text(max_size=400))
def test_names_in_archives_can_be_unpacked_everywhere(text):
    for part in archive_name(text).split("/"):
        assert not set(part) & set('<>:"|?*')
        assert not part.endswith((".", " "))
        assert len(part.encode()) <= 201


@pytest.mark.parametrize(("name", "safe"), [("con.pdf", "_con.pdf"), ("LPT1", "_LPT1"), ("a?.pdf", "a_.pdf")])
def test_names_that_windows_does_not_have(name, safe):
    assert archive_name(name) == safe


def test_each_name_is_given_once():
    names = UniqueNames()
    taken = [names.take(name) for name in ("x.pdf", "x.pdf", "X.PDF", "x-2.pdf", "a/x.pdf", "x", "x", ".x", ".x")]
    assert taken == ["x.pdf", "x-2.pdf", "X-3.PDF", "x-2-2.pdf", "a/x.pdf", "x", "x-2", ".x", ".x-2"]


def test_a_hundred_thousand_equal_names_take_no_time():
    names = UniqueNames()
    assert len({names.take("scan.pdf") for _ in range(100_000)}) == 100_000


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.md", 'attachment; filename="a.md"'),
        ("2024/a.md", 'attachment; filename="a.md"'),
        ('a"; x=".md', "attachment; filename=\"a_; x=_.md\"; filename*=UTF-8''a%22%3B%20x%3D%22.md"),
        ("é.md", "attachment; filename=\"_.md\"; filename*=UTF-8''%C3%A9.md"),
        ("a\r\nSet-Cookie: x.md", 'attachment; filename="a__Set-Cookie: x.md"'),
    ],
)
def test_content_disposition(name, header):
    assert content_disposition("attachment", name) == header


@given(st.text(max_size=100))
def test_no_name_can_end_a_header(text):
    header = content_disposition("inline", text)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
