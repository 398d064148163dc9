"""Eight processes at once do everything at random. The books stay right, and nothing happens that may not."""

from __future__ import annotations

import multiprocessing
from collections import Counter

import pytest

from jobs.blobs import manifest_key
from jobs.blobs.local import LocalStore
from jobs.store import claiming, submitting
from jobs.store.submitting import PIECE
from tests.ledger import assert_allowed, assert_exact, moves, watch
from tests.protocol import claim, claim_splits, one, page_refs, register, rows, split, states, submit
from tests.writers import WEIGHTS, Plan, Writer, run, run_down

PROCESSES = 8
STEPS = 120


def at_once(plans):
    """Run the plans in a process each; what they counted, and every error they met."""
    context = multiprocessing.get_context("spawn")
    start, report = context.Barrier(len(plans)), context.Queue()
    processes = [context.Process(target=run, args=(plan, start, report)) for plan in plans]
    for process in processes:
        process.start()
    try:
        results = [report.get(timeout=150) for _ in processes]
        for process in processes:
            process.join(30)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
        report.close()
        report.join_thread()
    return sum((counts for counts, _ in results), Counter()), [line for _, errors in results for line in errors]


@pytest.mark.timeout(300)
def test_eight_processes_keep_the_books_right(db, store_url, tmp_path):
    watch(db)
    for documents in (1, 3, 8):
        submit(db, documents)
    plans = [Plan(seed, STEPS, store_url, tmp_path / "objects") for seed in range(PROCESSES)]

    counts, errors = at_once(plans)

    assert errors == []
    assert sum(counts.values()) == PROCESSES * STEPS
    assert set(counts) >= set(WEIGHTS)  # every kind of step was taken
    assert_exact(db)
    assert_allowed(db)
    assert len(moves(db, "page")) > 30  # something happened: a slow machine made 91

    writer = Writer(Plan(99, 0, store_url, tmp_path / "objects"))
    for slot in range(PROCESSES):
        register(db, f"slot-{slot}")  # the processes are gone: their successors say so
    run_down(writer)
    writer.db.dispose()
    assert_exact(db)
    assert_allowed(db)
    blobs = LocalStore(tmp_path / "objects")
    for job, state, purged in rows(db, "SELECT id, state, purged_at IS NOT NULL FROM job"):
        assert state in ("succeeded", "partial", "failed", "canceled")
        assert (blobs.stat(manifest_key(job)) is None) == bool(purged)


def test_a_large_document_is_read_while_its_last_pages_are_inserted(db):
    """10,000 pages in pieces: between two of them another worker claims from those that are there."""
    splitter, reader = register(db), register(db)
    _, [document] = submit(db)
    [claimed] = claim_splits(db, splitter, [document])
    numbers = list(range(1, 10_001))
    read = []
    for start in range(0, len(numbers), PIECE):
        with db.write() as session:
            piece = numbers[start : start + PIECE]
            assert submitting.insert_pages(session, document, splitter, claimed.attempt, piece)
        read += claim(db, reader, document, [start + 1, start + PIECE])
    with db.write() as session:
        assert submitting.seal(session, document, splitter, claimed.attempt, len(numbers))

    assert [page.number for page in read] == [n for s in range(0, 10_000, PIECE) for n in (s + 1, s + PIECE)]
    assert one(db, "SELECT total FROM document") == 10_000
    assert Counter(states(db, document)) == {"pending": 9_980, "running": 20}


def test_a_piece_being_inserted_does_not_hold_up_the_pages_of_the_piece_before_for_long(pg):
    """The claim waits for the document's row at most as long as one piece takes, never for the whole document."""
    from tests.protocol import beside

    splitter, reader = register(pg), register(pg)
    _, [document, other] = submit(pg, 2)
    [claimed] = claim_splits(pg, splitter, [document])
    split(pg, reader, [other], pages=1)
    with pg.write() as session:
        assert submitting.insert_pages(session, document, splitter, claimed.attempt, [1, 2])
    refs = page_refs(pg, document)
    with pg.write() as session:
        assert submitting.insert_pages(session, document, splitter, claimed.attempt, [3, 4])

        def claim_first():
            with pg.write() as second:
                return claiming.claim_pages(second, reader, refs)

        assert len(claim(pg, reader, other)) == 1  # another document: no waiting at all
        with beside(pg, claim_first) as waits:
            waits.waits()
            session.commit()
            assert [page.number for page in waits.result()] == [1, 2]
