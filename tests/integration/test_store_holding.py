"""Documents in the hands of workers: letting go, handing back, and what rescue does when the worker is gone."""

from __future__ import annotations

import pytest

from jobs import lifecycle
from jobs.store import claiming, workers
from tests.protocol import (
    change,
    claim,
    claim_assemblies,
    claim_splits,
    one,
    read,
    register,
    rows,
    split,
    states,
    submit,
    take_back,
)


@pytest.fixture
def worker(db):
    return register(db)


def test_a_canceled_document_is_let_go_by_its_holder_alone(db, worker):
    job, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    with db.write() as session:
        claiming.let_go(session, claimed)
    assert one(db, "SELECT worker FROM document") == worker

    lifecycle.cancel(db, job)
    assert one(db, "SELECT worker FROM document") == worker
    stranger = claiming.ClaimedDocument(claimed.document, "wrk_other", claimed.attempt, 0, 0)
    with db.write() as session:
        claiming.let_go(session, stranger)
    assert one(db, "SELECT worker FROM document") == worker
    with db.write() as session:
        claiming.let_go(session, claimed)
    assert one(db, "SELECT worker FROM document") is None


def test_held_documents_are_told_and_handed_back(db, worker):
    _, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    hold = (document, 0, claimed.attempt)
    with db.read() as session:
        assert workers.held_by(session, worker) == {hold}
    with db.write() as session:
        workers.release_held(session, worker, [(document, 0, claimed.attempt + 1)])
        workers.release_held(session, "wrk_other", [hold])
    assert one(db, "SELECT worker FROM document") == worker
    with db.write() as session:
        workers.release_held(session, worker, [hold])
    [again] = claim_splits(db, worker, [document])
    assert (again.attempt, again.crashes) == (2, 0)


def test_a_canceled_document_that_nobody_works_on_is_told_too_so_that_it_can_be_purged(db, worker):
    """The claim's answer was lost, then the job was canceled: without this the deleted job would stay for ever."""
    job, [document, paged] = submit(db, 2)
    split(db, worker, [paged], pages=1)
    [page] = claim(db, worker, paged)
    [claimed] = claim_splits(db, worker, [document])
    lifecycle.cancel(db, job)

    with db.read() as session:
        held = workers.held_by(session, worker)
    assert held == {(document, 0, claimed.attempt), (paged, 1, page.attempt)}
    with db.write() as session:
        workers.release_held(session, worker, sorted(held))

    assert states(db, paged) == ["canceled"]
    assert rows(db, "SELECT 1 FROM document WHERE worker IS NOT NULL") == []
    assert rows(db, "SELECT 1 FROM page WHERE worker IS NOT NULL") == []


@pytest.mark.parametrize(("end", "crashes"), [("dead", 1), ("stopped", 0)])
def test_documents_of_workers_that_are_gone_become_free(db, worker, end, crashes):
    _, documents = submit(db, 2)
    split(db, worker, documents[:1], pages=1)
    read(db, worker, documents[0])
    claim_splits(db, worker, documents[1:])
    assert take_back(db) == 0
    change(db, "UPDATE worker SET state = :state", state=end)

    assert take_back(db) == 2

    assert [tuple(r) for r in rows(db, "SELECT worker, crashes, state FROM document")] == [
        (None, crashes, "running")
    ] * 2  # fmt: skip
    other = register(db)
    assert len(claim_splits(db, other, documents[1:])) == 1
    assert len(claim_assemblies(db, other, documents[:1])) == 1


def test_splitting_well_forgets_earlier_deaths(db):
    _, [document] = submit(db)
    for _ in range(2):
        claim_splits(db, register(db, "slot"), [document])
        change(db, "UPDATE worker SET state = 'dead'")
        take_back(db)
    split(db, register(db, "slot"), [document])
    assert one(db, "SELECT crashes FROM document") == 0
