"""Marks of jobs, lists by filter and what the outlook stands on, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from jobs import lifecycle
from jobs.errors import EmptyFile, Gone, NotFound
from jobs.fairness import BATCH
from jobs.models import Job, PageState, State
from jobs.options import JobOptions
from jobs.store import finding, following, outlook, reading, workers
from jobs.store.closing import fold_running
from jobs.store.finding import JobFilter, find_jobs
from tests.protocol import bad, claim, good, new_document, read, record, register, rows, split, submit

# Of the columns of a job that cannot change, or that nobody sees.
UNMARKED = {
    "id", "owner", "options", "metadata", "password", "cancel_requested", "manifest", "created_at", "purged_at",
    "deadline_at", "retention_seconds", "source_retention_seconds", "sources_expire_at",
}  # fmt: skip


def change(db, statement, **values):
    with db.write() as session:
        session.connection().execute(text(statement), values)


# --- marks


def look(db, job):
    with db.read() as session:
        return following.look(session, job)


def moved(db, *seen):
    with db.read() as session:
        return following.moved(session, [(one.job.id, one.mark) for one in seen])


def test_every_column_of_a_job_is_in_its_mark_or_known_not_to_matter():
    assert {column.name for column in Job.__table__.columns} == UNMARKED | set(following.MARKED)


CHANGES = {
    "state": "state = 'running'", "sealed": "sealed = false", "engine": "engine = 'other'", "priority": "priority = 0",
    "error": """error = '{"type": "t", "title": "t", "status": 500, "detail": "d", "code": "c", "retryable": false}'""",
    "started_at": "started_at = '2026-01-01 00:00:00.000'", "finished_at": "finished_at = '2026-01-01 00:00:00.000'",
    "deleted_at": "deleted_at = '2026-01-01 00:00:00.000'", "expires_at": "expires_at = '2026-01-01 00:00:00.000'",
}  # fmt: skip


@pytest.mark.parametrize("name", following.MARKED)
def test_whatever_changes_moves_a_job(pg, name):
    job, _ = submit(pg)
    before = look(pg, job)
    assert moved(pg, before) == {}
    original = rows(pg, f"SELECT {name} FROM job")[0][0]
    change(pg, f"UPDATE job SET {CHANGES.get(name, f'{name} = 17')}")
    [(seen, move)] = moved(pg, before).items()
    assert seen == (job, before.mark)
    if name == "deleted_at":
        assert move.mark is None
    else:
        assert look(pg, job).job.model_dump() != before.job.model_dump(), "what is marked is seen"
        assert move.mark == look(pg, job).mark
    restored = "NULL" if original is None else f"'{original}'"
    change(pg, f"UPDATE job SET {name} = {restored}")


def test_jobs_are_watched_by_thousands_and_only_what_moved_comes_back(db):
    jobs = [submit(db)[0] for _ in range(3)]
    seen = [look(db, job) for job in jobs]
    lifecycle.cancel(db, jobs[1])
    with db.write() as session:
        session.connection().execute(text("UPDATE job SET deleted_at = created_at WHERE id = :id"), {"id": jobs[2]})
    strangers = [("job_" + f"{n:032x}", "") for n in range(2000)]
    with db.read() as session:
        found = following.moved(session, [*((one.job.id, one.mark) for one in seen), *strangers])
        assert set(following.look_at(session, jobs)) == set(jobs[:2])
    assert (jobs[0], seen[0].mark) not in found
    assert found[jobs[1], seen[1].mark].ended
    assert found[jobs[2], seen[2].mark].mark is None
    assert sum(move.missing for move in found.values()) == 2000
    with pytest.raises(Gone):
        look(db, jobs[2])
    with pytest.raises(NotFound):
        look(db, strangers[0][0])
    lifecycle.cancel(db, jobs[0])
    change(db, "UPDATE job SET deleted_at = NULL WHERE id = :id", id=jobs[2])


# --- lists by filter


def found(db, wanted, limit=1000, before=None):
    with db.read() as session:
        return find_jobs(session, wanted, limit=limit, before=before)


def ids(db, **wanted):
    """All of them, page by page of one."""
    before, listed = None, []
    while True:
        piece = found(db, JobFilter(**wanted), limit=1, before=before)
        listed += [job.id for job in piece.jobs]
        if (before := piece.before) is None:
            assert len(listed) == len(set(listed)), "listed twice"
            return listed


def with_metadata(db, **metadata):
    return submit(db, options=JobOptions(metadata=metadata))[0]


def test_metadata_are_matched_as_they_are_written(db):
    job = with_metadata(db, case="ä 'q\" %", number=17, real=1.5, yes=True, no=False, nothing=None, nested={"a": 1})
    other = with_metadata(db, case="17", number="true")
    matches = {
        ("case", "ä 'q\" %"): [job], ("number", "17"): [job], ("real", "1.5"): [job], ("yes", "true"): [job],
        ("no", "false"): [job], ("case", "17"): [other], ("number", "true"): [other],
        ("nothing", "null"): [], ("nothing", ""): [], ("nested", '{"a": 1}'): [], ("nested.a", "1"): [],
        ("case", "%"): [], ("yes", "1"): [], ("absent", ""): [], ("case", "Ä 'Q\" %"): [],
    }  # fmt: skip
    for one, expected in matches.items():
        assert ids(db, metadata=(one,)) == expected, one
    assert ids(db, metadata=(("number", "17"), ("yes", "true"))) == [job]
    assert ids(db, metadata=(("number", "17"), ("yes", "false"))) == []
    lifecycle.cancel(db, job)


def test_deleted_jobs_are_walked_over_a_piece_at_a_time_whatever_is_asked_for(db, monkeypatch):
    monkeypatch.setattr(finding, "SCAN", 5)
    kept, *deleted = [submit(db)[0] for _ in range(13)]
    change(db, "UPDATE job SET deleted_at = created_at WHERE id <> :id", id=kept)
    for wanted in (JobFilter(), JobFilter(owner=""), JobFilter(states=(State.QUEUED, State.RUNNING))):
        first = found(db, wanted)
        assert (first.jobs, first.before) == ([], deleted[-5])
        second = found(db, wanted, before=first.before)
        assert (second.jobs, second.before) == ([], deleted[-10])
        third = found(db, wanted, before=second.before)
        assert ([job.id for job in third.jobs], third.before) == ([kept], None)


@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "$.case", '"', "a'); DROP TABLE job; --", ":key", "%(key)s", "\\", "*", "case' = 'x", "$"]
)
def test_keys_and_values_are_data_whatever_they_say(db, text):
    plain, odd = with_metadata(db, case="x"), with_metadata(db, **{text: "x"})
    assert ids(db, metadata=((text, "x"),)) == [odd]
    assert ids(db, metadata=(("case", text),)) == []
    assert ids(db, metadata=(("case", "x"), (text, "x"))) == []
    assert ids(db) == [odd, plain]


def test_jobs_by_priority_engine_owner_time_and_state(db):
    first, _ = submit(db, engine="rapidocr", owner="key_a")
    second, _ = submit(db, options=JobOptions(priority="interactive"))
    change(db, "UPDATE job SET created_at = '2026-01-31 12:00:00.000' WHERE id = :id", id=first)
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    now = look(db, second).job.created_at
    assert ids(db, priority=0) == [second]
    assert ids(db, engine="rapidocr") == [first]
    assert ids(db, owner="key_a") == [first]
    assert ids(db, owner="") == [second]
    assert ids(db, created_after=now) == [second]
    assert ids(db, created_after=now + timedelta(milliseconds=2)) == []
    assert ids(db, created_before=now + timedelta(milliseconds=2), priority=0) == [second]
    assert ids(db, created_before=now, priority=0) == []
    with db.read() as session:  # the id of the first says that it is of today: only its time was set back
        conditions = list(finding._conditions(session, JobFilter(created_before=moment, created_after=moment)))
        query = finding.select(Job.id).where(conditions[0])
        assert sorted(session.exec(query)) == [first, second]
        assert session.exec(query.where(conditions[1])).all() == []
    lifecycle.cancel(db, first)
    assert ids(db, states=(State.CANCELED,)) == [first]
    assert ids(db, states=(State.QUEUED, State.RUNNING)) == [second]
    assert ids(db, states=(State.QUEUED, State.CANCELED)) == [second, first]
    assert ids(db, states=(State.RUNNING,)) == []


def test_the_ids_of_a_time_hold_all_that_was_created_then(db):
    job, _ = submit(db)
    created = look(db, job).job.created_at
    for drift in (timedelta(hours=-20), timedelta(), timedelta(hours=20)):
        assert (
            finding._id_at(created + drift, -finding.ID_DRIFT)
            <= job
            < finding._id_at(created + drift, finding.ID_DRIFT)
        )
    for far in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        ids(db, created_after=far)
        ids(db, created_before=far)


def test_jobs_documents_and_pages_by_code(db):
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document])
    read(db, worker, document)
    paged, documents = submit(db, 3)
    split(db, worker, documents, pages=4)
    record(db, bad(claim(db, worker, documents[1], [2, 3])) + good(claim(db, worker, documents[1], [1])))
    refused = lifecycle.submit(
        db, job_id="job_" + "f" * 32, options=JobOptions(), engine="echo", vault=None,
        documents=[new_document(0), new_document(1, error=_empty())],
    )  # fmt: skip
    with db.write() as session:
        fold_running(session)
    assert ids(db, code="engine_error") == [paged]
    assert ids(db, code="empty_file") == [refused.id]
    assert ids(db, code="page_timeout") == []
    assert ids(db, code="engine_error", states=(State.RUNNING,)) == [paged]
    assert ids(db, code="engine_error", states=(State.QUEUED,)) == []
    with db.read() as session:

        def listed(job, **wanted):
            only = finding.document_filter(**wanted)
            return [d.id for d in reading.list_documents(session, job, limit=9, only=only)]

        def numbers(**wanted):
            return [
                p.number for p in reading.list_pages(session, documents[1], limit=9, only=finding.page_filter(**wanted))
            ]

        assert listed(paged, code="engine_error") == [documents[1]]
        assert listed(paged, code="engine_error", states=[State.FAILED]) == []
        assert (
            listed(refused.id, code="empty_file")
            == [d.id for d in reading.list_documents(session, refused.id, limit=9)][1:]
        )
        assert listed(refused.id, states=[State.QUEUED, State.FAILED]) != []
        assert numbers(code="engine_error") == [2, 3]
        assert numbers(states=[PageState.FAILED]) == [2, 3]
        assert numbers(states=[PageState.SUCCEEDED, PageState.PENDING]) == [1, 4]
        assert numbers(states=[PageState.PENDING], code="engine_error") == []


def _empty():
    return EmptyFile("nothing in it").at("1.pdf")


def test_a_walk_is_bounded_and_passes_over_nothing(db, monkeypatch):
    monkeypatch.setattr(finding, "SCAN", 5)
    jobs = [submit(db, engine="rare" if n % 7 == 0 else "echo")[0] for n in range(24)]
    wanted, before, listed, requests = JobFilter(engine="rare"), None, [], 0
    while True:
        piece = found(db, wanted, limit=2, before=before)
        requests += 1
        listed += [job.id for job in piece.jobs]
        if requests == 2:  # in the middle of it some are submitted and some deleted
            submit(db, engine="rare")
            change(db, "UPDATE job SET deleted_at = created_at WHERE id = :id", id=jobs[8])
        if (before := piece.before) is None:
            break
    assert listed == [jobs[n] for n in (21, 14, 7, 0)]
    assert requests == 5
    change(db, "UPDATE job SET deleted_at = NULL WHERE id = :id", id=jobs[8])


def test_what_is_open_is_found_by_its_index_whatever_has_ended(db, monkeypatch):
    monkeypatch.setattr(finding, "SCAN", 3)
    old, _ = submit(db)
    for _ in range(9):
        lifecycle.cancel(db, submit(db)[0])
    piece = found(db, JobFilter(states=(State.QUEUED,)), limit=2)
    assert ([job.id for job in piece.jobs], piece.before) == ([old], None)


# --- the outlook


def test_the_outlook_knows_open_jobs_workers_and_pauses(db):
    worker = register(db, capacity=5)
    mine, [document] = submit(db, owner="key_a")
    theirs, documents = submit(db, 4, owner="key_b")
    split(db, worker, [document], pages=3)
    split(db, worker, documents[:1], pages=9)
    read(db, worker, document, failed=[2])
    record(db, good(claim(db, worker, documents[0], [1, 2])))
    lifecycle.cancel(db, submit(db, owner="key_c")[0])
    with db.write() as session:
        fold_running(session)
        assert workers.heartbeat(session, worker, 2.5)

    def place(job, owner, pages):
        with db.read() as session:
            return outlook.outlook(session, 30.0).place("echo", BATCH, owner, job, pages)

    # theirs: 7 pages to come; mine: none, but its document is still to be put together
    assert place(mine, "key_a", 1).ahead == 1
    assert place(theirs, "key_b", 7).ahead == 1
    assert place(theirs, "key_b", 7).seconds == pytest.approx(8 / 2.5)
    lifecycle.pause(db, "key_a")
    assert place(theirs, "key_b", 7).ahead == 0
    assert place(mine, "key_a", 1).seconds is None
    with db.write() as session:
        workers.heartbeat(session, worker)
    assert place(theirs, "key_b", 7).seconds is None, "nothing was read lately"
    with db.write() as session:
        workers.heartbeat(session, worker, 2.5)
        workers.set_state(session, worker, "stopped")
    assert place(theirs, "key_b", 7).seconds is None, "nobody reads"


def test_beyond_its_limit_the_outlook_says_nothing(db, monkeypatch):
    monkeypatch.setattr(outlook, "LIMIT", 2)
    jobs = [submit(db)[0] for _ in range(3)]
    with db.read() as session:
        known = outlook.outlook(session, 30.0)
    assert known.place("echo", BATCH, "", jobs[1], 1).ahead == 1
    assert known.place("echo", BATCH, "", jobs[2], 1) is None
