"""Documents that come later, and files that are fetched: each step twice, late, or after a cancel does no harm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from jobs import deletion, dispatch, keys, lifecycle
from jobs.dispatch import FETCH_WINDOW
from jobs.errors import SourceForbidden
from jobs.ids import new_job_id
from jobs.lifecycle import NewListing, Terms
from jobs.models import KeyLimits, Scope, State
from jobs.options import JobOptions
from jobs.store import claiming, entering, fetching, submitting, usage
from jobs.store.entering import Step
from jobs.store.submitting import Split
from jobs.sweep import sweep_uploads
from tests.protocol import change, document_refs, job_of, new_document, one, register, rows, submit

LIMIT = 100


def with_listings(db, *locations, documents=0, owner="key", **options):
    job = new_job_id()
    lifecycle.submit(
        db, job_id=job, options=JobOptions(**options), engine="echo", vault=None, owner=owner,
        documents=[new_document(n) for n in range(documents)],
        listings=[NewListing("prefix", location) for location in locations],
    )  # fmt: skip
    return job


def open_listing(db, job):
    with db.read() as session:
        [found] = [listing for listing in entering.open_listings(session, 10) if listing.job == job]
    return found


def step_of(listing, after, *, ended=False):
    return Step(listing.id, listing.job, listing.location, listing.cursor, after, ended)


def enter(db, step, count, limit=LIMIT):
    return lifecycle.enter_listed(db, step, [new_document(n) for n in range(count)], limit=limit)


def positions(db, job):
    found = rows(db, "SELECT position, state FROM document WHERE job_id = :j ORDER BY position", j=job)
    assert [row[0] for row in found] == list(range(len(found)))
    return [row[1] for row in found]


def test_pieces_are_entered_in_order_until_the_job_is_sealed(db):
    job = with_listings(db, "s3://b/p/", documents=2)
    assert not job_of(db, job).sealed
    first = enter(db, step_of(open_listing(db, job), "k3"), 3)
    assert (first.more, first.sealed) == (True, False)
    last = enter(db, step_of(open_listing(db, job), "k5", ended=True), 2)
    assert (last.more, last.sealed) == (False, True)
    found = job_of(db, job)
    assert (found.sealed, found.documents.total, positions(db, job)) == (True, 7, ["queued"] * 7)
    assert rows(db, "SELECT * FROM listing") == []


def test_whoever_runs_it_at_the_same_time_enters_nothing(db):
    job = with_listings(db, "s3://b/p/")
    step = step_of(open_listing(db, job), "k3")
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: enter(db, step, 3), range(8)))
    assert sum(progress.more for progress in told) == 1
    assert len(positions(db, job)) == 3
    late = step_of(open_listing(db, job), "k4", ended=True)
    assert not enter(db, step, 3).more, "it has come further meanwhile"
    assert enter(db, late, 0).sealed
    assert not enter(db, late, 1).sealed
    assert len(positions(db, job)) == 3


def test_several_listings_of_a_job_come_one_after_the_other(db):
    job = with_listings(db, "s3://b/one/", "s3://b/two/")
    assert open_listing(db, job).location == "s3://b/one/"
    assert not enter(db, step_of(open_listing(db, job), "", ended=True), 1).sealed
    assert open_listing(db, job).location == "s3://b/two/"
    assert enter(db, step_of(open_listing(db, job), "", ended=True), 1).sealed


def test_more_documents_than_a_job_may_have_are_told_and_the_rest_goes_on(db):
    job = with_listings(db, "s3://b/p/", "s3://b/q/", documents=1)
    told = enter(db, step_of(open_listing(db, job), "k9"), 5, limit=4)
    assert (told.more, told.sealed) == (False, True)
    assert positions(db, job) == ["queued"] * 4 + ["failed"]
    error = rows(db, "SELECT error FROM document WHERE job_id = :j AND state = 'failed'", j=job)[0][0]
    assert "more than 4 documents" in str(error)
    assert job_of(db, job).documents.failed == 1


def test_a_listing_that_finds_nothing_or_cannot_go_on_is_a_failed_document(db):
    empty = with_listings(db, "s3://b/p/")
    assert enter(db, step_of(open_listing(db, empty), "", ended=True), 0).sealed
    assert positions(db, empty) == ["failed"]
    refused = with_listings(db, "s3://b/p/", documents=1)
    error = SourceForbidden("access is denied")
    listing = open_listing(db, refused)
    assert lifecycle.refuse_listing(db, step_of(listing, listing.cursor), error, limit=LIMIT).sealed
    assert positions(db, refused) == ["queued", "failed"]


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_job_that_ended_meanwhile_gets_nothing_more(db, blobs, end):
    job = with_listings(db, "s3://b/p/", documents=1)
    listing = open_listing(db, job)
    if end == "cancel":
        lifecycle.cancel(db, job)
    else:
        deletion.delete(db, blobs, job)
    assert enter(db, step_of(listing, "k3"), 3) == entering.Progress(job, more=False, sealed=False)
    assert one(db, "SELECT count(*) FROM document WHERE job_id = :j AND state <> 'canceled'", j=job) == 0
    assert rows(db, "SELECT * FROM listing") == []


def test_documents_that_come_later_have_the_deadline_of_their_job(db):
    job = with_listings(db, "s3://b/p/", documents=1, deadline_seconds=3600)
    enter(db, step_of(open_listing(db, job), "k1"), 1)
    found = rows(db, "SELECT DISTINCT deadline_at FROM document WHERE job_id = :j", j=job)
    assert len(found) == 1
    assert found[0][0] is not None


def test_owners_take_turns_with_their_listings(db):
    first = [with_listings(db, "s3://b/p/", owner="many") for _ in range(5)]
    second = with_listings(db, "s3://b/q/", owner="one")
    with db.read() as session:
        found = [listing.job for listing in entering.open_listings(session, 2)]
    assert found == [first[0], second]


def test_a_listing_whose_job_is_late_says_so(db):
    job = with_listings(db, "s3://b/p/", deadline_seconds=3600)
    assert not open_listing(db, job).late
    change(db, "UPDATE job SET deadline_at = created_at")
    assert open_listing(db, job).late


def test_manifests_that_are_still_read_are_known(db):
    job = new_job_id()
    lifecycle.submit(
        db, job_id=job, options=JobOptions(), engine="echo", vault=None, documents=[],
        listings=[NewListing("manifest", "uploads/m")],
    )  # fmt: skip
    with db.read() as session:
        assert entering.open_manifests(session, [job, new_job_id()]) == {"uploads/m"}
    enter(db, step_of(open_listing(db, job), "9", ended=True), 1)
    with db.read() as session:
        assert entering.open_manifests(session, [job]) == set()


# --- files that are fetched


def remote(db):
    job = new_job_id()
    new = new_document(source_url="https://a.example/x", bytes=0, sha256="")
    lifecycle.submit(db, job_id=job, options=JobOptions(), engine="echo", vault=None, documents=[new])
    return job, new.id


def claim(db, worker, document):
    with db.write() as session:
        return claiming.claim_fetches(session, worker, document_refs(db, [document]))


def note(db, held, key="k"):
    with db.write() as session:
        return fetching.note_fetched(session, held, key=key, media_type="application/pdf", size=3, sha256="x")


def test_a_document_is_fetched_before_it_is_split(db):
    worker = register(db)
    _, document = remote(db)
    with db.write() as session:
        assert claiming.claim_splits(session, worker, document_refs(db, [document])) == []
    [held] = claim(db, worker, document)
    assert note(db, held)
    assert claim(db, worker, document) == []
    with db.write() as session:
        assert len(claiming.claim_splits(session, worker, document_refs(db, [document]))) == 1


def test_a_late_fetch_is_dropped(db):
    slow, fast = register(db), register(db)
    _, document = remote(db)
    [first] = claim(db, slow, document)
    change(db, "UPDATE document SET worker = NULL WHERE id = :d", d=document)  # taken back from a dead worker
    [second] = claim(db, fast, document)
    assert note(db, second, "winner")
    assert not note(db, first, "late")
    assert one(db, "SELECT source_key FROM document WHERE id = :d", d=document) == "winner"


def test_a_canceled_document_is_not_fetched(db):
    worker = register(db)
    job, document = remote(db)
    [held] = claim(db, worker, document)
    lifecycle.cancel(db, job)
    assert not note(db, held)
    with db.write() as session:
        claiming.let_go(session, held)


def test_what_was_put_by_a_link_is_swept_only_when_no_document_awaits_it(db, blobs):
    day, key = date(2026, 1, 1), "uploads/2026-01-01/upl_{}/file"
    awaited, forgotten = (key.format(n * 32) for n in "ab")
    for found in (awaited, forgotten):
        blobs.put(found, b"x")
    new = new_document(source_url=f"upload:{awaited}", bytes=0, sha256="")
    lifecycle.submit(db, job_id=new_job_id(), options=JobOptions(), engine="echo", vault=None, documents=[new])
    sweep_uploads(db, blobs, day + timedelta(days=3))
    assert [stat.key for stat in blobs.list("uploads/")] == [awaited]


def test_one_owner_gets_half_of_what_is_fetched_at_once(db):
    register(db)
    documents = [new_document(source_url=f"https://a.example/{n}", bytes=0, sha256="") for n in range(40)]
    for owner, some in (("many", documents[:30]), ("one", documents[30:])):
        lifecycle.submit(
            db, job_id=new_job_id(), options=JobOptions(), engine="echo", vault=None, documents=some, owner=owner
        )
    rung = {ref.document for ref in dispatch.choose(db).fetches}
    mine = {document.id for document in documents[:30]}
    assert (len(rung & mine), len(rung - mine)) == (FETCH_WINDOW // 2, FETCH_WINDOW // 2)
    assert dispatch.choose(db).fetches == []


# --- locks


def test_splits_that_are_charged_and_cancels_cross_without_a_deadlock(pg):
    worker = register(pg)
    key, _ = keys.create(pg, "x", [Scope.SUBMIT], KeyLimits(pages_per_day=1_000_000))
    for _ in range(25):
        job, documents = submit(pg, 16, owner=key.id)
        with pg.write() as session:
            held = claiming.claim_splits(session, worker, document_refs(pg, documents))
        splits = [Split(c.document.id, c.attempt, 3, range(1, 4)) for c in held]

        def split(splits=splits):
            with pg.write() as session:
                usage.charge(session, worker, splits, None)
                submitting.insert_and_seal(session, worker, splits)

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(split), pool.submit(lifecycle.cancel, pg, job)]:
                done.result()
        with pg.write() as session:
            for claim in held:
                claiming.let_go(session, claim)


# --- retention


def ended(db, blobs, **terms):
    job = new_job_id()
    lifecycle.submit(
        db, job_id=job, options=JobOptions(), engine="echo", vault=None, documents=[new_document()],
        terms=Terms(**terms),
    )  # fmt: skip
    change(db, "UPDATE document SET state = 'failed', sealed = true, finished_at = created_at WHERE job_id = :j", j=job)
    assert lifecycle.close(db, blobs, job)
    return job


def test_jobs_expire_when_their_time_is_over_and_not_before(db, blobs):
    kept, short, long = ended(db, blobs), ended(db, blobs, retention=10), ended(db, blobs, retention=1000)
    assert job_of(db, kept).expires_at is None
    assert job_of(db, short).expires_at < job_of(db, long).expires_at
    assert deletion.expire(db) == 0
    change(db, "UPDATE job SET expires_at = created_at WHERE id = :j", j=short)
    assert deletion.expire(db) == 1
    assert deletion.expire(db) == 0
    deleted = rows(db, "SELECT id FROM job WHERE deleted_at IS NOT NULL")
    assert [row[0] for row in deleted] == [short]


def test_a_retry_begins_the_time_anew(db, blobs):
    job = ended(db, blobs, retention=10, source_retention=10)
    lifecycle.retry(db, blobs, job)
    assert job_of(db, job).expires_at is None
    assert one(db, "SELECT count(*) FROM job WHERE sources_expire_at IS NOT NULL") == 0


def test_files_go_before_results_and_a_retry_then_finds_nothing(db, blobs):
    job = ended(db, blobs, source_retention=10)
    assert deletion.drop_sources(db, blobs) == 0
    key = one(db, "SELECT source_key FROM document WHERE job_id = :j", j=job)
    blobs.put(key, b"x")
    change(db, "UPDATE job SET sources_expire_at = created_at WHERE id = :j", j=job)
    assert deletion.drop_sources(db, blobs) == 1
    assert blobs.stat(key) is None
    assert lifecycle.retry(db, blobs, job).state is State.FAILED
    assert deletion.drop_sources(db, blobs) == 0


def test_nothing_is_dropped_of_a_job_that_runs_again(db, blobs):
    job = ended(db, blobs, source_retention=10)
    lifecycle.retry(db, blobs, job)
    assert deletion.drop_sources(db, blobs) == 0
    assert one(db, "SELECT count(*) FROM document WHERE job_id = :j AND source_key = ''", j=job) == 0
