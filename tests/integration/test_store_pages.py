"""Claiming and recording pages: every guard, on both databases."""

from __future__ import annotations

import pytest

from jobs import lifecycle
from jobs.options import JobOptions
from jobs.store import claiming, recording, workers
from jobs.store.claiming import PageRef
from jobs.store.recording import SMALL, Outcome
from tests.ledger import assert_exact
from tests.protocol import (
    PROBLEM,
    back,
    bad,
    change,
    claim,
    claim_refs,
    finish,
    good,
    one,
    page_refs,
    record,
    register,
    rows,
    split,
    states,
    submit,
)


@pytest.fixture
def worker(db):
    return register(db)


@pytest.fixture
def document(db, worker):
    """A running document of three pending pages."""
    _, [document] = submit(db)
    split(db, worker, [document], pages=3)
    return document


def counters(db, document):
    [row] = rows(db, "SELECT pending, running, succeeded, failed, canceled FROM document WHERE id = :d", d=document)
    return tuple(row)


def test_a_claim_makes_pages_running_and_ours(db, worker, document):
    claimed = claim(db, worker, document, [3, 1])

    assert [(page.number, page.worker, page.attempt, page.errors, page.crashes) for page in claimed] == [
        (1, worker, 1, 0, 0), (3, worker, 1, 0, 0)
    ]  # fmt: skip
    assert states(db, document) == ["running", "pending", "running"]
    assert counters(db, document) == (1, 2, 0, 0, 0)
    assert_exact(db)


def test_a_claim_tells_what_the_document_is(db, worker):
    _, [document] = submit(db, options=JobOptions(dpi=200, pages="1-2"))
    split(db, worker, [document], pages=1)

    [page] = claim(db, worker, document)

    assert page.document.id == document
    assert page.document.source_key == f"uploads/{document}"
    assert page.document.media_type == "application/pdf"
    assert page.document.name == "0.pdf"
    assert page.document.password is None
    assert page.document.options["dpi"] == 200
    assert page.document.options["pages"] == "1-2"


def test_a_claim_of_several_documents_counts_each(db, worker):
    _, documents = submit(db, 3)
    split(db, worker, documents, pages=2)
    refs = [ref for document in reversed(documents) for ref in page_refs(db, document)]

    claimed = claim_refs(db, worker, refs)

    assert [(page.document.id, page.number) for page in claimed] == [(d, n) for d in documents for n in (1, 2)]
    assert {counters(db, document) for document in documents} == {(0, 2, 0, 0, 0)}


def test_a_message_that_comes_twice_claims_once(db, worker, document):
    refs = page_refs(db, document)
    other = register(db)

    assert len(claim_refs(db, worker, refs)) == 3
    assert claim_refs(db, other, refs) == []
    assert claim_refs(db, worker, refs) == []
    assert counters(db, document) == (0, 3, 0, 0, 0)


def test_a_message_that_names_a_page_twice_claims_it_once(db, worker, document):
    claimed = claim_refs(db, worker, page_refs(db, document, [1]) * 3)

    assert [page.number for page in claimed] == [1]
    assert counters(db, document) == (2, 1, 0, 0, 0)


def test_a_message_older_than_the_last_claim_does_nothing(db, worker, document):
    old = page_refs(db, document)
    record(db, back(claim(db, worker, document)))

    assert claim_refs(db, worker, old) == []
    assert states(db, document) == ["pending"] * 3
    assert len(claim(db, worker, document)) == 3


def test_a_message_from_the_future_does_nothing(db, worker, document):
    assert claim_refs(db, worker, [ref._replace(attempt=1) for ref in page_refs(db, document)]) == []


@pytest.mark.parametrize("state", ["draining", "stopped", "dead"])
def test_only_a_living_worker_claims(db, worker, document, state):
    change(db, "UPDATE worker SET state = :state WHERE id = :w", state=state, w=worker)

    assert claim(db, worker, document) == []
    assert states(db, document) == ["pending"] * 3


def test_unknown_workers_documents_and_pages_claim_nothing(db, worker, document):
    assert claim(db, "wrk_nobody", document) == []
    assert claim_refs(db, worker, [PageRef("doc_nothing", 1, 0), PageRef(document, 4, 0)]) == []
    assert len(claim_refs(db, worker, [PageRef("doc_nothing", 1, 0), PageRef(document, 2, 0)])) == 1


def test_empty_lists_do_nothing(db, worker):
    assert claim_refs(db, worker, []) == []
    recorded = record(db, [], assemble_as=worker)
    assert (recorded.counted, recorded.assemblies, recorded.ended) == (0, [], [])


def test_a_page_that_backs_off_is_claimed_when_its_time_has_come(db, worker, document):
    record(db, back(claim(db, worker, document), delay=3600.0))
    assert claim(db, worker, document) == []

    change(db, "UPDATE page SET ready_at = created_at FROM document WHERE document.id = page.document_id")
    assert len(claim(db, worker, document)) == 3


def test_pages_of_a_canceled_document_are_not_claimed(db, worker):
    job, [document] = submit(db)
    split(db, worker, [document])
    refs = page_refs(db, document)
    lifecycle.cancel(db, job)

    assert claim_refs(db, worker, refs) == []
    assert states(db, document) == ["canceled"] * 3


def test_outcomes_move_pages_and_counters(db, worker, document):
    one_, two, three = claim(db, worker, document)

    recorded = record(db, [*good([one_]), *bad([two]), *back([three], error=PROBLEM, errors=1)])

    assert recorded.counted == 3
    assert states(db, document) == ["succeeded", "failed", "pending"]
    assert counters(db, document) == (1, 0, 1, 1, 0)
    assert [tuple(row) for row in rows(db, "SELECT errors, crashes FROM page ORDER BY number")] == [
        (0, 0), (1, 0), (1, 0)
    ]  # fmt: skip
    assert recorded.ended == []


def test_a_page_tried_again_says_why_until_it_succeeds(db, worker, document):
    record(db, back(claim(db, worker, document, [1]), error=PROBLEM, errors=1))
    assert one(db, "SELECT error IS NOT NULL FROM page WHERE number = 1")

    record(db, good(claim(db, worker, document, [1])))
    assert not one(db, "SELECT error IS NOT NULL FROM page WHERE number = 1")
    assert one(db, "SELECT errors FROM page WHERE number = 1") == 1


def test_an_outcome_counts_once(db, worker, document):
    pages = claim(db, worker, document, [1])

    assert record(db, good(pages)).counted == 1
    assert record(db, good(pages)).counted == 0
    assert record(db, bad(pages)).counted == 0
    assert counters(db, document) == (2, 0, 1, 0, 0)


def test_a_group_with_the_same_outcome_twice_counts_it_once(db, worker, document):
    pages = claim(db, worker, document, [1])
    assert record(db, good(pages * 2)).counted == 1
    assert counters(db, document) == (2, 0, 1, 0, 0)


def test_an_outcome_of_an_older_attempt_is_dropped(db, worker, document):
    first = claim(db, worker, document, [1])
    record(db, back(first))
    second = claim(db, worker, document, [1])

    assert record(db, bad(first)).counted == 0
    assert states(db, document)[0] == "running"
    assert record(db, good(second)).counted == 1


def test_an_outcome_of_another_worker_is_dropped(db, worker, document):
    [page] = claim(db, worker, document, [1])
    stranger = claiming.ClaimedPage(page.document, page.number, register(db), page.attempt, 0, 0)

    assert record(db, good([stranger])).counted == 0
    assert states(db, document)[0] == "running"


def test_late_and_good_outcomes_in_one_group_do_not_mix(db, worker, document):
    first = claim(db, worker, document, [1])
    record(db, back(first))
    claim(db, worker, document, [1])
    others = claim(db, worker, document, [2, 3])

    assert record(db, good(first + others)).counted == 2
    assert counters(db, document) == (0, 1, 2, 0, 0)


def test_the_last_page_of_a_small_document_claims_its_assembly(db, worker, document):
    pages = claim(db, worker, document)
    assert record(db, good(pages[:2]), assemble_as=worker).assemblies == []

    recorded = record(db, good(pages[2:]), assemble_as=worker)

    assert [(a.document.id, a.worker, a.attempt) for a in recorded.assemblies] == [(document, worker, 2)]
    assert recorded.ended == []
    assert finish(db, recorded.assemblies) == [document]


def test_without_somebody_to_assemble_the_ended_document_is_named(db, worker, document):
    recorded = record(db, good(claim(db, worker, document)))
    assert recorded.assemblies == []
    assert [ref.document for ref in recorded.ended] == [document]


@pytest.mark.parametrize("state", ["draining", "dead"])
def test_a_worker_that_is_not_alive_records_and_leaves_assembling_to_others(db, worker, document, state):
    pages = claim(db, worker, document)
    change(db, "UPDATE worker SET state = :state WHERE id = :w", state=state, w=worker)

    recorded = record(db, good(pages), assemble_as=worker)

    assert recorded.counted == 3
    assert recorded.assemblies == []
    assert [ref.document for ref in recorded.ended] == [document]


def test_a_large_document_is_left_to_a_task_of_its_own(db, worker):
    _, [small] = submit(db)
    _, [large] = submit(db)
    split(db, worker, [small], pages=SMALL)
    split(db, worker, [large], pages=SMALL + 1)
    pages = claim(db, worker, small) + claim(db, worker, large)

    recorded = record(db, good(pages), assemble_as=worker)

    assert [a.document.id for a in recorded.assemblies] == [small]
    assert [ref.document for ref in recorded.ended] == [large]


def test_a_page_handed_back_is_not_the_last(db, worker, document):
    pages = claim(db, worker, document)
    recorded = record(db, good(pages[:2]) + back(pages[2:]), assemble_as=worker)
    assert (recorded.assemblies, recorded.ended) == ([], [])


def test_limits_count_errors_and_crashes_and_never_attempts(db, worker, document):
    for _ in range(5):
        record(db, back(claim(db, worker, document, [1])))
    [page] = claim(db, worker, document, [1])
    assert (page.attempt, page.errors, page.crashes) == (6, 0, 0)


def test_a_canceled_page_is_let_go_by_its_late_outcome(db, worker):
    job, [document] = submit(db)
    split(db, worker, [document], pages=2)
    pages = claim(db, worker, document, [1])
    lifecycle.cancel(db, job)
    assert one(db, "SELECT worker FROM page WHERE number = 1") == worker

    assert record(db, good(pages)).counted == 0

    assert one(db, "SELECT worker FROM page WHERE number = 1") is None
    assert states(db, document) == ["canceled", "canceled"]
    assert counters(db, document) == (0, 0, 0, 0, 2)


def test_held_claims_are_told_and_handed_back_uncounted(db, worker, document):
    [page] = claim(db, worker, document, [2])
    hold = (document, 2, page.attempt)
    with db.read() as session:
        assert workers.held_by(session, worker) == {hold}
        assert workers.held_by(session, "wrk_nobody") == set()

    with db.write() as session:
        workers.release_held(session, worker, [hold])

    assert states(db, document) == ["pending"] * 3
    assert tuple(rows(db, "SELECT errors, crashes FROM page WHERE number = 2")[0]) == (0, 0)
    assert record(db, good([page])).counted == 0


def test_handing_back_what_is_not_held_does_nothing(db, worker, document):
    [page] = claim(db, worker, document, [2])
    with db.write() as session:
        workers.release_held(session, worker, [])
        workers.release_held(session, "wrk_other", [(document, 2, page.attempt)])
        workers.release_held(session, worker, [(document, 2, page.attempt + 1), ("doc_nothing", 1, 1)])
    assert states(db, document)[1] == "running"


def test_a_record_of_unknown_pages_counts_nothing(db, worker, document):
    [page] = claim(db, worker, document, [1])
    unknown = claiming.ClaimedPage(page.document, 99, worker, 1, 0, 0)
    assert record(db, [Outcome(unknown, "succeeded")]).counted == 0


def test_count_ended_of_nothing_is_nothing(db):
    with db.write() as session:
        assert recording.count_ended(session, []) == []
