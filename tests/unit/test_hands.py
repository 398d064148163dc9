"""What a worker works on."""

import pytest

from jobs.store.claiming import ClaimedDocument, ClaimedPage, DocumentSource
from workers.hands import Hands


def source(name):
    return DocumentSource(name, "job_1", "x.pdf", "key", "application/pdf", {}, None)


def page(document, number, attempt=1):
    return ClaimedPage(source(document), number, "wrk_1", attempt, errors=0, crashes=0)


def document(name, attempt=1):
    return ClaimedDocument(source(name), "wrk_1", attempt, errors=0, crashes=0)


def test_pages_and_documents_are_told_apart():
    hands = Hands()
    hands.take([page("a", 1), page("a", 2), document("b", 4)])
    assert hands.holds() == {("a", 1, 1), ("a", 2, 1), ("b", 0, 4)}
    assert hands.documents() == ["a", "b"]


def test_an_attempt_is_put_down_without_its_successor():
    hands = Hands()
    hands.take([page("a", 1, attempt=1)])
    hands.take([page("a", 1, attempt=2)])
    hands.put_down([page("a", 1, attempt=1), page("a", 9)])
    assert hands.holds() == {("a", 1, 2)}


def test_documents_are_put_down_even_when_their_stage_fails():
    hands = Hands()
    held = []

    def stage():
        with hands.holding([document("a"), document("b")]):
            held.extend(hands.documents())
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        stage()
    assert held == ["a", "b"]
    assert hands.holds() == set()
