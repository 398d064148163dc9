"""What the API counts for Prometheus, against a plain count of the rows, on both databases."""

from __future__ import annotations

from jobs import lifecycle
from jobs.models import State
from jobs.store import census, closing, ending, pausing
from jobs.store.closing import Finish
from tests.protocol import (
    PROBLEM,
    bad,
    change,
    claim,
    claim_splits,
    good,
    is_sqlite,
    record,
    register,
    rows,
    split,
    submit,
)


def counted(db, query):
    return {row[0]: row[1] for row in rows(db, query)}


def look(db, fresh=30.0):
    with db.write() as session:
        closing.fold_running(session)
    with db.read() as session:
        return census.census(session, fresh)


def assert_counts(db):
    """Every state of every noun, as the rows have it."""
    found = look(db)
    for noun in ("page", "document"):
        told = {state: number for state, number in getattr(found, f"{noun}s").items() if number}
        assert told == counted(db, f"SELECT state, count(*) FROM {noun} GROUP BY state"), noun
    jobs = counted(db, "SELECT state, count(*) FROM job WHERE purged_at IS NULL GROUP BY state")
    assert {state: number for state, number in found.jobs.items() if number} == jobs
    return found


def test_states_are_those_of_the_rows_at_every_step(db):
    worker = register(db)
    job, [first, second, third] = submit(db, 3)
    assert_counts(db)
    split(db, worker, [first, second], 4)
    assert_counts(db)
    pages = claim(db, worker, first)
    assert_counts(db)
    record(db, good(pages[:3]) + bad(pages[3:]))
    found = assert_counts(db)
    assert found.pages_failed == {"engine_error": 1}
    assert found.pages_read == 3
    [refused] = claim_splits(db, worker, [third])
    with db.write() as session:
        closing.finish_documents(session, [Finish(refused, State.FAILED, with_result=False, error=PROBLEM)])
    found = assert_counts(db)
    assert found.documents_failed == {"engine_error": 1}
    lifecycle.cancel(db, job)
    found = assert_counts(db)
    assert found.pages["canceled"] == 4


def test_what_is_purged_counts_as_read_and_is_not_there_any_more(db):
    worker = register(db)
    job, [document] = submit(db)
    split(db, worker, [document], 3)
    record(db, good(claim(db, worker, document)[:2]))
    with db.write() as session:
        ending.mark_deleted(session, job)
    assert_counts(db)
    with db.write() as session:
        ending.drop_rows(session, job)
    found = assert_counts(db)
    assert (found.pages.total(), found.documents.total(), found.jobs.total(), found.pages_read) == (0, 0, 0, 2)


def test_the_backlog_by_engine_and_class(db):
    worker = register(db, capacity=8)
    submit(db, 3)  # not split: a page each
    _, [document] = submit(db, engine="rapidocr")
    split(db, worker, [document], 5)
    held = claim(db, worker, document, [1, 2])
    change(db, "UPDATE page SET rung_at = ready_at WHERE number = 3")
    found = look(db)
    assert found.backlog == {("echo", "batch"): 3, ("rapidocr", "batch"): 5}
    assert set(found.ages) == {("echo", "batch"), ("rapidocr", "batch")}
    assert all(0 <= age < 600 for age in found.ages.values())
    assert (found.rung, found.held) == ({"rapidocr": 1}, {"rapidocr": len(held)})
    assert (found.capacity, found.workers) == ({"echo": 8}, {("echo", "alive"): 1})


def test_who_is_paused_makes_no_backlog_old(db):
    submit(db, owner="key_slow")
    with db.write() as session:
        pausing.pause(session, "key_slow")
    found = look(db)
    assert (found.ages, found.paused, found.backlog) == ({}, 1, {("echo", "batch"): 1})


def test_a_pace_foretells_the_end(db):
    worker = register(db)
    submit(db, 6)
    change(db, "UPDATE worker SET pace = 2.0")
    assert look(db).eta == {"echo": 3.0}
    assert look(db, fresh=-1.0).eta == {}, "nobody has said anything lately"
    assert [slot for _, slot in look(db).heartbeats] == [worker]


def test_webhooks_that_are_late(db):
    assert (look(db).webhooks_due, look(db).webhook_age) == (0, 0.0)
    job, _ = submit(db)
    late = "2020-01-01 00:00:00.000"
    change(
        db,
        "INSERT INTO webhook_delivery (id, job_id, owner, url, host, event, body, state, attempt, failures, attempts,"
        " next_at) VALUES ('evt_1', :job, '', 'u', 'h', 'e', 'b', 'pending', 0, 0, '[]', CAST(:late AS "
        + ("text" if is_sqlite(db) else "timestamptz")
        + "))",
        job=job,
        late=late,
    )
    found = look(db)
    assert found.webhooks_due == 1
    assert found.webhook_age > 86_400
