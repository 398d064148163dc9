"""Whom a death counts for: what one worker held when it died."""

import pytest

from jobs import dispatch
from jobs.dispatch import RescueRules
from jobs.store import workers
from tests.protocol import claim, claim_splits, one, register, split, submit

RULES = RescueRules(stale=30.0, ring_expires=60.0, settled=5.0, max_crashes=3)


def dies(db, worker):
    """Replaced in its slot, and what it held is taken back."""
    with db.write() as session:
        workers.register(session, workers.Registration("wrk_heir", "host", worker, 2, "echo", 8))
    return dispatch.take_back(db, RULES)


@pytest.mark.parametrize("with_page", [True, False], ids=["beside a page", "alone"])
def test_a_document_is_not_blamed_for_a_death_beside_a_page(db, with_page):
    worker = register(db)
    _, [opening] = submit(db)
    _, [read] = submit(db)
    split(db, worker, [read], pages=1)
    if with_page:
        claim(db, worker, read)
    claim_splits(db, worker, [opening])
    assert dies(db, worker) == 1 + with_page
    assert one(db, "SELECT crashes FROM document WHERE id = :d", d=opening) == (0 if with_page else 1)
    assert one(db, "SELECT crashes FROM page WHERE document_id = :d", d=read) == (1 if with_page else 0)
    assert one(db, "SELECT worker FROM document WHERE id = :d", d=opening) is None
