"""Splitting, assembling and ending documents."""

from __future__ import annotations

import pytest

from jobs import lifecycle
from jobs.errors import CorruptFile
from jobs.ids import new_job_id
from jobs.lifecycle import NewDocument
from jobs.models import PageState, State
from jobs.options import JobOptions
from jobs.store import assembling, claiming, reading, submitting
from jobs.store.claiming import DocumentRef
from jobs.store.submitting import PIECE, Split
from tests.ledger import assert_exact
from tests.protocol import (
    PROBLEM,
    bad,
    change,
    claim,
    claim_assemblies,
    claim_splits,
    document_refs,
    finish,
    good,
    job_of,
    one,
    read,
    record,
    register,
    rows,
    split,
    states,
    submit,
    take_back,
    through,
)


@pytest.fixture
def worker(db):
    return register(db)


def state(db, document):
    return one(db, "SELECT state FROM document WHERE id = :d", d=document)


# --- splitting


def test_claiming_a_split_starts_document_and_job(db, worker):
    job, documents = submit(db, 3)

    claims = claim_splits(db, worker, documents[:2])

    assert [(c.document.id, c.worker, c.attempt) for c in claims] == [(d, worker, 1) for d in documents[:2]]
    assert [state(db, d) for d in documents] == ["running", "running", "queued"]
    assert job_of(db, job).state is State.RUNNING
    assert job_of(db, job).started_at is not None


@pytest.mark.parametrize("attempt", [-1, 1])
def test_split_messages_with_another_attempt_do_nothing(db, worker, attempt):
    _, [document] = submit(db)
    with db.write() as session:
        assert claiming.claim_splits(session, worker, [DocumentRef(document, attempt)]) == []
    assert state(db, document) == "queued"


def test_doubled_split_messages_claim_once(db, worker):
    _, [document] = submit(db)
    refs = document_refs(db, [document])
    for expected in (1, 0):
        with db.write() as session:
            assert len(claiming.claim_splits(session, worker, refs)) == expected
    with db.write() as session:
        assert claiming.claim_splits(session, worker, document_refs(db, [document])) == []


def test_nothing_is_split_without_a_living_worker_or_documents(db, worker):
    _, [document] = submit(db)
    assert claim_splits(db, "wrk_nobody", [document]) == []
    with db.write() as session:
        assert claiming.claim_splits(session, worker, []) == []
        assert claiming.claim_assemblies(session, worker, []) == []
        assert claiming.claim_splits(session, worker, [DocumentRef("doc_nothing", 0)]) == []
    change(db, "UPDATE worker SET state = 'dead'")
    assert claim_splits(db, worker, [document]) == []


def test_a_split_handed_back_waits_its_time(db, worker):
    _, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    with db.write() as session:
        assert claiming.release_document(session, claimed, errors=1, delay=3600.0)
    assert claim_splits(db, worker, [document]) == []

    change(db, "UPDATE document SET ready_at = created_at")
    [again] = claim_splits(db, worker, [document])
    assert (again.attempt, again.errors) == (2, 1)
    with db.write() as session:
        assert not claiming.release_document(session, claimed)
    assert claim_splits(db, worker, [document]) == []


def test_pages_are_inserted_and_the_document_sealed(db, worker):
    _, documents = submit(db, 2)
    first, second = claim_splits(db, worker, documents)
    found = [Split(first.document.id, 1, 9, [2, 4]), Split(second.document.id, 1, 1, [1])]

    with db.write() as session:
        assert submitting.insert_and_seal(session, worker, found) == documents

    assert states(db, documents[0]) == ["pending", "pending"]
    [row] = rows(db, "SELECT sealed, source_pages, worker, total FROM document WHERE id = :d", d=documents[0])
    assert tuple(row) == (True, 9, None, 2)


def test_a_split_of_somebody_else_inserts_nothing(db, worker):
    _, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    for holder, attempt in ((register(db), claimed.attempt), (worker, claimed.attempt + 1)):
        with db.write() as session:
            assert submitting.insert_and_seal(session, holder, [Split(document, attempt, 1, [1])]) == []
            assert not submitting.insert_pages(session, document, holder, attempt, [1])
            assert not submitting.seal(session, document, holder, attempt, 1)
    assert states(db, document) == []


def test_a_second_split_leaves_the_pages_of_the_first_alone(db, worker):
    """A splitter dies half-way through a large document, whose first pages have been read meanwhile."""
    _, [document] = submit(db)
    [first] = claim_splits(db, worker, [document])
    with db.write() as session:
        assert submitting.insert_pages(session, document, worker, first.attempt, [1, 2])
    record(db, good(claim(db, worker, document, [1])))
    with db.write() as session:
        claiming.release_document(session, first)

    [second] = claim_splits(db, worker, [document])
    with db.write() as session:
        assert submitting.insert_pages(session, document, worker, second.attempt, [1, 2])
        assert submitting.insert_pages(session, document, worker, second.attempt, [3])
        assert submitting.seal(session, document, worker, second.attempt, 3)
    assert states(db, document) == ["succeeded", "pending", "pending"]


def test_a_small_split_also_leaves_existing_pages_alone(db, worker):
    _, [document] = submit(db)
    [first] = claim_splits(db, worker, [document])
    with db.write() as session:
        assert submitting.insert_pages(session, document, worker, first.attempt, [1])
        assert submitting.insert_and_seal(session, worker, [Split(document, first.attempt, 2, [1, 2])]) == [document]
    assert states(db, document) == ["pending", "pending"]
    with db.write() as session:
        assert submitting.insert_and_seal(session, worker, []) == []


def test_a_sealed_document_is_not_split_again(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document])
    assert claim_splits(db, worker, [document]) == []


def test_a_split_that_fails_ends_the_document_alone(db, worker):
    job, documents = submit(db, 2)
    first, _ = claim_splits(db, worker, documents)

    assert finish(db, [first], State.FAILED) == [documents[0]]

    assert [state(db, d) for d in documents] == ["failed", "running"]
    with db.read() as session:
        assert reading.get_document(session, job, documents[0]).error.code == "engine_error"
        assert reading.result_attempt(session, documents[0]) is None


def test_a_split_that_fails_at_its_second_try_ends_the_pages_of_the_first_too(db, worker):
    """The first splitter inserted two pieces and died; then the source was gone. Nobody would run those pages."""
    _, [document] = submit(db)
    [first] = claim_splits(db, worker, [document])
    with db.write() as session:
        submitting.insert_pages(session, document, worker, first.attempt, [1, 2, 3])
    [running, done] = claim(db, worker, document, [1, 2])
    record(db, good([done]))
    with db.write() as session:
        claiming.release_document(session, first)
    claims = claim_splits(db, worker, [document])

    finish(db, claims, State.FAILED)

    assert states(db, document) == ["failed", "succeeded", "failed"]
    assert_exact(db)
    assert record(db, good([running])).counted == 0


def test_a_document_whose_splitters_all_died_takes_its_pages_along(db):
    _, [document] = submit(db)
    worker = register(db, "slot")
    [first] = claim_splits(db, worker, [document])
    with db.write() as session:
        submitting.insert_pages(session, document, worker, first.attempt, [1, 2])
    for _ in range(3):
        worker = register(db, "slot")
        take_back(db)
        claim_splits(db, worker, [document])
    assert state(db, document) == "failed"
    assert states(db, document) == ["failed", "failed"]
    with db.read() as session:
        assert {page.error.code for page in reading.list_pages(session, document, limit=10)} == {"page_crashed"}


# --- assembling


def test_assembling_is_claimed_once_and_only_when_nothing_is_left_to_run(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    assert claim_assemblies(db, worker, [document]) == []
    pages = claim(db, worker, document)
    assert claim_assemblies(db, worker, [document]) == []
    record(db, good(pages))

    assert [c.document.id for c in claim_assemblies(db, worker, [document])] == [document]
    assert claim_assemblies(db, register(db), [document]) == []


def test_an_unsealed_document_is_never_assembled(db, worker):
    """All pages inserted so far are done, and more are to come."""
    _, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    with db.write() as session:
        submitting.insert_pages(session, document, worker, claimed.attempt, [1])
    with db.write() as session:
        claiming.release_document(session, claimed)
    recorded = record(db, good(claim(db, worker, document)), assemble_as=worker)
    assert (recorded.assemblies, recorded.ended) == ([], [])
    assert claim_assemblies(db, worker, [document]) == []

    [again] = claim_splits(db, worker, [document])
    with db.write() as session:
        submitting.seal(session, document, worker, again.attempt, 1)
    assert len(claim_assemblies(db, worker, [document])) == 1


def test_a_document_without_pages_can_be_assembled(db, worker):
    _, [document] = submit(db)
    [claimed] = claim_splits(db, worker, [document])
    with db.write() as session:
        assert submitting.insert_and_seal(session, worker, [Split(document, claimed.attempt, 0, [])]) == [document]
    claims = claim_assemblies(db, worker, [document])
    assert finish(db, claims) == [document]


def test_an_assembly_handed_back_is_claimed_again_under_another_attempt(db, worker):
    _, [document] = submit(db)
    split(db, worker, [document])
    [first] = read(db, worker, document)
    with db.write() as session:
        assert claiming.release_document(session, first)
    [second] = claim_assemblies(db, worker, [document])

    assert second.attempt == first.attempt + 1
    assert finish(db, [first]) == []
    assert finish(db, [second]) == [document]
    with db.read() as session:
        assert reading.result_attempt(session, document) == second.attempt


def test_an_end_counts_once_and_only_for_its_claim(db, worker):
    _, documents = submit(db, 2)
    split(db, worker, documents, pages=1)
    claims = [c for d in documents for c in read(db, worker, d)]

    assert finish(db, claims) == documents
    assert finish(db, claims) == []
    assert finish(db, []) == []


def test_what_assembling_needs_is_read_at_once(db, worker):
    job, [document, other] = submit(db, 2, options=JobOptions(dpi=99))
    split(db, worker, [document, other])
    record(db, good(claim(db, worker, document, [1])) + bad(claim(db, worker, document, [2])))

    with db.read() as session:
        found = {a.id: a for a in assembling.assemblies(session, [document, other, "doc_nothing"])}
        assert assembling.assemblies(session, []) == []

    assert set(found) == {document, other}
    assembly = found[document]
    assert [(p.number, p.state, p.attempt) for p in assembly.pages] == [
        (1, PageState.SUCCEEDED, 1), (2, PageState.FAILED, 1)
    ]  # fmt: skip
    assert assembly.pages[1].error == PROBLEM
    assert (assembly.succeeded, assembly.failed, assembly.canceled) == (1, 1, 0)
    assert (assembly.job_id, assembly.source_pages, assembly.engine) == (job, 3, "echo")
    assert assembly.options["dpi"] == 99
    assert assembly.created_at.endswith("Z")
    assert found[other].pages == []


# --- submitting


def test_a_document_born_with_an_error_fails_alone(db, worker):
    job = new_job_id()
    good_one = NewDocument("doc_a", "a.pdf", "k", "application/pdf", 1, "0")
    broken = NewDocument("doc_b", "b.pdf", "k2", "application/pdf", 1, "0", CorruptFile("no trailer"))

    public = lifecycle.submit(
        db, job_id=job, options=JobOptions(), engine="echo", documents=[good_one, broken], vault=None
    )

    assert (public.documents.total, public.documents.failed, public.documents.unfinished) == (2, 1, 1)
    with db.read() as session:
        documents = reading.list_documents(session, job, limit=10)
        assert [d.state for d in documents] == [State.QUEUED, State.FAILED]
        assert documents[1].error.code == "corrupt_file"
    through(db, worker, "doc_a")


def test_more_documents_than_one_insert_takes(db):
    job, _ = submit(db, PIECE + 1)
    assert one(db, "SELECT count(*) FROM document WHERE job_id = :j", j=job) == PIECE + 1
    assert job_of(db, job).documents.unfinished == PIECE + 1
