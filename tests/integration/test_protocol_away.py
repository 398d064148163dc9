"""Rule 12: stores that go away. An error that says so, nothing half done, and everything goes on when they come back.

Rule 11, idempotency keys, belongs to a later issue: there is nothing to test yet.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore

import pytest

from jobs import deletion, dispatch, lifecycle
from jobs.blobs import job_prefix, manifest_key, page_key
from jobs.errors import DatabaseUnavailable, StorageFull, StorageUnavailable
from jobs.ids import new_worker_id
from jobs.results import EngineInfo, PageResult
from jobs.settings import DatabaseSettings
from jobs.store import closing, ending
from jobs.store.database import open_database
from jobs.store.workers import Registration
from tests.ledger import assert_exact
from tests.protocol import (
    Noticing,
    claim,
    claim_assemblies,
    finish,
    good,
    job_of,
    one,
    page_refs,
    read,
    record,
    register,
    split,
    states,
    submit,
    through,
)
from tests.services import Postgres
from workers.assemble import Assembler
from workers.deliver import Purger
from workers.hands import Hands
from workers.incarnation import Incarnation
from workers.pages import RecentResults, ResultWriter
from workers.recorder import Recorder
from workers.retries import Backoff


@pytest.fixture(scope="module")
def own_postgres():
    """To be killed."""
    with Postgres() as service:
        yield service


@pytest.fixture
def fragile(own_postgres):
    """A database that goes with its server."""
    db = open_database(DatabaseSettings(database_url=own_postgres.create_database("fragile")))
    db.migrate()
    yield db
    if not own_postgres.running:
        own_postgres.start()
    assert_exact(db)
    db.dispose()
    own_postgres.drop_database("fragile")


def test_every_call_says_that_the_database_is_away(fragile, own_postgres, blobs):
    job, [document] = submit(fragile)
    worker = register(fragile)
    own_postgres.kill()
    for call in (
        fragile.check,
        lambda: submit(fragile),
        lambda: job_of(fragile, job),
        lambda: lifecycle.cancel(fragile, job),
        lambda: claim(fragile, worker, document),
        lambda: dispatch.choose(fragile),
        lambda: dispatch.close_ended(fragile, blobs),
    ):
        with pytest.raises(DatabaseUnavailable) as raised:
            call()
        assert raised.value.retryable
        assert raised.value.retry_after

    own_postgres.start()
    fragile.check()
    assert job_of(fragile, job).id == job
    assert one(fragile, "SELECT count(*) FROM job") == 1


def test_a_transaction_cut_off_in_the_middle_did_nothing(fragile, own_postgres):
    worker = register(fragile)
    _, [document] = submit(fragile)
    split(fragile, worker, [document])
    refs = page_refs(fragile, document)

    def cut_off():
        from jobs.store import claiming

        with fragile.write() as session:
            assert len(claiming.claim_pages(session, worker, refs)) == 3
            own_postgres.kill()

    with pytest.raises(DatabaseUnavailable):
        cut_off()
    own_postgres.start()
    assert states(fragile, document) == ["pending"] * 3


def test_finished_pages_are_kept_until_the_database_is_back(fragile, own_postgres):
    worker = register(fragile)
    _, [document] = submit(fragile)
    split(fragile, worker, [document], pages=2)
    pages = claim(fragile, worker, document)
    assemblies = []
    recorder = Recorder(
        fragile, lambda: worker, patience=60.0, on_assemblies=assemblies.extend, on_recorded=lambda _: None
    )
    recorder.start()
    own_postgres.kill()
    settled = Semaphore(0)
    for outcome in good(pages):
        recorder.add(outcome, settled.release)
    assert not settled.acquire(timeout=0.2)

    own_postgres.start()

    assert all(settled.acquire(timeout=60) for _ in pages)
    recorder.stop()
    assert states(fragile, document) == ["succeeded", "succeeded"]
    assert [a.document.id for a in assemblies] == [document]


def test_who_ends_while_the_database_is_away_waits_no_longer_and_rescue_has_the_pages(fragile, own_postgres):
    worker = register(fragile, "slot")
    _, [document] = submit(fragile)
    split(fragile, worker, [document], pages=1)
    pages = claim(fragile, worker, document)
    recorder = Recorder(fragile, lambda: worker, patience=600.0, on_assemblies=_nobody, on_recorded=_nobody)
    recorder.start()
    own_postgres.kill()
    settled = Semaphore(0)
    [outcome] = good(pages)
    recorder.add(outcome, settled.release)
    recorder.stop()
    assert settled.acquire(timeout=60)

    own_postgres.start()
    assert states(fragile, document) == ["running"]
    register(fragile, "slot")
    assert dispatch.take_back(fragile, dispatch.RescueRules(30.0, 60.0, 5.0, 3)) == 1


def _nobody(*_):
    raise AssertionError("nothing was recorded")


def test_a_heartbeat_without_a_database_is_no_death(fragile, own_postgres, caplog):
    incarnation = Incarnation(
        fragile, Registration(new_worker_id(), "host", "slot", 1, "echo", 8), Hands(), every=0.05,
        on_canceled=_nobody, on_taken=_nobody, on_replaced=_nobody, on_drain=_nobody,
    )  # fmt: skip
    incarnation.register()
    before = incarnation.id
    own_postgres.kill()
    with pytest.raises(DatabaseUnavailable):
        incarnation.beat()
    with caplog.at_level(logging.WARNING):
        incarnation.set_state("draining")
    assert "cannot record draining" in caplog.text

    own_postgres.start()
    incarnation.beat()
    assert incarnation.id == before


# --- the object store


@pytest.fixture
def away(tmp_path):
    """A store that is away as soon as one says so."""
    return Noticing(tmp_path / "objects")


def break_(store):
    def refuse(verb, key):
        raise StorageUnavailable("away", retry_after=5)

    store.before = refuse


def mend(store):
    store.before = lambda *_: None


def test_a_job_is_not_closed_while_the_store_is_away(db, away):
    worker = register(db)
    job, [document] = submit(db)
    through(db, worker, document)
    break_(away)
    with pytest.raises(StorageUnavailable):
        lifecycle.close(db, away, job)
    assert one(db, "SELECT state FROM job") == "running"
    assert one(db, "SELECT finished_at FROM job") is None
    mend(away)
    assert lifecycle.close(db, away, job)


def test_jobs_that_cannot_be_closed_now_are_tried_again_by_the_next_round(db, away, caplog):
    worker = register(db)
    found = []
    for _ in range(dispatch.STORE_IS_AWAY + 1):
        job, [document] = submit(db)
        through(db, worker, document)
        found.append(job)
    break_(away)
    with caplog.at_level(logging.WARNING):
        assert dispatch.close_ended(db, away) == 0
    assert caplog.text.count("cannot be closed now") == dispatch.STORE_IS_AWAY  # it is away for the others too
    mend(away)
    assert dispatch.close_ended(db, away) == len(found)
    assert {key for verb, key in away.calls if verb == "put"} == {manifest_key(job) for job in found}


def test_a_delete_without_the_store_is_a_delete_and_purged_later(db, away):
    job, [document] = submit(db)
    away.put(f"uploads/{document}", b"source")
    break_(away)
    with pytest.raises(StorageUnavailable):
        deletion.delete(db, away, job)
    assert one(db, "SELECT deleted_at IS NOT NULL FROM job")
    assert one(db, "SELECT count(*) FROM document") == 1
    mend(away)
    assert deletion.purge(db, away, job)
    assert list(away.list("")) == []


def test_a_purge_that_fails_is_in_no_other_ones_way(db, away, caplog):
    purger = Purger(db, away)
    break_(away)
    jobs = [submit(db)[0] for _ in range(2)]
    with db.write() as session:
        for job in jobs:
            ending.mark_deleted(session, job)
    assert purger.run(jobs[0])
    assert purger.wait(60)
    assert [record.action for record in caplog.records if record.levelname == "WARNING"] == ["purge_put_off"]
    mend(away)
    assert [purger.run(job) for job in jobs] == [True] * 2, "what failed may be rung again"
    assert purger.wait(60)
    with db.read() as session:
        assert ending.jobs_to_purge(session) == []


def test_a_cancel_needs_no_store_and_a_read_document_no_second_reading(db, away):
    worker = register(db)
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    claims = read(db, worker, document)
    break_(away)
    assert finish(db, claims) == [document]
    other, _ = submit(db)
    assert lifecycle.cancel(db, other).state == "canceled"
    assert job_of(db, job).state == "running"


# --- a store that refuses one document alone


def read_and_stored(db, blobs, worker):
    """A job whose document of one page waits to be put together: job and claim."""
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    [page] = claim(db, worker, document)
    result = PageResult(number=1, engine=EngineInfo(name="echo", version="1", model="none"))
    blobs.put(page_key(job, document, 1, page.attempt), result.model_dump_json().encode())
    return job, record(db, good([page]), assemble_as=worker).assemblies[0]


def test_a_document_that_does_not_fit_holds_up_no_other(db, tmp_path):
    # A disk that was nearly full: the others of the group waited for two minutes, and all that came after them.
    store, worker = Noticing(tmp_path / "objects"), register(db)
    large, large_claim = read_and_stored(db, store, worker)
    small, small_claim = read_and_stored(db, store, worker)
    closed, in_time = Event(), []

    def refuse(_verb, key):
        if key.startswith(job_prefix(large)) and key.endswith(".json"):
            in_time.append(closed.wait(20))
            raise StorageFull("ENOSPC")

    store.before = refuse
    store.after = lambda _verb, key: closed.set() if key == manifest_key(small) else None
    recent = RecentResults()
    with ThreadPoolExecutor(2) as threads:
        Assembler(
            db, store, ResultWriter(store, recent, 0.0, Event()), recent, Backoff(0.0, 0.0, 3), Hands(), threads,
            lambda: worker,
        ).assemble([large_claim, small_claim])  # fmt: skip

    assert in_time == [True]
    assert job_of(db, small).state == "succeeded"
    assert job_of(db, large).state == "running"
    assert len(claim_assemblies(db, worker, [large_claim.document.id])) == 1, "put off, uncounted"


def test_documents_stay_in_hands_while_their_files_are_written_though_the_database_is_away(db, tmp_path, monkeypatch):
    # What nobody holds is assembled again, and purged under the hands of whoever writes it.
    store, worker, hands = Noticing(tmp_path / "objects"), register(db), Hands()
    large, large_claim = read_and_stored(db, store, worker)
    _, small_claim = read_and_stored(db, store, worker)
    failed, held = Event(), []

    def wait_until_failed(_verb, key):
        if key.startswith(job_prefix(large)) and key.endswith(".json"):
            assert failed.wait(20)
            Event().wait(0.5)  # time enough for whoever lets go too early
            held.extend(hands.holds())

    def finish(*_):
        failed.set()
        raise DatabaseUnavailable("gone")

    store.before = wait_until_failed
    monkeypatch.setattr(closing, "finish_documents", finish)
    recent = RecentResults()
    with ThreadPoolExecutor(2) as threads, pytest.raises(DatabaseUnavailable):
        Assembler(
            db, store, ResultWriter(store, recent, 0.0, Event()), recent, Backoff(0.0, 0.0, 3), hands, threads,
            lambda: worker,
        ).assemble([large_claim, small_claim])  # fmt: skip
    assert (large_claim.document.id, 0, large_claim.attempt) in held
    assert not hands.holds()
