"""Rules 6 and 7: heartbeats, takeover, rescue, and the counting of crashes."""

from __future__ import annotations

import time

import pytest

from jobs import dispatch, lifecycle
from jobs.dispatch import RescueRules
from jobs.ids import new_worker_id
from jobs.poison import ALONE, GROUPED, Company, last_crash
from jobs.queue import Doorbell, make_app
from jobs.settings import BrokerSettings, LimitSettings, TimerSettings
from jobs.store import claiming, leases, reading, workers
from jobs.store.workers import Registration
from tests.processes import wait_until
from tests.protocol import (
    age_heartbeat,
    back,
    change,
    claim,
    claim_refs,
    claim_splits,
    good,
    job_of,
    one,
    page_refs,
    read,
    record,
    register,
    rows,
    split,
    states,
    submit,
)
from workers.hands import Hands
from workers.incarnation import Incarnation
from workers.tick import Tick, _Every, rescue_rules

RULES = RescueRules(stale=30.0, ring_expires=60.0, settled=5.0, max_crashes=3)


class Process:
    """What a worker process has of rule 6: an incarnation, its hands, and what it was told."""

    def __init__(self, db, slot="slot"):
        self.hands = Hands()
        self.canceled, self.taken, self.replaced = [], [], []
        self.incarnation = Incarnation(
            db, Registration(new_worker_id(), "host", slot, 1, "echo", 8), self.hands, every=3600.0,
            on_canceled=self.canceled.append, on_taken=self.taken.append,
            on_replaced=lambda: self.replaced.append(self.incarnation.id),
            on_drain=lambda: None,
        )  # fmt: skip
        self.incarnation.register()

    @property
    def id(self):
        return self.incarnation.id

    def beat(self):
        self.incarnation.beat()


@pytest.fixture
def process(db):
    return Process(db)


@pytest.fixture
def document(db, process):
    _, [document] = submit(db)
    split(db, process.id, [document], pages=3)
    return document


# --- rule 6: heartbeats


def test_a_heartbeat_keeps_the_incarnation(db, process):
    before = process.id
    age_heartbeat(db, before)
    process.beat()
    assert dispatch.judge(db, RULES) == []
    assert (process.id, process.replaced) == (before, [])


def test_a_heartbeat_that_finds_no_row_drops_everything_and_begins_anew(db, process, document):
    """Frozen for longer than the stale time: judged, its pages taken; then it wakes up."""
    old = process.id
    pages = claim(db, old, document)
    process.hands.take(pages)
    age_heartbeat(db, old)
    assert dispatch.judge(db, RULES) == [old]
    dispatch.take_back(db, RULES)

    process.beat()

    assert process.replaced == [old]
    assert process.id != old
    assert {r[0]: r[1] for r in rows(db, "SELECT id, state FROM worker")} == {old: "dead", process.id: "alive"}
    assert claim_refs(db, old, page_refs(db, document)) == []
    assert record(db, good(pages)).counted == 0
    assert len(claim(db, process.id, document)) == 3


def test_a_beginning_that_fails_is_tried_again_by_the_next_heartbeat(db, process):
    """The new row could not be entered (database away): the next heartbeat finds no row again."""
    old = process.id
    change(db, "UPDATE worker SET state = 'dead'")
    process.beat()
    change(db, "DELETE FROM worker WHERE id <> :old", old=old)
    process.beat()
    assert one(db, "SELECT id FROM worker WHERE state = 'alive'") == process.id
    assert len(process.replaced) == 2


def test_the_heartbeats_answer_tells_of_cancels(db, process, document):
    process.hands.take(claim(db, process.id, document, [1]))
    process.beat()
    assert process.canceled == []
    lifecycle.cancel(db, one(db, "SELECT job_id FROM document"))
    process.beat()
    assert process.canceled == [{document}]


def test_a_claim_whose_answer_was_lost_is_handed_back_by_the_second_heartbeat(db, process, document):
    """Committed, and the connection broke before we knew: held by a living worker that does not know it."""
    lost = claim(db, process.id, document, [1, 2])
    known = claim(db, process.id, document, [3])
    process.hands.take(known)

    process.beat()
    assert states(db, document) == ["running"] * 3  # it may still be on its way into our hands
    process.beat()

    assert states(db, document) == ["pending", "pending", "running"]
    assert [r[0] for r in rows(db, "SELECT crashes FROM page ORDER BY number")] == [0, 0, 0]
    assert record(db, good(lost)).counted == 0
    assert record(db, good(known)).counted == 1


def test_a_claim_that_came_into_our_hands_late_is_kept(db, process, document):
    pages = claim(db, process.id, document)
    process.beat()
    process.hands.take(pages)
    process.beat()
    process.beat()
    assert states(db, document) == ["running"] * 3


def test_a_lost_claim_of_a_document_is_handed_back_too(db, process):
    _, [document] = submit(db)
    [claimed] = claim_splits(db, process.id, [document])
    process.beat()
    process.beat()
    assert one(db, "SELECT worker FROM document") is None
    [again] = claim_splits(db, process.id, [document])
    assert again.attempt == claimed.attempt + 1


# --- rule 6: takeover and rescue


def test_a_new_incarnation_in_the_same_slot_takes_over_at_once(db):
    """Without waiting for the stale time: entering the row is the judgement."""
    killed = register(db, "cpu-0")
    neighbour = register(db, "cpu-1")
    _, [document] = submit(db)
    split(db, killed, [document], pages=2)
    claim(db, killed, document, [1])
    claim(db, neighbour, document, [2])

    successor = register(db, "cpu-0")
    assert dispatch.take_back(db, RULES) == 1

    assert states(db, document) == ["pending", "running"]
    assert [(p.number, p.attempt, p.crashes) for p in claim(db, successor, document)] == [(1, 2, 1)]


def timers(**values):
    given = {"rescue_every": 0.0, "tick_every": 0.01, "heartbeat_stale": 1.0, "ring_expires": 60.0, "fold_every": 0.0}
    return TimerSettings(**(given | values))


@pytest.fixture
def bell(broker_url):
    app = make_app(BrokerSettings(broker_url=broker_url))
    yield Doorbell(app)
    app.close()


@pytest.fixture
def tick_of(db, blobs, bell):
    made = []

    def make(holder, **values):
        chosen = timers(**values)
        made.append(Tick(db, blobs, bell, chosen, rescue_rules(chosen, 3), lambda: holder, LimitSettings()))
        return made[-1]

    yield make
    for tick in made:
        tick.stop()


def test_rescue_takes_back_on_every_tick_also_from_who_died_long_ago(db, tick_of):
    """Judged by one tick that died before it took anything back; and a claim that a dead worker's row still holds."""
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    tick = tick_of(register(db))
    for number in (1, 2):
        change(db, "UPDATE worker SET state = 'alive' WHERE id = :w", w=worker)
        claim(db, worker, document, [number])
        change(db, "UPDATE worker SET state = 'dead', heartbeat_at = started_at WHERE id = :w", w=worker)
        tick.round()
        assert states(db, document) == ["pending", "pending"]


def test_a_tick_judges_nobody_before_it_has_reached_the_database_for_a_stale_interval(db, tick_of):
    """After an outage of the database everybody's heartbeat is old: nobody may be judged by that."""
    worker = register(db)
    age_heartbeat(db, worker)
    started = time.monotonic()
    tick = tick_of(register(db))
    tick.round()
    assert one(db, "SELECT state FROM worker WHERE id = :w", w=worker) == "alive"

    wait_until(lambda: tick.round() or is_dead(db, worker), "the silent worker to be judged")

    assert time.monotonic() - started >= 1.0


def test_a_tick_that_waited_for_the_database_judges_nobody_by_old_news(db, tick_of, monkeypatch):
    """The database hangs inside the round itself, while the lease is renewed: the others' heartbeats hung as well."""
    worker = register(db)
    tick = tick_of(register(db))
    beginning = time.monotonic()
    while time.monotonic() - beginning < 1.2:
        with db.write() as session:
            assert workers.heartbeat(session, worker)
        tick.round()
    age_heartbeat(db, worker)
    take_lease = leases.take_lease

    def slow(*values):
        time.sleep(0.7)
        return take_lease(*values)

    monkeypatch.setattr(leases, "take_lease", slow)
    monkeypatch.setattr(tick, "_held", False)
    tick.round()
    assert not is_dead(db, worker)


def test_a_tick_that_was_frozen_itself_judges_nobody_by_old_news(db, tick_of):
    worker = register(db)
    age_heartbeat(db, worker)
    tick = tick_of(register(db))
    for _ in range(3):
        tick.round()
        time.sleep(0.6)  # more than half the stale interval: as if stopped and continued
    tick.round()
    assert not is_dead(db, worker)


def test_totals_of_small_jobs_do_not_wait_while_those_of_large_ones_rest(db, tick_of, monkeypatch):
    """One owner's 100,000 documents made everybody's totals up to 15 s old, and their limits let through more."""
    monkeypatch.setattr(dispatch, "FOLDED_ALWAYS", 2)
    worker = register(db)
    (large, first), (small, second) = submit(db, 3), submit(db, 2)
    split(db, worker, first + second, pages=1)
    tick = tick_of(register(db))
    tick.round()
    assert [job_of(db, job).pages.total for job in (large, small)] == [3, 2]

    tick._fold.rest, tick._fold_large.rest = 0.0, 3600.0  # the documents of the large one took long to add up
    for document in (first[0], second[0]):
        read(db, worker, document)
    tick.round()
    assert [job_of(db, job).pages.succeeded for job in (large, small)] == [0, 1]
    tick._fold_large.rest = 0.0
    tick.round()
    assert [job_of(db, job).pages.succeeded for job in (large, small)] == [1, 1]


def test_a_round_that_finds_ever_more_to_ring_ends_when_something_else_is_due(db, tick_of, monkeypatch):
    """Once a page had ended it went on as long as each dispatch rang something: nobody renewed the lease meanwhile."""
    tick = tick_of(register(db))
    tick.round()
    clockwork = [every for every in vars(tick).values() if isinstance(every, _Every)]
    for due in clockwork:
        for other in clockwork:
            other.seconds, other.rest = 3600.0, 0.0
        dispatched = []

        def ring(*_, due=due, dispatched=dispatched):
            dispatched.append(1)
            tick.wake_soon()
            if len(dispatched) == 3:
                due.last = float("-inf")  # its time has come
            return len(dispatched) < 20

        monkeypatch.setattr(dispatch, "dispatch", ring)
        assert (tick.round(), len(dispatched)) == (3, 3)
        tick.round()
        assert due.last > float("-inf"), "the next round does it"


def is_dead(db, worker):
    return one(db, "SELECT state FROM worker WHERE id = :w", w=worker) == "dead"


def test_one_tick_acts_and_another_takes_its_place(db, tick_of):
    first, second = register(db), register(db)
    dead = register(db)
    _, [document] = submit(db)
    split(db, dead, [document], pages=1)
    acting, waiting = tick_of(first), tick_of(second)
    acting.round()

    claim(db, dead, document)
    change(db, "UPDATE worker SET state = 'dead' WHERE id = :w", w=dead)
    waiting.round()
    assert states(db, document) == ["running"]

    change(db, "DELETE FROM lease")  # given back, or run out
    waiting.round()
    assert states(db, document) == ["pending"]


def test_two_ticks_that_both_believe_to_act_do_no_harm(db, tick_of):
    first, second = register(db), register(db)
    dead = register(db)
    _, [document] = submit(db)
    split(db, dead, [document], pages=2)
    claim(db, dead, document)
    change(db, "UPDATE worker SET state = 'dead' WHERE id = :w", w=dead)

    tick_of(first).round()
    change(db, "DELETE FROM lease")
    tick_of(second).round()

    assert [tuple(r) for r in rows(db, "SELECT state, crashes FROM page")] == [("pending", 1)] * 2


# --- rule 7


def die_over(db, document, numbers=None):
    """A worker claims these pages, is killed, and its successor takes over."""
    worker = register(db, "cpu-0")
    pages = [page for company in Company for page in claim(db, worker, document, numbers, company)]
    assert pages
    register(db, "cpu-0")
    dispatch.take_back(db, RULES)
    return pages


def test_a_page_whose_worker_died_three_times_alone_with_it_fails_and_its_neighbours_do_not(db):
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=3)
    record(db, good(claim(db, worker, document, [3])))

    for crashes in range(1, last_crash(3)):
        die_over(db, document, [1])
        [row] = rows(db, "SELECT state, crashes FROM page WHERE number = 1")
        assert tuple(row) == ("pending", crashes)
    die_over(db, document, [1])

    assert states(db, document) == ["failed", "pending", "succeeded"]
    with db.read() as session:
        page = reading.get_page(session, document, 1)
    assert (page.error.code, page.error.limit, page.crashes) == ("page_crashed", 3, last_crash(3))


def test_a_document_whose_last_page_crashed_for_good_is_assembled(db):
    _, [document] = submit(db)
    split(db, register(db), [document], pages=1)
    for _ in range(last_crash(3)):
        die_over(db, document)
    assert states(db, document) == ["failed"]
    choice = dispatch.choose(db)
    assert [ref.document for ref in choice.assemblies] == [document]


def test_suspects_travel_in_groups_and_then_alone(db):
    """So that they take no neighbours with them, whatever message they are in. A group: an eighth of the capacity."""
    worker = register(db, capacity=32)
    _, [document] = submit(db)
    split(db, worker, [document], pages=14)
    record(db, back(claim(db, worker, document, [2, 5, 8, 9, 11]), crashes=GROUPED))
    record(db, back(claim(db, worker, document, [7]), crashes=GROUPED - 1))
    record(db, back(claim(db, worker, document, [12]), crashes=ALONE))
    record(db, back(claim(db, worker, document, [13]), crashes=ALONE + 1))

    messages = dispatch.choose(db).pages["echo"]

    assert [[ref.number for ref in message] for message in messages] == [
        [1, 3, 4, 6, 7, 10, 14], [2, 5, 8, 9], [11], [12], [13],
    ]  # fmt: skip


def test_suspects_are_claimed_apart_from_all_others(db):
    """A message from before may still name them with their neighbours: only who asks for suspects gets them."""
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=4)
    record(db, back(claim(db, worker, document, [2]), crashes=GROUPED))
    record(db, back(claim(db, worker, document, [3]), crashes=ALONE))
    refs = page_refs(db, document)

    assert [page.number for page in claim_refs(db, worker, refs)] == [1, 4]
    with db.read() as session:
        suspects = claiming.suspects_among(session, refs)
    [second, third] = page_refs(db, document, [2, 3])
    assert suspects == [(second, GROUPED), (third, ALONE)]
    assert [page.number for page in claim_refs(db, worker, refs, Company.GROUP)] == [2]
    assert [page.number for page in claim_refs(db, worker, refs, Company.NONE)] == [3]
    with db.read() as session:
        assert claiming.suspects_among(session, refs) == []
        assert claiming.suspects_among(session, []) == []


def test_deaths_of_the_engine_are_crashes_too(db):
    """The engine died and the worker lived long enough to hand its pages back with a crash each."""
    worker = register(db)
    _, [document] = submit(db)
    split(db, worker, [document], pages=2)
    for _ in range(last_crash(3) - 1):
        [page] = [page for company in Company for page in claim(db, worker, document, [1], company)]
        record(db, back([page], crashes=1))
    die_over(db, document, [1])
    assert states(db, document) == ["failed", "pending"]


def test_a_document_whose_splitters_died_three_times_fails_alone(db):
    job, documents = submit(db, 2)
    for _ in range(3):
        worker = register(db, "cpu-0")
        claim_splits(db, worker, documents[:1])
        register(db, "cpu-0")
        dispatch.take_back(db, RULES)
    with db.read() as session:
        first, second = reading.list_documents(session, job, limit=9)
    assert (first.state, first.error.code) == ("failed", "page_crashed")
    assert second.state == "queued"
