"""What became of a message's pages, in a line."""

from jobs.store.claiming import ClaimedPage, DocumentSource, PageRef
from jobs.store.recording import Outcome
from workers.tally import Tally

DOCUMENT = DocumentSource(f"doc_{'a' * 32}", f"job_{'b' * 32}", "a.pdf", "key", "application/pdf", {}, None)
REFS = [PageRef(DOCUMENT.id, number, 0) for number in range(1, 8)]


def page(number):
    return ClaimedPage(DOCUMENT, number, "wrk_1", 1, 0, 0)


def test_every_page_is_told_once():
    tally = Tally(REFS)
    tally.claim([page(number) for number in range(1, 6)])
    tally.end(Outcome(page(1), "succeeded"))
    tally.end(Outcome(page(2), "failed", {"code": "page_timeout"}))
    tally.end(Outcome(page(3), "failed", {"code": "engine_error"}))
    tally.end(Outcome(page(4), "pending"))
    tally.drop()
    assert str(tally) == (
        f"read 1, failed 2 (engine_error, page_timeout), let go 1, dropped 1, skipped 2: pages 6-7 of {DOCUMENT.id}"
    )
    assert tally.claimed == 5


def test_a_stale_message_is_told_as_one():
    assert str(Tally(REFS[:1])) == f"skipped 1: page 1 of {DOCUMENT.id}"


def test_pages_that_were_claimed_in_two_turns():
    tally = Tally(REFS[:2])
    for number in (1, 2):
        tally.claim([page(number)])
        tally.end(Outcome(page(number), "succeeded"))
    assert (str(tally), tally.claimed) == ("read 2", 2)
