"""docs/reconcile.md tells every difference in the words of the code; the status follows from what is left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.cli.reconcile import Tally, status, summary
from jobs.reconcile.differences import CODES, Difference
from jobs.reconcile.rules import document_differences, job_differences
from jobs.store.proving import PAGE_RULES, DocumentFacts, JobFacts

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "reconcile.md").read_text().partition("## The differences")[2].partition("\n## ")[0]


def test_the_table_is_the_code():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", TABLE, re.M)
    assert rows == [(code, meaning.what, meaning.fix or "—") for code, meaning in CODES.items()]


def test_every_code_that_is_told_is_in_the_table_and_the_other_way_round():
    told = set(PAGE_RULES)
    for module in (ROOT / "jobs" / "reconcile").glob("*.py"):
        if module.name != "differences.py":
            told |= set(re.findall(r'"([a-z_]+)"', module.read_text())) & set(CODES)
    assert told == set(CODES)


def difference(fixed=False):
    return Difference("job_totals", "job_1", "2", "3", fixed)


@pytest.mark.parametrize(
    ("found", "blind", "right"),
    [([], [], 0), ([False], [], 1), ([True], [], 0), ([True, False], [], 1), ([], ["x"], 2), ([False], ["x"], 2)],
)
def test_the_status(found, blind, right):
    tally = Tally(limit=10)
    for fixed in found:
        tally.add(difference(fixed))
    assert status(tally, blind) == right
    assert summary(tally, blind, fix=True)["clean"] == (right == 0)


def test_all_are_counted_and_so_many_kept():
    tally = Tally(limit=2)
    for _ in range(5):
        tally.add(difference())
    told = summary(tally, [], fix=False)
    assert told["codes"]["job_totals"]["found"] == 5
    assert len(told["differences"]) == 2


DOCUMENT = DocumentFacts(
    id="doc_1", job_id="job_1", state="partial", sealed=True, worker=None, attempt=2, rung=False, ended=True,
    has_error=False, source_pages=3, source_key="k", result_attempt=2, job_state="partial", delayed=False,
    holder_known=True, total=3, counters=(0, 0, 2, 1, 0), counted=(0, 0, 2, 1, 0), rows=3, odd=0,
)  # fmt: skip
JOB = JobFacts(
    id="job_1", state="partial", sealed=True, ended=True, manifest=True, has_password=True, deleted=False, purged=False,
    settled=True, purge_due=False, totals=(1, 0, 1, 0, 0, 3, 0, 2, 1, 0), summed=(1, 0, 1, 0, 0, 3, 0, 2, 1, 0),
    documents={"queued": 0, "running": 0, "succeeded": 0, "partial": 1, "failed": 0, "canceled": 0},
)  # fmt: skip


def test_what_keeps_the_rules_is_not_named():
    assert list(document_differences(DOCUMENT)) == []
    assert list(job_differences(JOB)) == []
