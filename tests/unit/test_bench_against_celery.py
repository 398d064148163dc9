"""What B4 reads from the meters of an engine."""

from pathlib import Path

import pytest

from tests.bench.celery_designs.engine import page_result
from tests.bench.celery_runs import backlog, read_meters
from tests.bench.modelled import Reading


def reading(at: float, *, ended: int, running: int) -> Reading:
    return Reading(at, 0.0, 0.0, 0.0, ended, running, 0)


def test_backlog_begins_with_the_first_page_and_ends_while_enough_are_left():
    readings = [
        reading(0, ended=3, running=0),  # three pages of the warm-up
        reading(1, ended=3, running=64),
        reading(2, ended=13, running=64),
        reading(3, ended=63, running=40),
        reading(4, ended=103, running=0),
    ]
    begin, end = backlog(readings, pages=100, left=40)
    assert (begin.at, end.at) == (1, 3)


def test_an_engine_that_did_nothing_has_no_backlog():
    with pytest.raises(StopIteration):
        backlog([reading(0, ended=0, running=0)], pages=10, left=1)


def test_half_a_line_of_the_meters_is_left_out(tmp_path: Path):
    file = tmp_path / "readings"
    file.write_text(f"{reading(1, ended=2, running=3)}\n1.05 22")
    assert read_meters(file) == [reading(1, ended=2, running=3)]


def test_pages_of_the_designs_say_what_pagemills_say():
    """Field by field, as `workers.recognize` stores them: neither side writes less."""
    from tests.bench.modelled import TEXT

    page = page_result(7, 1.23456)
    assert [block["content"] for block in page["blocks"]] == ["page 7", TEXT]
    assert page["timings"] == {"recognize": 1.2346}
