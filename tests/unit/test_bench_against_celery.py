"""What B4 reads from the meters of an engine, and what it says of it."""

from pathlib import Path

import pytest

from tests.bench.against_celery import MODEL, Round, in_order, standings
from tests.bench.celery_designs import documents
from tests.bench.celery_designs.apps import prefetch
from tests.bench.celery_designs.engine import page_result
from tests.bench.celery_runs import BEHIND, Run, backlog, read_meters
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


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_each_thread_has_a_list_and_one_more_waits(threads: int):
    ahead = prefetch(128, threads) * threads  # as Celery multiplies
    assert (threads + 1) * 128 <= ahead < (threads + 1) * 128 + threads


def test_who_comes_later_waits_only_for_the_rest():
    pages = 1000
    assert in_order(pages, 0.0) == pytest.approx(pages / MODEL.pages_per_second - BEHIND)
    assert in_order(pages, 0.5) == pytest.approx(2 * pages / MODEL.pages_per_second - BEHIND)
    assert in_order(1, 0.0) == 0


def test_standings_follow_the_figures():
    def found(idle: float, rate: float, cpu: float) -> Round:
        modelled = Run(rate=40.0, idle=idle, first=1.0, small=1.0, cpu={"worker": 9.0})
        return Round(modelled, Run(rate=rate, idle=None, first=1.0, small=None, cpu={"worker": cpu, "broker": 1.0}))

    told = standings({"one": [found(0.2, 100, 1.0), found(0.4, 300, 2.0)], "other": [found(0.1, 250, 0.5)]})
    assert "Engine idle: other 10.0%, one 30.0%." in told
    assert "Pages/s without engine time: other 250, one 200." in told
    assert "CPU milliseconds a page without engine time: other 1.50, one 2.50." in told


def test_pages_of_a_document_come_back_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(documents.STORE, str(tmp_path))
    (tmp_path / "doc/pages").mkdir(parents=True)
    pages = [page_result(number, 0.5) for number in (10, 2, 1)]
    for page in pages:
        documents.save_page("doc", page)
    assert documents.load_pages("doc") == pages[::-1]
    assert sorted(path.name for path in (tmp_path / "doc/pages").iterdir()) == ["1.json", "10.json", "2.json"]
