"""Rules 2, 3 and 4: ringing, and messages that come doubled, late or while somebody dies."""

from __future__ import annotations

from jobs import dispatch
from jobs.dispatch import RescueRules
from jobs.store import claiming, ringing, workers
from tests.protocol import (
    age_heartbeat,
    back,
    beside,
    claim,
    claim_refs,
    claim_splits,
    document_refs,
    is_sqlite,
    one,
    page_refs,
    record,
    register,
    rows,
    split,
    states,
    submit,
)

RULES = RescueRules(stale=30.0, ring_expires=60.0, settled=5.0, max_crashes=3)


# --- rule 2: one dispatcher at a time


def test_two_dispatchers_at_once_ring_nothing_twice(db):
    """On PostgreSQL the second one finds the advisory lock taken and leaves; on SQLite it waits for the transaction."""
    worker = register(db, capacity=2)
    _, [document] = submit(db)
    split(db, worker, [document], pages=6)

    with db.write() as session:
        assert ringing.dispatch_lock(session)
        first = ringing.stamp_pages(session, "echo", 3)
        with beside(db, lambda: dispatch.choose(db)) as other:
            if is_sqlite(db):
                other.waits()
            else:
                assert other.result() is None
            session.commit()
            second = other.result() or dispatch.choose(db)

    [rung] = second.pages["echo"]
    assert [r.ref.number for r in first] == [1, 2, 3]
    assert [ref.number for ref in rung] == [4]  # the window holds four, three of them were rung
    assert one(db, "SELECT count(*) FROM page WHERE rung_at IS NOT NULL") == 4


def test_the_dispatch_lock_ends_with_its_transaction(db):
    for _ in range(2):
        with db.write() as session:
            assert ringing.dispatch_lock(session)


def test_stamps_are_committed_before_anything_is_sent(db):
    """A dispatcher that dies between commit and sending leaves stamps, and rescue finds them by their age."""
    worker = register(db)
    _, documents = submit(db, 2)
    split(db, worker, documents[:1], pages=2)
    chosen = dispatch.choose(db)
    assert len(chosen) == 3
    assert len(dispatch.choose(db)) == 0

    with db.write() as session:
        assert ringing.clear_page_stamps(session, -1.0) == 2
        assert ringing.clear_document_stamps(session, -1.0) == 1
    assert dispatch.choose(db) == chosen


# --- rules 3 and 4: doubled and stale messages


def test_one_message_in_two_workers_at_once_is_claimed_by_one(db):
    first, second = register(db), register(db)
    _, [document] = submit(db)
    split(db, first, [document], pages=3)
    message = page_refs(db, document)

    with db.write() as session:
        assert len(claiming.claim_pages(session, first, message)) == 3
        with beside(db, lambda: claim_refs(db, second, message)) as other:
            other.waits()
            session.commit()
            assert other.result() == []

    assert {r[0] for r in rows(db, "SELECT worker FROM page")} == {first}


def test_overlapping_messages_share_their_pages_out(db):
    first, second = register(db), register(db)
    _, [document] = submit(db)
    split(db, first, [document], pages=4)
    message = page_refs(db, document)

    with db.write() as session:
        claiming.claim_pages(session, first, message[:3])
        with beside(db, lambda: claim_refs(db, second, message[1:])) as other:
            other.waits()
            session.commit()
            assert [page.number for page in other.result()] == [4]


def test_one_split_message_in_two_workers_at_once_is_claimed_by_one(db):
    first, second = register(db), register(db)
    _, documents = submit(db, 2)
    message = document_refs(db, documents)

    def again():
        with db.write() as session:
            return claiming.claim_splits(session, second, message)

    with db.write() as session:
        assert len(claiming.claim_splits(session, first, message)) == 2
        with beside(db, again) as other:
            other.waits()
            session.commit()
            assert other.result() == []


def test_a_message_that_overslept_a_hand_back_does_nothing(db):
    """Rung, delivered to a frozen worker; the page was handed back by another and rung again; then it thaws."""
    frozen, other = register(db), register(db)
    _, [document] = submit(db)
    split(db, other, [document], pages=1)
    with db.write() as session:
        stale = [r.ref for r in ringing.stamp_pages(session, "echo", 9)]
    record(db, back(claim_refs(db, other, stale)))
    with db.write() as session:
        fresh = [r.ref for r in ringing.stamp_pages(session, "echo", 9)]

    assert claim_refs(db, frozen, stale) == []
    assert [page.attempt for page in claim_refs(db, frozen, fresh)] == [2]


def test_a_late_message_of_a_cleared_ring_is_as_good_as_the_new_one(db):
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=1)
    with db.write() as session:
        late = [r.ref for r in ringing.stamp_pages(session, "echo", 9)]
        ringing.clear_page_stamps(session, -1.0)
        new = [r.ref for r in ringing.stamp_pages(session, "echo", 9)]
    assert late == new
    assert len(claim_refs(db, worker, late)) == 1
    assert claim_refs(db, worker, new) == []


# --- rule 4: a claim and a death


def test_who_claims_is_not_declared_dead_until_the_claim_is_committed(db):
    """The claim holds its worker's row (FOR SHARE): the judge passes it over (on SQLite it waits), so that no page is
    claimed by somebody who is already dead. Judged later, it leaves its pages to rescue."""
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    age_heartbeat(db, worker)
    refs = page_refs(db, document)

    with db.write() as session:
        assert len(claiming.claim_pages(session, worker, refs)) == 2
        with beside(db, lambda: dispatch.judge(db, RULES)) as other:
            passed_over(db, other)
            session.commit()
            assert (other.result() or dispatch.judge(db, RULES)) == [worker]

    assert dispatch.take_back(db, RULES) == 2
    assert states(db, document) == ["pending", "pending"]


def passed_over(db, judging):
    """The judge beside an open claim: on PostgreSQL it is done and has judged nobody, on SQLite it waits."""
    if is_sqlite(db):
        judging.waits()
    else:
        assert judging.result() == []


def test_who_was_declared_dead_claims_nothing(db):
    """The judge was first: the claim waits for its own row, finds itself dead and takes nothing that nobody would
    give back."""
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    age_heartbeat(db, worker)
    refs = page_refs(db, document)

    with db.write() as session:
        assert workers.declare_dead(session, 30.0) == [worker]
        with beside(db, lambda: claim_refs(db, worker, refs)) as other:
            other.waits()
            session.commit()
            assert other.result() == []

    assert states(db, document) == ["pending", "pending"]


def test_a_split_and_an_assembly_are_claimed_under_the_same_lock(db):
    for claims in (claiming.claim_splits, claiming.claim_assemblies):
        worker = register(db)
        _, [document] = submit(db)
        if claims is claiming.claim_assemblies:
            split(db, worker, [document], pages=0)
        refs = document_refs(db, [document])
        age_heartbeat(db, worker)

        with db.write() as session:
            assert len(claims(session, worker, refs)) == 1
            with beside(db, lambda: dispatch.judge(db, RULES)) as other:
                passed_over(db, other)
                session.commit()
                assert (other.result() or dispatch.judge(db, RULES)) == [worker]
        assert dispatch.take_back(db, RULES) == 1


def test_a_successor_in_the_slot_waits_for_the_claim_too(db):
    worker = register(db, "slot")
    _, [document] = submit(db)
    split(db, worker, [document], pages=1)
    refs = page_refs(db, document)

    with db.write() as session:
        claiming.claim_pages(session, worker, refs)
        with beside(db, lambda: register(db, "slot")) as other:
            other.waits()
            session.commit()
            other.result()

    assert dispatch.take_back(db, RULES) == 1


def test_claims_of_two_workers_do_not_wait_for_each_other(pg):
    """FOR SHARE, not FOR UPDATE: and rows of different workers and documents."""
    first, second = register(pg), register(pg)
    _, documents = submit(pg, 2)
    split(pg, first, documents, pages=1)
    with pg.write() as session:
        claiming.claim_pages(session, first, page_refs(pg, documents[0]))
        assert len(claim(pg, second, documents[1])) == 1
        assert claim_splits(pg, first, []) == []
