"""What the clockwork and the API ask of the database, timed one by one with more and more rows in it.

Everything runs as the product runs it, in a transaction that is rolled back; what is told is the median, in
milliseconds. A statement may cost what it finds; it must not cost what there is besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from sqlalchemy import text
from sqlmodel import Session

from jobs.store import (
    census,
    closing,
    deadlines,
    ending,
    entering,
    finding,
    following,
    outlook,
    proving,
    publishing,
    reading,
    recording,
    rescue,
    retention,
    ringing,
    usage,
    waiting,
    webhooks,
    workers,
)
from jobs.store.claiming import ClaimedPage, PageRef, claim_pages
from jobs.store.database import Database
from jobs.store.recording import Outcome
from tests.bench.report import table
from tests.bench.scale.bulk import CAPACITY, ENGINE, WORKER, load
from tests.bench.scale.site import database

ROUNDS = 9
GROWTH, NOTICED = 1.5, 2.0
"""What has grown: by that much, to more milliseconds than these."""
ASKED = {
    "history": "all but 10,000 of them read",
    "backlog": "all of them waiting",
    "one job": "one job of documents of one page, half of them read",
}
STALE, EXPIRES = 30.0, 60.0
CHUNK = 16

Question = Callable[[Session], object]


class Subject:
    """The job that is looked at: the newest, which runs; and what of it waits."""

    def __init__(self, session: Session) -> None:
        connection = session.connection()
        self.job = str(connection.execute(text("SELECT max(id) FROM job")).scalar_one())
        rows = connection.execute(
            text(
                "SELECT p.document_id, p.number, p.attempt FROM document d JOIN page p ON p.document_id = d.id"
                " WHERE d.job_id = :job AND p.state = 'pending' ORDER BY 1, 2 LIMIT :n"
            ),
            {"job": self.job, "n": CHUNK},
        )
        self.refs = [PageRef(*row) for row in rows]
        self.document = self.refs[0].document
        self.last = int(
            connection.execute(
                text("SELECT max(position) FROM document WHERE job_id = :j"), {"j": self.job}
            ).scalar_one()
        )


def questions(of: Subject) -> dict[str, dict[str, Question]]:
    """By how often they are asked."""
    return {
        "each round of dispatch, 0.2 s or sooner": {
            "what is in flight": waiting.pages_in_flight,
            "whose turn it is": lambda s: waiting.pages_waiting(s, ENGINE, 2 * CAPACITY, ()),
            "choose and stamp 128 pages": lambda s: ringing.stamp_windows(s, {ENGINE: 2 * CAPACITY}),
            "documents in flight": waiting.documents_in_flight,
            "splits and fetches": lambda s: (ringing.stamp_splits(s, 64), ringing.stamp_fetches(s, 16)),
            "assemblies": lambda s: ringing.stamp_assemblies(s, 32),
        },
        "each message": {
            "claim 16 pages": lambda s: claim_pages(s, WORKER, of.refs),
            "claim and record 16 pages": partial(_claim_and_record, of),
        },
        "each second": {
            "fold the totals of running jobs": closing.fold_running,
            "open listings": lambda s: entering.open_listings(s, 8),
            "webhooks that are due": lambda s: webhooks.due(s, 1024, 64, EXPIRES),
        },
        "each rescue, 5 s": {
            "dead workers": lambda s: workers.declare_dead(s, STALE),
            "take back documents and pages": lambda s: (rescue.take_back_documents(s, 3), rescue.take_back_pages(s, 3)),
            "documents past their time": lambda s: deadlines.end_late(s, 3600.0),
            "lost rings": lambda s: (ringing.clear_page_stamps(s, EXPIRES), ringing.clear_document_stamps(s, EXPIRES)),
            "jobs to close": closing.jobs_to_close,
            "expired, stale and deleted jobs": lambda s: (
                retention.expired_jobs(s, 100), retention.stale_sources(s, 20), ending.jobs_to_purge(s, 1000)
            ),
            "publications": publishing.any_due,
        },
        "API": {
            "GET a job": lambda s: following.look(s, of.job),
            "its place in the queue (kept for seconds)": lambda s: outlook.outlook(s, STALE),
            "list of jobs, 50": lambda s: finding.find_jobs(s, finding.JobFilter(), limit=50),
            "list of failed jobs, 50": lambda s: finding.find_jobs(s, finding.JobFilter((_FAILED,)), limit=50),
            "documents of a job, first 100": lambda s: reading.list_documents(s, of.job, limit=100),
            "the last 100": lambda s: reading.list_documents(s, of.job, limit=100, after=of.last - 100),
            "its failed documents": lambda s: reading.list_documents(
                s, of.job, limit=100, only=finding.document_filter((_FAILED,))
            ),
            "pages of a document, 100": lambda s: reading.list_pages(s, of.document, limit=100),
            "workers": reading.list_workers,
            "backlog of a key": lambda s: usage.backlog(s, ""),
            "metrics (kept for seconds)": lambda s: census.census(s, STALE),
        },
        "pagemill reconcile, a piece": {
            "500 documents": lambda s: proving.documents(s, proving.document_ids(s, "", 500, 20_000), 86400.0),
            "pages of nobody": lambda s: proving.pages_of_nobody(s, "", proving.document_ids(s, "", 500, 20_000)[-1]),
            "100 jobs": lambda s: proving.jobs(s, proving.job_ids(s, "", 100, 20_000), 60.0, 600.0),
        },
    }  # fmt: skip


_FAILED = finding.State.FAILED


def _claim_and_record(of: Subject, session: Session) -> None:
    claimed: Sequence[ClaimedPage] = claim_pages(session, WORKER, of.refs)
    assert len(claimed) == len(of.refs)
    recording.record(session, [Outcome(page, "succeeded") for page in claimed], assemble_as=WORKER)


def tables(sizes: Sequence[int], *, grown: bool = False) -> str:
    """Every shape with so many pages in the tables; of what has not `grown`, if that is all that is wanted, a line."""
    about = "Milliseconds of what is asked, by pages in the tables (medians, each rolled back)"
    parts = []
    for shape, told in ASKED.items():
        chosen = _of(shape, sizes)
        parts.append(f"{about}; {told}:\n\n{shown([_asked(shape, pages) for pages in chosen], chosen, grown=grown)}")
    return "\n\n".join(parts)


def _of(shape: str, sizes: Sequence[int]) -> Sequence[int]:
    """Of a single job a tenth: 100,000 documents are what it may have."""
    return [size // 10 for size in sizes] if shape == "one job" else sizes


def shown(found: Sequence[dict[str, float]], sizes: Sequence[int], *, grown: bool) -> str:
    """A table of milliseconds: a row for each question, a column for each size."""
    ratios = {name: found[-1][name] / ms for name, ms in found[0].items()}
    rows = [name for name, ratio in ratios.items() if not grown or (ratio > GROWTH and found[-1][name] > NOTICED)]
    cells = [[name, *(f"{one[name]:.2f}" for one in found), f"{ratios[name]:.1f}"] for name in rows]
    text = table(["", *(f"{pages:,}" for pages in sizes), "last ÷ first"], cells)
    others = sorted(ratio for name, ratio in ratios.items() if name not in rows)
    if not others:
        return text
    return (
        f"{text}\n\nThe other {len(others)}: last ÷ first {median(others):.1f} ({others[0]:.1f} to {others[-1]:.1f})."
    )


def _asked(shape: str, pages: int) -> dict[str, float]:
    with database() as db:
        load(db, shape, pages)
        with db.read() as session:
            asked = questions(Subject(session))
        return {f"{often}: {name}": timed(db, ask) for often, each in asked.items() for name, ask in each.items()}


def timed(db: Database, ask: Question) -> float:
    """Milliseconds, the median of some."""
    taken = []
    for _ in range(ROUNDS + 1):
        with Session(db.engine) as session:
            session.connection()
            begun = time.perf_counter()
            ask(session)
            taken.append((time.perf_counter() - begun) * 1000)
            session.rollback()
    return median(taken[1:])
