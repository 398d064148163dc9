"""Places for pages: a message that waits for its last page holds one, and not those of the pages that have ended."""

from __future__ import annotations

import threading

import pytest

from workers.turns import Turns

NOW = 0.0
SOON = 30.0
"""Seconds within which another thread does what it is about to do."""


@pytest.fixture
def turns():
    return Turns(pages=8, messages=3)


def test_messages_begin_while_there_are_places(turns):
    assert turns.begin(4, NOW)
    assert turns.begin(4, NOW)
    assert turns.begin(1, NOW) is None
    assert turns.begun == 2


def test_places_come_back_page_by_page(turns):
    first, _ = turns.begin(4, NOW), turns.begin(4, NOW)
    first.give_back(3)
    assert turns.begin(4, NOW) is None, "one place is missing"
    assert turns.begin(3, NOW)
    assert turns.begun == 3, "the first one waits for its last page"


def test_what_is_given_back_twice_counts_once(turns):
    first = turns.begin(4, NOW)
    first.give_back(3)
    first.give_back(3)
    first.end()
    assert turns.begin(8, NOW)
    assert turns.begin(1, NOW) is None


def test_messages_that_all_wait_for_their_last_page_are_bounded(turns):
    for _ in range(3):
        turns.begin(2, NOW).give_back(2)
    assert turns.begin(2, NOW) is None


def test_a_message_with_more_pages_than_places_is_alone(turns):
    small = turns.begin(1, NOW)
    assert turns.begin(9, NOW) is None
    small.end()
    large = turns.begin(9, NOW)
    assert turns.begin(1, NOW) is None
    large.end()
    assert turns.begin(1, NOW)


def test_who_waits_begins_when_there_are_places_and_is_not_overtaken():
    waits = threading.Event()
    turns = Turns(8, 3, lambda full: waits.set() if full else None)
    first = turns.begin(8, NOW)
    begun, order = threading.Semaphore(0), []

    def wait(pages):
        turns.begin(pages, SOON)
        order.append(pages)
        begun.release()

    threads = [threading.Thread(target=wait, args=(6,))]
    threads[0].start()
    assert waits.wait(SOON)
    threads.append(threading.Thread(target=wait, args=(1,)))
    threads[1].start()
    first.give_back(5)  # enough for the small one, which is behind
    assert order == []
    first.give_back(1)
    assert begun.acquire(timeout=SOON)
    assert order == [6]
    first.end()
    for thread in threads:
        thread.join(SOON)
    assert order == [6, 1]


def test_waiting_for_places_is_told():
    told = []
    turns = Turns(8, 3, told.append)
    turns.begin(8, NOW)
    assert told == []
    assert turns.begin(1, NOW) is None
    assert told == [True, False]


def test_who_waits_is_woken_only_when_there_are_enough_places(turns, monkeypatch):
    full, told, woken = turns.begin(8, NOW), threading.Event(), []
    turns._on_full = lambda full: told.set() if full else None
    notify = turns._changed.notify
    monkeypatch.setattr(turns._changed, "notify", lambda: (woken.append(turns._held), notify()))
    waits = threading.Thread(target=turns.begin, args=(4, SOON))
    waits.start()
    assert told.wait(SOON)
    for _ in range(8):
        full.give_back()
    waits.join(SOON)
    assert woken
    assert max(woken) == 4, "woken too early"
