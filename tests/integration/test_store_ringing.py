"""Stamps: which pages and documents are rung next, in which order, and whose ring is forgotten."""

from __future__ import annotations

import pytest

from jobs.options import JobOptions
from jobs.store import ringing, waiting
from jobs.store.claiming import DocumentRef, PageRef
from tests.protocol import (
    back,
    change,
    claim,
    claim_refs,
    claim_splits,
    document_refs,
    good,
    one,
    page_refs,
    read,
    record,
    register,
    rows,
    split,
    submit,
)


@pytest.fixture
def worker(db):
    return register(db)


def stamp(db, free=100, engine="echo"):
    with db.write() as session:
        return ringing.stamp_pages(session, engine, free)


def window(db):
    with db.read() as session:
        return {engine: found.rung for engine, found in waiting.pages_in_flight(session).items() if found.rung}


def documents_rung(session):
    windows = waiting.documents_in_flight(session)
    return windows.splits.rung, windows.assemblies.rung


def refs(rung):
    return [r.ref for r in rung]


def test_pages_are_stamped_once_and_fill_the_window(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=5)
    assert window(db) == {}

    assert refs(stamp(db, 3)) == page_refs(db, document, [1, 2, 3])
    assert window(db) == {"echo": 3}
    assert refs(stamp(db, 3)) == page_refs(db, document, [4, 5])
    assert stamp(db, 3) == []
    assert stamp(db, 0) == []


def test_a_claimed_page_leaves_the_window(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    stamp(db)
    claim(db, worker, document, [1])
    assert window(db) == {"echo": 1}


def test_a_page_handed_back_is_rung_again_with_its_new_attempt(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=1)
    record(db, back(claim_refs(db, worker, refs(stamp(db)))))
    assert refs(stamp(db)) == [PageRef(document, 1, 1)]


def test_a_page_that_backs_off_is_not_rung(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=1)
    record(db, back(claim(db, worker, document), delay=3600.0))
    assert stamp(db) == []


def test_interactive_goes_before_batch_but_for_its_share_and_older_before_younger(db, worker):
    _, [batch] = submit(db)
    _, [urgent] = submit(db, options=JobOptions(priority="interactive"))
    _, [later] = submit(db, options=JobOptions(priority="interactive"))
    split(db, worker, [batch, urgent, later], pages=2)
    assert [ref.document for ref in refs(stamp(db, 2))] == [urgent, batch]
    assert [ref.document for ref in refs(stamp(db, 2))] == [urgent, later]
    assert [ref.document for ref in refs(stamp(db, 2))] == [later, batch]


def test_engines_have_windows_of_their_own(db, worker):
    _, [document] = submit(db)
    _, [other] = submit(db, engine="other")
    split(db, worker, [document, other], pages=2)
    assert refs(stamp(db, 9, "other")) == page_refs(db, other)
    assert refs(stamp(db, 9)) == page_refs(db, document)
    assert window(db) == {"echo": 2, "other": 2}
    assert stamp(db, 9, "nobody") == []


def test_pages_of_a_document_still_being_split_are_rung(db, worker):
    from jobs.store import submitting

    _, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    with db.write() as session:
        submitting.insert_pages(session, document, worker, claimed.attempt, [1])
    assert len(stamp(db)) == 1


def test_crashes_are_told_with_the_ring(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=1)
    record(db, back(claim(db, worker, document), crashes=2))
    assert [r.crashes for r in stamp(db)] == [2]


def test_splits_and_assemblies_are_stamped_once_each_in_its_window(db, worker):
    _, documents = submit(db, 3)
    split(db, worker, documents[:1], pages=1)
    record(db, good(claim(db, worker, documents[0])))

    with db.write() as session:
        assert ringing.stamp_splits(session, 1) == [DocumentRef(documents[1], 0)]
        assert documents_rung(session) == (1, 0)
        assert ringing.stamp_splits(session, 9) == [DocumentRef(documents[2], 0)]
        assert ringing.stamp_assemblies(session, 9) == [DocumentRef(documents[0], 1)]
        assert documents_rung(session) == (2, 1)
        assert ringing.stamp_splits(session, 9) == []
        assert ringing.stamp_assemblies(session, 9) == []


def test_what_is_claimed_or_waits_is_not_stamped(db, worker):
    _, documents = submit(db, 3)
    claim_splits(db, worker, documents[:1])
    split(db, worker, documents[1:2])
    read(db, worker, documents[1])
    change(db, "UPDATE document SET ready_at = :later WHERE id = :d", later="2999-01-01 00:00:00.000", d=documents[2])
    with db.write() as session:
        assert ringing.stamp_splits(session, 9) == []
        assert ringing.stamp_assemblies(session, 9) == []
        assert ringing.stamp_splits(session, 0) == []


def test_old_stamps_are_forgotten_young_ones_stay(db, worker):
    _, documents = submit(db, 2)
    split(db, worker, documents[:1], pages=2)
    stamp(db)
    with db.write() as session:
        ringing.stamp_splits(session, 9)
        assert ringing.clear_page_stamps(session, 60.0) == 0
        assert ringing.clear_document_stamps(session, 60.0) == 0
    change(db, "UPDATE page SET rung_at = :old WHERE number = 1", old="2000-01-01 00:00:00.000")
    change(db, "UPDATE document SET rung_at = :old WHERE rung_at IS NOT NULL", old="2000-01-01 00:00:00.000")
    with db.write() as session:
        assert ringing.clear_page_stamps(session, 60.0, "other") == 0
        assert ringing.clear_page_stamps(session, 60.0, "echo") == 1
        assert ringing.clear_document_stamps(session, 60.0, "assemble") == 0
        assert ringing.clear_document_stamps(session, 60.0, "split") == 1
    assert window(db) == {"echo": 1}
    assert refs(stamp(db)) == page_refs(db, documents[0], [1])


def test_what_was_never_sent_loses_its_stamp_unless_it_changed_hands(db, worker):
    _, documents = submit(db, 2)
    split(db, worker, documents[:1], pages=2)
    rung = refs(stamp(db))
    with db.write() as session:
        splits = ringing.stamp_splits(session, 9)
        ringing.unring_pages(session, [rung[0], rung[1]._replace(attempt=7), PageRef("doc_nothing", 1, 0)])
        ringing.unring_documents(session, [DocumentRef("doc_nothing", 0), splits[0]._replace(attempt=9)])
        ringing.unring_pages(session, [])
        ringing.unring_documents(session, [])
    assert window(db) == {"echo": 1}
    with db.write() as session:
        assert documents_rung(session) == (1, 0)
        ringing.unring_documents(session, splits)
        assert documents_rung(session) == (0, 0)
    assert document_refs(db, documents[1:]) == splits


def test_a_stamp_says_when(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=1)
    stamp(db)
    assert one(db, "SELECT count(*) FROM page WHERE rung_at >= ready_at") == 1
    assert rows(db, "SELECT 1 FROM page WHERE rung_at IS NULL") == []
