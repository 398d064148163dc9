"""Rule 5: an outcome counts while the row says running, by this worker, at this attempt. Late ones are dropped."""

from __future__ import annotations

import pytest

from jobs import dispatch
from jobs.blobs import page_key
from jobs.dispatch import RescueRules
from jobs.models import PageState
from jobs.store import assembling, recording, rescue
from tests.protocol import (
    age_heartbeat,
    back,
    bad,
    beside,
    change,
    claim,
    finish,
    good,
    one,
    record,
    register,
    split,
    states,
    submit,
)

RULES = RescueRules(stale=30.0, ring_expires=60.0, settled=5.0, max_crashes=3)


@pytest.fixture
def worker(db):
    return register(db, "slot")


@pytest.fixture
def document(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    return document


def test_a_result_that_comes_after_the_rescue_is_dropped(db, worker, document):
    late = claim(db, worker, document)
    age_heartbeat(db, worker)
    dispatch.judge(db, RULES)
    assert dispatch.take_back(db, RULES) == 2

    assert record(db, good(late)).counted == 0
    assert states(db, document) == ["pending", "pending"]

    other = register(db)
    again = claim(db, other, document)
    assert record(db, bad(late)).counted == 0
    assert record(db, good(again), assemble_as=other).counted == 2


def test_a_result_that_waits_for_the_rescue_is_dropped(db, worker, document):
    """Rescue holds the document; the late commit waits for it and finds its pages gone."""
    late = claim(db, worker, document)
    change(db, "UPDATE worker SET state = 'dead'")

    with db.write() as session:
        assert rescue.take_back_pages(session, 3) == 2
        with beside(db, lambda: record(db, good(late))) as other:
            other.waits()
            session.commit()
            assert other.result().counted == 0

    assert states(db, document) == ["pending", "pending"]


def test_a_rescue_that_waits_for_a_result_takes_nothing(db, worker, document):
    """The other order: the dead worker's last commit was first, and counts."""
    last = claim(db, worker, document)
    change(db, "UPDATE worker SET state = 'dead'")

    with db.write() as session:
        assert recording.record(session, good(last)).counted == 2
        with beside(db, lambda: dispatch.take_back(db, RULES)) as other:
            other.waits()
            session.commit()
            assert other.result() == 0

    assert states(db, document) == ["succeeded", "succeeded"]
    assert one(db, "SELECT sum(crashes) FROM page") == 0


def test_one_outcome_committed_from_two_threads_counts_once(db, worker, document):
    """A commit whose answer was lost is sent again while the first is still on its way."""
    pages = claim(db, worker, document)
    with db.write() as session:
        assert recording.record(session, good(pages)).counted == 2
        with beside(db, lambda: record(db, good(pages))) as other:
            other.waits()
            session.commit()
            assert other.result().counted == 0


def test_a_late_file_is_never_read(db, worker, document, blobs):
    """Two workers store a result for the same page; the row names the attempt whose file counts."""
    job = one(db, "SELECT job_id FROM document")
    [late] = claim(db, worker, document, [1])
    record(db, back([late]))
    other = register(db)
    [winner] = claim(db, other, document, [1])
    blobs.put(page_key(job, document, 1, winner.attempt), b"winner")
    record(db, good([winner]))
    blobs.put(page_key(job, document, 1, late.attempt), b"late")
    assert record(db, good([late])).counted == 0

    with db.read() as session:
        [assembly] = assembling.assemblies(session, [document])
    [page] = assembly.pages
    assert (page.state, page.attempt) == (PageState.SUCCEEDED, winner.attempt)
    assert blobs.get(page_key(job, document, page.number, page.attempt)) == b"winner"


def test_a_group_is_committed_whole_or_not_at_all(db, worker, document):
    """The process dies, or the database goes, after the statements and before the commit."""
    pages = claim(db, worker, document)

    def recorded_and_died():
        with db.write() as session:
            assert recording.record(session, good(pages), assemble_as=worker).counted == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        recorded_and_died()
    assert states(db, document) == ["running", "running"]

    recorded = record(db, good(pages), assemble_as=worker)
    assert recorded.counted == 2
    assert finish(db, recorded.assemblies) == [document]
