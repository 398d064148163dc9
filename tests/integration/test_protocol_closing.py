"""Rule 8: closing locks the parent first, then looks at the children. job.json is never stale and never missing."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event

import orjson
import pytest
from sqlalchemy import text

from jobs import dispatch, lifecycle
from jobs.blobs import manifest_key
from jobs.errors import StorageFull, StorageUnavailable
from jobs.models import State
from jobs.store import closing, recording
from jobs.store.closing import Finish
from jobs.store.locks import lock_jobs
from jobs.store.sql import Sql
from tests.processes import wait_until
from tests.protocol import (
    Interrupted,
    Noticing,
    beside,
    change,
    claim,
    claim_splits,
    finish,
    good,
    job_of,
    one,
    read,
    record,
    register,
    rows,
    split,
    submit,
    through,
)


@pytest.fixture
def blobs(tmp_path):
    return Noticing(tmp_path / "objects")


@pytest.fixture
def worker(db):
    return register(db)


def state(db, job):
    return one(db, "SELECT state FROM job WHERE id = :j", j=job)


def told(blobs, job):
    """What job.json says, None where there is none."""
    return orjson.loads(blobs.get(manifest_key(job))) if blobs.stat(manifest_key(job)) else None


def puts(blobs, job):
    return blobs.calls.count(("put", manifest_key(job)))


# --- documents


@pytest.mark.parametrize("first_assembles", [True, False])
def test_two_last_pages_recorded_at_once_make_one_assembly(db, worker, first_assembles):
    """Each commit sees the other's page or waits for it: exactly one of them finds nothing left to run."""
    other_worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    [first] = claim(db, worker, document, [1])
    [second] = claim(db, other_worker, document, [2])

    with db.write() as session:
        mine = recording.record(session, good([first]), assemble_as=worker if first_assembles else None)
        with beside(db, lambda: record(db, good([second]), assemble_as=other_worker)) as other:
            other.waits()
            session.commit()
            theirs = other.result()

    assert mine.assemblies == []
    assert [(a.document.id, a.worker) for a in theirs.assemblies] == [(document, other_worker)]
    assert finish(db, theirs.assemblies) == [document]


def test_the_last_page_recorded_while_the_document_is_sealed_is_not_forgotten(db, worker):
    """The record sees no seal, the seal sees no record: dispatch finds what both left behind."""
    from jobs.store import submitting

    _, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    with db.write() as session:
        submitting.insert_pages(session, document, worker, claimed.attempt, [1])
    pages = claim(db, worker, document)

    def seal():
        with db.write() as session:
            return submitting.seal(session, document, worker, claimed.attempt, 1)

    with db.write() as session:
        recorded = recording.record(session, good(pages), assemble_as=worker)
        with beside(db, seal) as other:
            other.waits()
            session.commit()
            assert other.result()

    assert (recorded.assemblies, recorded.ended) == ([], [])
    assert [ref.document for ref in dispatch.choose(db).assemblies] == [document]


# --- jobs


def assembled(db, worker, documents=2):
    """A job of which every document is read and claimed for assembling."""
    job, ids = submit(db, documents)
    split(db, worker, ids, pages=1)
    return job, [claim for document in ids for claim in read(db, worker, document)]


def test_two_last_documents_ended_at_once_close_the_job_once(db, worker, blobs):
    job, [first, second] = assembled(db, worker)
    closed = []

    def end_second():
        finish(db, [second])
        closed.append(lifecycle.close(db, blobs, job))

    with db.write() as session:
        closing.finish_documents(session, [Finish(first, State.SUCCEEDED, True)])
        with beside(db, end_second) as other:
            if db.engine.dialect.name == "sqlite":
                other.waits()  # on PostgreSQL it neither waits nor sees our end, and leaves the job open
            else:
                other.result()
            session.commit()
            other.result()
    closed.append(lifecycle.close(db, blobs, job))

    assert sorted(closed) == [False, True]
    assert (state(db, job), puts(blobs, job)) == ("succeeded", 1)


def test_two_closers_at_once_close_once(db, worker, blobs):
    """The second one waits for the job's row while the first writes job.json, then finds nothing to do."""
    job, claims = assembled(db, worker)
    finish(db, claims)
    others = []

    def meanwhile(verb, key):
        blobs.before = lambda *_: None
        other = beside(db, lambda: lifecycle.close(db, blobs, job))
        others.append((other, other.__enter__()))
        others[0][1].waits()

    blobs.before = meanwhile
    assert lifecycle.close(db, blobs, job)
    [(context, other)] = others
    assert other.result() is False
    context.__exit__(None, None, None)
    assert puts(blobs, job) == 1


def test_the_manifest_is_there_before_the_row_says_closed(db, worker, blobs):
    job, claims = assembled(db, worker)
    finish(db, claims)
    seen = []
    blobs.after = lambda verb, key: seen.append((verb, key, state(db, job)))

    assert lifecycle.close(db, blobs, job)

    assert seen == [("put", manifest_key(job), "running")]
    assert told(blobs, job)["finished_at"][:19] == f"{job_of(db, job).finished_at:%Y-%m-%dT%H:%M:%S}"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("error", [StorageUnavailable, StorageFull])
def test_a_closer_that_dies_leaves_a_job_that_rescue_closes(db, worker, blobs, moment, error):
    job, claims = assembled(db, worker)
    finish(db, claims)

    def die(verb, key):
        raise error("away")

    setattr(blobs, moment, die)
    with pytest.raises(error):
        lifecycle.close(db, blobs, job)
    assert state(db, job) == "running"
    assert dispatch.close_ended(db, blobs) == 0  # it is still away: one warning, no error

    setattr(blobs, moment, lambda *_: None)
    assert dispatch.close_ended(db, blobs) == 1
    assert (state(db, job), told(blobs, job)["state"]) == ("succeeded", "succeeded")
    assert dispatch.close_ended(db, blobs) == 0


def test_rescue_closes_a_job_whose_last_worker_died_before_closing_it(db, worker, blobs):
    job, claims = assembled(db, worker)
    finish(db, claims)
    assert dispatch.close_ended(db, blobs) == 1
    assert state(db, job) == "succeeded"


def test_a_canceled_job_gets_its_manifest_from_rescue(db, blobs):
    """Cancel is one transaction in the database; what it says in the store follows."""
    job, _ = submit(db)
    lifecycle.cancel(db, job)
    assert told(blobs, job) is None
    assert dispatch.close_ended(db, blobs) == 1
    assert told(blobs, job)["state"] == "canceled"


def test_a_job_without_a_possible_manifest_keeps_no_other_open(db, worker, blobs, caplog):
    first, claims = assembled(db, worker)
    finish(db, claims)
    second, claims = assembled(db, worker)
    finish(db, claims)

    def spoil(verb, key):
        if first in key:
            raise ValueError("no JSON")

    blobs.before = spoil
    assert dispatch.close_ended(db, blobs) == 1
    assert (state(db, first), state(db, second)) == ("running", "succeeded")
    assert first in caplog.text
    blobs.before = lambda *_: None
    assert dispatch.close_ended(db, blobs) == 1


@pytest.mark.parametrize("older", ["open", "canceled"])
def test_a_job_whose_manifest_the_store_refuses_keeps_no_other_from_its_end(db, worker, blobs, older):
    """An object under a lock, a folder of another user: the oldest job came first and ended each round, for ever. No
    later one that was canceled got its job.json, nor the time at which it expires."""
    if older == "open":
        bad, claims = assembled(db, worker)
        finish(db, claims)
    else:
        bad, _ = submit(db)
        lifecycle.cancel(db, bad)
    other, _ = submit(db)
    lifecycle.cancel(db, other)

    def refuse(verb, key):
        if bad in key:
            raise StorageUnavailable("refused")

    blobs.before = refuse
    assert dispatch.close_ended(db, blobs) == 1
    assert (told(blobs, bad), told(blobs, other)["state"]) == (None, "canceled")


def test_jobs_that_fill_a_round_and_can_never_be_closed_keep_no_other_from_its_end(db, blobs, monkeypatch):
    monkeypatch.setattr(dispatch, "CLOSE_BATCH", 2)
    *bad, other = [submit(db)[0] for _ in range(3)]
    for job in (*bad, other):
        lifecycle.cancel(db, job)

    def spoil(verb, key):
        if other not in key:
            raise ValueError("no JSON")

    blobs.before = spoil
    closed = [dispatch.close_ended(db, blobs) for _ in range(30)]  # misses it once in 10 ** 14 runs
    assert sum(closed) == 1
    assert told(blobs, other)["state"] == "canceled"


# --- retry against close


@pytest.fixture
def partial(db, worker, blobs):
    """A closed job: one document good, one failed."""
    job, documents = submit(db, 2)
    through(db, worker, documents[0])
    through(db, worker, documents[1], failed=[1, 2])
    assert lifecycle.close(db, blobs, job)
    return job


def test_a_closer_that_comes_while_a_retry_reopens_closes_nothing(db, blobs, partial):
    others = []

    def meanwhile(verb, key):
        blobs.before = lambda *_: None
        context = beside(db, lambda: lifecycle.close(db, blobs, partial))
        others.append((context, context.__enter__()))
        if db.engine.dialect.name == "sqlite":
            others[0][1].waits()

    blobs.before = meanwhile
    assert lifecycle.retry(db, blobs, partial).state is State.RUNNING
    [(context, other)] = others
    assert other.result() is False
    context.__exit__(None, None, None)
    assert told(blobs, partial) is None


def test_a_retry_that_comes_while_a_closer_writes_deletes_what_it_wrote(db, worker, blobs):
    """The plain order of rule 8 allows: closer puts job.json, retry deletes it and reopens, closer closes it again;
    Or: retry deletes, the closer's put lands after it. With the row locked during the put neither can happen."""
    job, documents = submit(db)
    through(db, worker, documents[0], failed=[1, 2])
    others = []

    def meanwhile(verb, key):
        blobs.before = lambda *_: None
        context = beside(db, lambda: lifecycle.retry(db, blobs, job))
        others.append((context, context.__enter__()))
        others[0][1].waits()

    blobs.before = meanwhile
    assert lifecycle.close(db, blobs, job)
    [(context, other)] = others
    assert other.result().state is State.RUNNING
    context.__exit__(None, None, None)
    assert told(blobs, job) is None
    assert blobs.calls == [("put", manifest_key(job)), ("delete", manifest_key(job))]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_retry_that_dies_leaves_a_closed_job_with_a_manifest(db, blobs, partial, moment):
    """Before the deletion or after it: the job is closed as it was, and rescue sees to job.json."""
    before = told(blobs, partial)

    def die(verb, key):
        raise StorageUnavailable("away")

    setattr(blobs, moment, die)
    with pytest.raises(StorageUnavailable):
        lifecycle.retry(db, blobs, partial)
    setattr(blobs, moment, lambda *_: None)
    assert state(db, partial) == "partial"

    dispatch.close_ended(db, blobs)

    assert told(blobs, partial) == before
    assert lifecycle.retry(db, blobs, partial).state is State.RUNNING
    assert told(blobs, partial) is None


def test_a_manifest_that_rescue_wrote_again_between_the_steps_of_a_retry_is_not_lost(db, blobs, partial):
    """Retry commits that job.json will go; rescue, seeing a closed job without one, writes it; then retry deletes it
    and dies. Nobody would write it a third time if retry had deleted it without committing that again."""
    before = told(blobs, partial)
    commits = []

    def rescue_is_faster():
        commits.append(1)
        if len(commits) == 1:
            assert dispatch.close_ended(db, blobs) == 1

    def die(verb, key):
        if verb == "delete":
            raise StorageUnavailable("died after the deletion")

    blobs.after = die
    with pytest.raises(StorageUnavailable):
        lifecycle.retry(Interrupted(db, rescue_is_faster), blobs, partial)
    assert len(commits) == 2
    assert (state(db, partial), told(blobs, partial)) == ("partial", None)

    blobs.after = lambda *_: None
    assert dispatch.close_ended(db, blobs) == 1
    assert told(blobs, partial) == before


def test_two_retries_at_once_run_everything_once(db, blobs, partial):
    others = []

    def meanwhile(verb, key):
        blobs.before = lambda *_: None
        context = beside(db, lambda: lifecycle.retry(db, blobs, partial))
        others.append((context, context.__enter__()))
        others[0][1].waits()

    blobs.before = meanwhile
    assert lifecycle.retry(db, blobs, partial).state is State.RUNNING
    [(context, other)] = others
    assert other.result().state is State.RUNNING
    context.__exit__(None, None, None)
    assert sorted(r[0] for r in rows(db, "SELECT state FROM page")) == ["pending"] * 2 + ["succeeded"] * 2


def test_closing_one_job_holds_up_no_other(pg, blobs):
    """What the lock during the put costs: on PostgreSQL nobody but who wants this very job."""
    worker = register(pg)
    job, claims = assembled(pg, worker)
    finish(pg, claims)
    other_job, other_claims = assembled(pg, worker)
    writing, go_on = Event(), Event()

    def slow(verb, key):
        if key == manifest_key(job):
            writing.set()
            assert go_on.wait(30)

    blobs.before = slow
    with beside(pg, lambda: lifecycle.close(pg, blobs, job)) as other:
        assert writing.wait(30)
        finish(pg, other_claims)
        assert lifecycle.close(pg, blobs, other_job)
        with pg.write() as session:
            closing.fold_running(session)
        assert job_of(pg, job).state is State.RUNNING
        go_on.set()
        assert other.result()


def fold(db):
    with db.write() as session:
        closing.fold_running(session)


def test_a_fold_writes_no_job_of_which_nothing_changed(pg):
    """A thousand waiting jobs were written again each second: six entries of indexes each, in the log of every one."""
    worker = register(pg)
    still, [waiting] = submit(pg, 1)
    busy, [document] = submit(pg, 1)
    split(pg, worker, [waiting, document], 2)
    claims = claim(pg, worker, waiting, [1]) + claim(pg, worker, document, [1])
    fold(pg)
    versions = dict(rows(pg, "SELECT id, xmin FROM job"))
    fold(pg)
    assert dict(rows(pg, "SELECT id, xmin FROM job")) == versions

    record(pg, good(claims[1:]))
    fold(pg)
    found = dict(rows(pg, "SELECT id, xmin FROM job"))
    assert {job for job in found if found[job] != versions[job]} == {busy}
    assert (job_of(pg, busy).pages.succeeded, job_of(pg, still).pages.running) == (1, 1)


def test_a_fold_leaves_out_whom_somebody_holds_and_folds_them_later(pg):
    worker = register(pg)
    jobs = [(job, document) for job, [document] in (submit(pg, 1), submit(pg, 1))]
    split(pg, worker, [document for _, document in jobs], 2)
    for _, document in jobs:
        claim(pg, worker, document, [1])
    (held, _), (free, _) = jobs
    with pg.write() as session:
        lock_jobs(session, [held])
        with beside(pg, lambda: fold(pg)) as other:
            other.result()
        assert [job_of(pg, job).pages.running for job in (held, free)] == [0, 1]
    fold(pg)
    assert job_of(pg, held).pages.running == 1


WAITS = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE datname = current_database() AND locktype = 'advisory' AND classid = 1 AND objid = 7 AND NOT granted"""


@contextmanager
def held_up(pg, monkeypatch):
    """A fold that has looked at the documents and has not locked a job yet, until the block ends."""
    slow = closing._CHANGED_ONES.replace(
        "GROUP BY job_id", "GROUP BY job_id HAVING CAST(pg_advisory_xact_lock(1, 7) AS text) = ''"
    )
    with pg.write() as holder:
        holder.connection().execute(text("SELECT pg_advisory_xact_lock(1, 7)"))
        monkeypatch.setattr(closing, "_CHANGED", Sql(slow))
        with beside(pg, lambda: fold(pg)) as other:
            wait_until(lambda: one(pg, WAITS), "a fold that waits")
            monkeypatch.undo()
            yield
            holder.rollback()
            other.result()


def test_a_job_that_ends_while_a_fold_looks_keeps_the_totals_of_its_end(pg, blobs, monkeypatch):
    worker = register(pg)
    job, claims = assembled(pg, worker)
    with held_up(pg, monkeypatch):
        finish(pg, claims)
        assert lifecycle.close(pg, blobs, job)
        ended = job_of(pg, job)
    assert job_of(pg, job) == ended
    assert ended.documents.succeeded == len(claims)


def test_what_is_read_while_a_fold_looks_is_not_lost_from_the_totals(pg, monkeypatch):
    """A second fold, of whom has become the leader meanwhile, knew more."""
    worker = register(pg)
    job, [document] = submit(pg, 1)
    split(pg, worker, [document], 2)
    claims = claim(pg, worker, document, [1])
    with held_up(pg, monkeypatch):
        record(pg, good(claims))
        fold(pg)
        assert job_of(pg, job).pages.succeeded == 1
    assert job_of(pg, job).pages.succeeded == 1


@pytest.mark.parametrize(
    "column", ["total", "succeeded", "failed", "canceled", "running", "engine_micros", "tokens_in", "tokens_out"]
)
def test_any_counter_of_a_document_that_changed_is_folded(db, column):
    """One that the comparison forgot would stay as it was for ever, while nothing else changes."""
    worker = register(db)
    _, [document] = submit(db, 1)
    split(db, worker, [document], 2)
    claim(db, worker, document, [1])
    fold(db)
    name = column if column.startswith(("engine", "tokens")) else f"pages_{column}"
    [[before]] = rows(db, f"SELECT {name} FROM job")
    change(db, f"UPDATE document SET {column} = {column} + 1")
    fold(db)
    assert rows(db, f"SELECT {name} FROM job") == [(before + 1,)]
    change(db, f"UPDATE document SET {column} = {column} - 1")  # so that the ledger adds up
    fold(db)
    assert rows(db, f"SELECT {name} FROM job") == [(before,)]


@pytest.mark.parametrize("state", ["succeeded", "partial", "failed", "canceled"])
def test_an_end_of_a_document_alone_is_folded(db, state):
    worker = register(db)
    _, documents = submit(db, 2)
    split(db, worker, documents, 1)
    claim(db, worker, documents[0], [1])
    fold(db)
    for now, count in ((state, 1), ("running", 0)):  # and back, so that the ledger adds up
        change(db, "UPDATE document SET state = :state WHERE id = :id", state=now, id=documents[1])
        fold(db)
        assert rows(db, f"SELECT documents_{state} FROM job") == [(count,)]
