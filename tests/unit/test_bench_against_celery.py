"""What B4 reads from the meters of an engine, and what it says of it."""

from pathlib import Path

import pytest

from tests.bench.against_celery import MODEL, PARTS, PLOTS, Round, columns, in_order, plots
from tests.bench.celery_designs import documents
from tests.bench.celery_designs.apps import prefetch
from tests.bench.celery_designs.engine import page_result
from tests.bench.celery_runs import BEHIND, Killed, Run, backlog, read_meters
from tests.bench.modelled import Reading
from tests.bench.report import Spread
from tests.bench.standings import SAME, Column, standings


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


def found(figure: float) -> Round:
    """A round of which every figure but the rates follows from one."""
    cpu = dict.fromkeys(PARTS, figure)
    modelled = Run(rate=40 / figure, idle=figure / 10, first=figure, small=figure, cpu=cpu)
    return Round(modelled, Run(rate=100 / figure, idle=None, first=figure, small=None, cpu=cpu))


def test_conclusions_name_every_column_and_where_pagemill_stands():
    """They named three figures of twelve, and of the rest those where pagemill is last were among the missing."""
    rounds = {"pagemill": [found(3.0), found(3.1)], "one": [found(1.0), found(1.1)], "other": [found(2.0), found(2.1)]}
    killed = {
        "pagemill": Killed(documents=4, ended=4, lacking=0, wasted=38.0, seconds=13.0),
        "one": Killed(documents=4, ended=1, lacking=300, wasted=134.0, seconds=None),
        "other": Killed(documents=4, ended=4, lacking=0, wasted=20.0, seconds=12.0),
    }
    all_columns = columns(rounds, behind=4.7, backlog=5000, killed=killed)
    told = standings(all_columns, "pagemill")
    rows = [line for line in told.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(all_columns) == 8 + len(PARTS) + 4
    assert (
        "| CPU ms a page at 50 pages/s | one 4.20 | third of 3, 12.20 | one 4.20, other 8.20 | nobody | nobody |"
        in told
    )
    assert (
        "| seconds until all have ended (once) | other 12 | second of 3, 13 | other 12 | nobody | one never |" in told
    )
    assert "| pages that lack after it (once) | pagemill 0, other 0: " + SAME in told
    assert "last in 11 (pages/s, engine of 50 pages/s; engine idle;" in told
    assert "first alone in 1 (seconds of 3 pages behind 5,000, the designs' reckoned (once))" in told


def spreads(**sides: tuple[float, ...]) -> Column:
    return Column("pages/s", {side: Spread(values) for side, values in sides.items()}, "{:.0f}".format, most=True)


def test_no_order_is_claimed_where_spreads_overlap():
    """celery-batches once made 311 to 654 pages/s, and was put behind pagemill by its median."""
    column = spreads(pagemill=(341, 351, 387), batches=(311, 313, 654), chunk=(2384, 2594), chord=(254, 272, 300))
    assert column.first() == ["chunk"]
    assert column.ahead_of("pagemill") == ["chunk"]
    assert column.like("pagemill") == ["batches"]
    assert column.behind("pagemill") == ["chord"]
    assert column.place("pagemill") == "second to third of 4"


def test_several_are_first_where_nobody_is_ahead_of_them():
    column = spreads(pagemill=(4, 6), one=(5, 8), other=(1, 2))
    assert column.first() == ["one", "pagemill"]
    assert f"| one 6, pagemill 5: {SAME} | first to second of 3, 5 |" in standings([column], "pagemill")
    assert standings([column], "pagemill").endswith(
        "Of these 1 columns pagemill is not told apart from the first in 1 (pages/s)."
    )


def test_pages_of_a_document_come_back_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(documents.STORE, str(tmp_path))
    (tmp_path / "doc/pages").mkdir(parents=True)
    pages = [page_result(number, 0.5) for number in (10, 2, 1)]
    for page in pages:
        documents.save_page("doc", page)
    assert documents.load_pages("doc") == pages[::-1]
    assert sorted(path.name for path in (tmp_path / "doc/pages").iterdir()) == ["1.json", "10.json", "2.json"]


def test_plots_have_a_bar_for_each_side():
    drawn = plots({"pagemill": [found(1)], "chord": [found(2)]})
    assert list(drawn) == list(PLOTS)
    cpu = len(PARTS)
    for file, told in (
        ("b4-speed.svg", ("pagemill", "40.0", "chord", "20.0", "its steady rate: 50")),
        ("b4-cpu.svg", ("pagemill", f"{cpu:.2f}", "chord", f"{2 * cpu:.2f}", f"pagemill: {cpu}")),
    ):
        assert all(f">{text}</text>" in drawn[file] for text in told)
