"""What a run says of itself."""

from __future__ import annotations

import io

from rich.console import Console

from api.cli.bars import Bars, OpenDocument, Progress, Speed, clock, line, picture

PROGRESS = Progress(
    documents=60, finished=12, failed=1, pages=345, pages_ahead=100.0, open=[OpenDocument("sub/x.pdf", 40, 10)]
)


def test_a_line_tells_counts_speed_and_time_left():
    assert line(PROGRESS, 5.0) == "12/60 documents, 345 pages, 5.0 pages/s, 1 failed, 0:00:20 left"


def test_without_speed_nothing_is_promised():
    assert line(PROGRESS, 0.0).endswith("? left")


def test_a_note_stands_where_time_would():
    waiting = Progress(documents=1, finished=0, failed=0, pages=0, pages_ahead=1.0, note="starting the engine")
    assert line(waiting, 0.0) == "0/1 document, 0 pages, 0.0 pages/s, starting the engine"


def test_one_is_no_plural():
    one = Progress(documents=1, finished=1, failed=0, pages=1, pages_ahead=0.0)
    assert line(one, 1.0).startswith("1/1 document, 1 page, ")
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(picture(one, 1.0))
    assert "1/1 document " in (text := console.export_text())
    assert "1 page  " in text


def test_the_picture_shows_open_documents():
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(picture(PROGRESS, 5.0))
    text = console.export_text()
    assert "12/60 documents 1 failed" in text
    assert "345 pages  5.0 pages/s  0:00:20 left" in text
    assert "sub/x.pdf" in text
    assert "10/40" in text


def test_speed_is_that_of_the_last_half_minute():
    speed = Speed()
    for second in range(101):
        speed.add(float(second), 10 * second if second <= 50 else 500 + 2 * (second - 50))
    assert 1.9 < speed.rate < 2.4


def test_speed_needs_two_samples():
    speed = Speed()
    assert speed.rate == 0
    speed.add(1.0, 5)
    assert speed.rate == 0


def test_the_clock_counts_hours():
    assert clock(59.6) == "0:01:00"
    assert clock(7325) == "2:02:05"


def test_bars_off_a_terminal_write_no_control_characters():
    out = io.StringIO()
    with Bars(Console(file=out)) as bars:
        bars.say("a line")
        bars.show(PROGRESS)
    assert out.getvalue() == "a line\n"  # the first line of progress comes after ten seconds
