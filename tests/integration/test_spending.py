"""What reading costs, in the books: every recorded attempt counts once, and sums are exact."""

from __future__ import annotations

from dataclasses import replace

from jobs import lifecycle
from jobs.blobs import manifest_key
from jobs.results import JobManifest
from jobs.spending import Price, Spent
from jobs.store import closing, reading
from jobs.store.recording import Outcome
from tests.ledger import assert_exact
from tests.protocol import claim, finish, good, record, register, rows, split, submit

SPENT = Spent(1_500_000, 100, 10)


def costly(outcomes, spent=SPENT):
    return [replace(outcome, spent=spent) for outcome in outcomes]


def test_every_attempt_that_is_recorded_counts_once(db):
    worker = register(db)
    job, [document] = submit(db)
    split(db, worker, [document], 2)
    first = claim(db, worker, document)
    record(db, costly([Outcome(page, "pending", errors=1) for page in first]))
    again = costly(good(claim(db, worker, document)))
    record(db, again)
    record(db, again)  # its answer was lost: it is told once more
    record(db, costly(good(first)))  # and one of before comes late
    [told] = rows(db, "SELECT engine_micros, tokens_in, tokens_out FROM document")
    assert tuple(told) == (6_000_000, 400, 40)
    assert_exact(db)
    with db.write() as session:
        closing.fold_running(session)
    with db.read() as session:
        usage = reading.get_job(session, job).usage
    assert (usage.engine_seconds, usage.tokens_in, usage.tokens_out) == (6.0, 400, 40)
    assert (usage.cost, usage.currency) == (None, None)


def test_job_json_tells_what_it_cost(db, blobs):
    worker = register(db)
    job, [document] = submit(db)
    split(db, worker, [document], 2)
    finish(db, record(db, costly(good(claim(db, worker, document))), assemble_as=worker).assemblies)
    assert lifecycle.close(db, blobs, job, Price(7200.0, "EUR"))
    usage = JobManifest.model_validate_json(blobs.get(manifest_key(job))).usage
    assert usage.model_dump() == {
        "engine_seconds": 3.0, "tokens_in": 200, "tokens_out": 20, "cost": 6.0, "currency": "EUR",
    }  # fmt: skip
