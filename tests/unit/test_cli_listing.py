"""How `pagemill jobs` lists jobs: what nobody may cut, and what is left out where there is no room."""

from datetime import UTC, datetime

import pytest

from api.cli.listing import plain_lines, short_time, table_lines
from jobs.models import DocumentCounts, JobPublic, PageCounts, State

NOW = datetime(2026, 11, 22, 13, 53, tzinfo=UTC)
ID = "job_" + "0123456789abcdef" * 2


def job(documents: int = 12, pages: int = 345) -> JobPublic:
    return JobPublic(
        id=ID,
        state=State.SUCCEEDED,
        sealed=True,
        engine="rapidocr",
        priority="batch",
        options={},
        metadata={},
        documents=DocumentCounts(total=documents, unfinished=0, succeeded=documents, partial=0, failed=0, canceled=0),
        pages=PageCounts(total=pages, pending=0, running=0, succeeded=pages, failed=0, canceled=0),
        error=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW,
    )


def test_an_ordinary_job_fits_into_80_columns():
    head, line = (text.plain for text in table_lines([job()], 80, NOW))
    assert head.split() == ["job", "state", "docs", "pages", "created", "engine"]
    assert line.split() == [ID, "succeeded", "12/12", "345/345", "13:53", "rapidocr"]
    assert head.index("engine") == line.index("rapidocr")
    assert len(line) <= 80


@pytest.mark.parametrize(("width", "columns"), [(90, 6), (80, 5), (70, 4), (20, 4)])
def test_a_narrow_terminal_loses_columns_and_never_digits(width, columns):
    line = table_lines([job(1000, 20_000)], width, NOW)[1].plain
    assert line.split() == [ID, "succeeded", "1000/1000", "20000/20000", "13:53", "rapidocr"][:columns]


def test_programs_get_tabs_and_whole_times():
    head, line = plain_lines([job()])
    assert head.split("\t") == ["job", "state", "docs", "pages", "created", "engine"]
    assert line.split("\t") == [ID, "succeeded", "12/12", "345/345", "2026-11-22T13:53:00Z", "rapidocr"]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 22, 0, 1, tzinfo=UTC), "00:01"),
        (datetime(2026, 11, 21, 23, 59, tzinfo=UTC), "Nov 21"),
        (datetime(2025, 11, 22, 13, 53, tzinfo=UTC), "2025-11-22"),
    ],
)
def test_times_are_as_short_as_they_can_be(moment, text):
    assert short_time(moment, NOW) == text
