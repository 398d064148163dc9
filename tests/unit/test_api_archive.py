"""Archives that are made while they are sent."""

import io
import zipfile
from datetime import UTC, datetime

import pytest

from api.archive import Entry, zip_stream


def opened(chunks):
    return zipfile.ZipFile(io.BytesIO(b"".join(chunks)))


def test_an_archive_holds_what_was_put_in():
    modified = datetime(2026, 1, 31, 9, 30, 2, tzinfo=UTC)
    entries = [Entry("x.pdf.md", [b"# Ti", b"tle\n"], modified), Entry("figures/a.jpg", [b"\xff\xd8"], packed=True)]
    archive = opened(zip_stream(entries))
    assert archive.testzip() is None
    assert archive.namelist() == ["x.pdf.md", "figures/a.jpg"]
    assert archive.read("x.pdf.md") == b"# Title\n"
    assert archive.getinfo("x.pdf.md").date_time == (2026, 1, 31, 9, 30, 2)
    assert archive.getinfo("x.pdf.md").compress_type == zipfile.ZIP_DEFLATED
    assert archive.getinfo("figures/a.jpg").compress_type == zipfile.ZIP_STORED


def test_names_beyond_ascii():
    assert opened(zip_stream([Entry("报告.md", [b"x"])])).namelist() == ["报告.md"]


def test_an_empty_archive():
    assert opened(zip_stream([])).namelist() == []


def test_pieces_come_while_a_file_is_read():
    """64 MiB go through, never more than a few pieces behind what was read."""
    read = 0

    def chunks():
        nonlocal read
        for n in range(64):
            read += 1 << 20
            yield bytes([n]) * (1 << 20)

    sent = 0
    for piece in zip_stream([Entry("big.jpg", chunks(), packed=True)]):
        sent += len(piece)
        assert read - sent <= 2 << 20
    assert sent > 64 << 20


def test_an_entry_that_breaks_leaves_an_archive_that_is_visibly_cut():
    def chunks():
        yield b"x" * 200_000
        raise OSError("the store went away")

    got = bytearray()
    with pytest.raises(OSError, match="went away"):  # noqa: PT012
        for piece in zip_stream([Entry("x.md", chunks(), packed=True)]):
            got += piece
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(got))
