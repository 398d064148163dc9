"""Dispatch and rescue with the real Valkey: how much lies in Redis, and what happens when it forgets or goes away."""

from __future__ import annotations

import base64
import json
import logging
from types import SimpleNamespace

import pytest
from kombu import Exchange, Queue
from sqlalchemy import event

from jobs import deletion, dispatch
from jobs.dispatch import ASSEMBLE_WINDOW, SPLIT_CHUNK, SPLIT_WINDOW, WINDOW, RescueRules, chunk_size
from jobs.queue import BROKER_ERRORS, Doorbell, make_app, page_refs
from jobs.settings import BrokerSettings
from jobs.store import closing, ending, ringing
from jobs.store.claiming import DocumentRef, PageRef
from tests.protocol import (
    change,
    claim,
    claim_refs,
    good,
    one,
    read,
    record,
    register,
    rows,
    split,
    submit,
)
from tests.services import Valkey

RULES = RescueRules(stale=30.0, ring_expires=60.0, settled=5.0, max_crashes=3)
AT_ONCE = RescueRules(stale=30.0, ring_expires=60.0, settled=-1.0, max_crashes=3)
"""As RULES, for tests that do not wait until a ring has settled."""


class Redis:
    """The bell, and what lies behind it."""

    def __init__(self, service):
        self.service = service
        self.app = make_app(BrokerSettings(broker_url=service.url, broker_prefix="t:"))
        self.bell = Doorbell(self.app)

    def messages(self, queue):
        """The arguments of what waits, oldest first."""
        with self.service.client() as client:
            waiting = reversed(client.lrange(f"t:{queue}", 0, -1))
        return [json.loads(base64.b64decode(json.loads(message)["body"]))[1] for message in waiting]

    def pages(self):
        return [page_refs(arguments["pages"]) for arguments in self.messages("recognize.echo")]

    def flush(self):
        self.service.flush()


@pytest.fixture
def redis(valkey):
    valkey.flush()
    found = Redis(valkey)
    yield found
    found.app.close()


@pytest.fixture
def own_valkey():
    """To be killed."""
    with Valkey() as service:
        found = Redis(service)
        yield found
        found.app.close()


def backlog(db, worker, documents, pages):
    _, ids = submit(db, documents)
    split(db, worker, ids, pages=pages)
    return ids


# --- the window


@pytest.mark.parametrize(
    ("capacity", "pages"), [(1, 1), (4, 1), (7, 1), (8, 2), (32, 8), (64, 16), (1000, 16)]
)  # fmt: skip
def test_a_message_carries_a_quarter_of_a_workers_capacity(capacity, pages):
    assert chunk_size(capacity) == pages


def test_redis_holds_twice_the_capacity_whatever_the_backlog(db, redis):
    worker = register(db, capacity=16)
    register(db, capacity=8)
    backlog(db, worker, 3, 200)

    assert dispatch.dispatch(db, redis.bell) == WINDOW * 24
    for _ in range(3):
        assert dispatch.dispatch(db, redis.bell) == 0

    messages = redis.pages()
    assert [len(message) for message in messages] == [4] * 12  # chunks of the largest worker
    assert redis.bell.lengths(["recognize.echo", "split"]) == {"recognize.echo": 12, "split": 0}
    assert len({ref for message in messages for ref in message}) == WINDOW * 24


def test_what_is_claimed_makes_room(db, redis):
    worker = register(db, capacity=4)
    backlog(db, worker, 1, 50)
    dispatch.dispatch(db, redis.bell)
    claimed = claim_refs(db, worker, redis.pages()[0])
    assert len(claimed) == 1
    assert dispatch.dispatch(db, redis.bell) == 1


def test_an_engine_without_a_living_worker_gets_no_messages(db, redis):
    worker = register(db, engine="other")
    backlog(db, worker, 1, 5)
    assert dispatch.dispatch(db, redis.bell) == 0
    change(db, "UPDATE document SET engine = 'other'")
    assert dispatch.dispatch(db, redis.bell) == 5
    assert redis.bell.lengths(["recognize.other"]) == {"recognize.other": 3}


def test_splits_and_assemblies_have_windows_of_their_own(db, redis):
    worker = register(db)
    submit(db, SPLIT_WINDOW + 10)
    _, documents = submit(db, ASSEMBLE_WINDOW + 2)
    split(db, worker, documents, pages=0)

    assert dispatch.dispatch(db, redis.bell) == SPLIT_WINDOW + ASSEMBLE_WINDOW
    assert dispatch.dispatch(db, redis.bell) == 0

    splits = redis.messages("split")
    assert [len(arguments["documents"]) for arguments in splits] == [SPLIT_CHUNK] * (SPLIT_WINDOW // SPLIT_CHUNK)
    assert sum(len(arguments["documents"]) for arguments in redis.messages("assemble")) == ASSEMBLE_WINDOW


def test_three_pages_never_wait_behind_five_thousand(db, redis):
    """A small urgent job that comes after a large one is in the next messages."""
    from jobs.options import JobOptions

    worker = register(db, capacity=8)
    backlog(db, worker, 5, 1000)
    dispatch.dispatch(db, redis.bell)
    _, [urgent] = submit(db, options=JobOptions(priority="interactive"))
    split(db, worker, [urgent], pages=3)
    for message in redis.pages()[:2]:
        claim_refs(db, worker, message)
    redis.flush()

    assert dispatch.dispatch(db, redis.bell) == 4
    assert [ref.document for message in redis.pages() for ref in message][:3] == [urgent] * 3


def test_messages_name_many_documents_and_say_what_they_expect(db, redis):
    worker = register(db, capacity=64)
    ids = backlog(db, worker, 8, 1)
    claim(db, worker, ids[0])
    dispatch.dispatch(db, redis.bell)
    assert redis.pages() == [[PageRef(document, 1, 0) for document in ids[1:]]]


# --- the doorbell


def test_the_bell_sends_what_the_tasks_understand(redis):
    redis.bell.ring_pages("echo", [PageRef("doc_a", 1, 0), PageRef("doc_b", 7, 2), PageRef("doc_a", 2, 1)])
    redis.bell.ring_splits([DocumentRef("doc_a", 0), DocumentRef("doc_b", 3)])
    redis.bell.ring_assemblies([DocumentRef("doc_c", 1)])
    redis.bell.ring_purge("job_a")
    assert redis.messages("recognize.echo") == [{"pages": {"doc_a": [[1, 0], [2, 1]], "doc_b": [[7, 2]]}}]
    assert redis.pages() == [[PageRef("doc_a", 1, 0), PageRef("doc_a", 2, 1), PageRef("doc_b", 7, 2)]]
    assert redis.messages("split") == [{"documents": {"doc_a": 0, "doc_b": 3}}]
    assert redis.messages("assemble") == [{"documents": {"doc_c": 1}}]
    assert redis.messages("deliver") == [{"job": "job_a"}]


@pytest.mark.parametrize("pages", [{"doc_a": [[1]]}, {"doc_a": [["x", 1]]}, {"doc_a": 7}])
def test_a_message_of_another_shape_is_refused(pages):
    with pytest.raises((TypeError, ValueError)):
        page_refs(pages)


# --- Redis forgets


def test_after_flushall_everything_is_rung_again(db, redis):
    """All messages are lost. The queues are empty, so rescue clears the stamps without waiting for their age."""
    worker = register(db, capacity=8)
    backlog(db, worker, 1, 10)
    submit(db, 2)
    _, [ended] = submit(db)
    split(db, worker, [ended], pages=0)
    rung = dispatch.dispatch(db, redis.bell)
    assert rung == 10 + 2 + 1
    redis.flush()
    assert dispatch.dispatch(db, redis.bell) == 0

    assert dispatch.clear_stamps(db, redis.bell, AT_ONCE) == rung
    assert dispatch.dispatch(db, redis.bell) == rung

    assert sum(len(message) for message in redis.pages()) == 10
    assert redis.bell.lengths(["split", "assemble"]) == {"split": 1, "assemble": 1}


def test_messages_after_flushall_are_not_dropped(redis):
    """The nameless exchange needs no binding."""
    redis.bell.ring_purge("job_a")
    redis.flush()
    redis.bell.ring_purge("job_b")
    assert redis.messages("deliver") == [{"job": "job_b"}]


def test_messages_to_a_named_exchange_would_be_dropped(redis):
    """Why: Kombu writes its bindings to Redis once per connection, then sends into nothing and says nothing."""
    exchange = Exchange("named", type="direct")
    queue = Queue("named", exchange=exchange, routing_key="named")
    for expected in (1, 0):
        with redis.app.producer_pool.acquire(block=True) as producer:
            producer.publish({}, exchange=exchange, routing_key="named", declare=[queue])
        assert redis.bell.lengths(["named"]) == {"named": expected}
        redis.flush()


def test_stamps_are_kept_while_messages_wait(db, redis):
    worker = register(db, capacity=4)
    backlog(db, worker, 1, 5)
    submit(db)
    dispatch.dispatch(db, redis.bell)
    assert dispatch.clear_stamps(db, redis.bell, AT_ONCE) == 0


def test_a_young_stamp_survives_an_empty_queue(db, redis):
    """Stamped, committed, and not sent yet: clearing it now would ring the page twice on every tick."""
    worker = register(db, capacity=4)
    backlog(db, worker, 1, 5)
    chosen = dispatch.choose(db)
    assert dispatch.clear_stamps(db, redis.bell, RULES) == 0
    dispatch._send(redis.bell, chosen)
    assert dispatch.dispatch(db, redis.bell) == 0


def test_old_stamps_are_cleared_though_messages_wait(db, redis):
    """One message of many was lost: only its age tells."""
    worker = register(db, capacity=4)
    backlog(db, worker, 1, 3)
    dispatch.dispatch(db, redis.bell)
    change(db, "UPDATE page SET rung_at = :old WHERE number = 2", old="2000-01-01 00:00:00.000")
    assert dispatch.clear_stamps(db, redis.bell, RULES) == 1
    assert dispatch.dispatch(db, redis.bell) == 1
    assert redis.pages()[-1][0].number == 2


def test_two_rounds_of_clearing_at_once_are_one(pg, redis):
    worker = register(pg, capacity=4)
    backlog(pg, worker, 1, 3)
    dispatch.dispatch(pg, redis.bell)
    redis.flush()
    with pg.write() as session:
        assert ringing.dispatch_lock(session)
        assert dispatch.clear_stamps(pg, redis.bell, AT_ONCE) == 0
    assert dispatch.clear_stamps(pg, redis.bell, AT_ONCE) == 3


# --- Redis is away


def stamped(db):
    return one(
        db,
        "SELECT (SELECT count(*) FROM page WHERE rung_at IS NOT NULL)"
        " + (SELECT count(*) FROM document WHERE rung_at IS NOT NULL)",
    )


def test_rings_are_taken_back_while_the_broker_is_away(db, own_valkey, caplog):
    worker = register(db, capacity=4)
    [document] = backlog(db, worker, 1, 5)
    submit(db)
    _, [ended] = submit(db)
    split(db, worker, [ended], pages=0)
    own_valkey.service.kill()
    with caplog.at_level(logging.WARNING):
        assert dispatch.dispatch(db, own_valkey.bell) == 0
    assert "the broker is away" in caplog.text
    assert stamped(db) == 0
    assert dispatch.clear_stamps(db, own_valkey.bell, AT_ONCE) == 0

    own_valkey.service.start()
    assert dispatch.dispatch(db, own_valkey.bell) == 5 + 1 + 1
    assert {ref.document for message in own_valkey.pages() for ref in message} == {document}


def test_a_broker_that_goes_while_messages_are_sent_rings_the_rest_later(db, own_valkey):
    """Some were sent, some not; all stamps are taken back, and doubled messages do nothing."""
    worker = register(db, capacity=4)
    backlog(db, worker, 1, 8)
    chosen = dispatch.choose(db)
    first, *_ = chosen.pages["echo"]
    own_valkey.bell.ring_pages("echo", first)
    own_valkey.service.freeze()
    with pytest.raises(BROKER_ERRORS):
        dispatch._send(own_valkey.bell, chosen)
    dispatch._unring(db, chosen)
    assert stamped(db) == 0
    own_valkey.service.thaw()

    assert dispatch.dispatch(db, own_valkey.bell) == 8
    claimed = [len(claim_refs(db, worker, message)) for message in own_valkey.pages()]
    assert sum(claimed) == 8


def test_purges_are_rung_until_nothing_is_left(db, redis, blobs, own_valkey, caplog):
    worker = register(db)
    job, [document] = submit(db)
    split(db, worker, [document], pages=1)
    pages = claim(db, worker, document)
    deletion.delete(db, blobs, job)
    dispatch.ring_purges(db, redis.bell)
    assert redis.messages("deliver") == [{"job": job}]
    record(db, good(pages))
    assert deletion.purge(db, blobs, job)
    dispatch.ring_purges(db, redis.bell)
    assert len(redis.messages("deliver")) == 1

    other, [document] = submit(db)
    split(db, worker, [document], pages=1)
    read(db, worker, document)
    deletion.delete(db, blobs, other)
    own_valkey.service.kill()
    with caplog.at_level(logging.WARNING):
        dispatch.ring_purges(db, own_valkey.bell)
    assert "the broker is away" in caplog.text


def test_purges_that_fail_for_ever_are_in_no_other_ones_way(db, redis):
    """The oldest were rung round after round, and nobody else."""
    jobs = {submit(db)[0] for _ in range(dispatch.PURGE_BATCH + 2)}
    with db.write() as session:
        for job in jobs:
            ending.mark_deleted(session, job)
    rung = set()
    for _ in range(50):  # misses one of them once in a billion billion runs
        dispatch.ring_purges(db, redis.bell)
        messages = redis.messages("deliver")
        assert len(messages) == dispatch.PURGE_BATCH
        rung |= {message["job"] for message in messages}
        redis.flush()
    assert rung == jobs


# --- the rest of the tick's work


def test_a_fold_is_not_charged_with_the_wait_for_its_transaction(db, monkeypatch):
    """For which it would rest 20 times as long: on SQLite that is the wait for every other writer."""
    happened = []

    def now():
        happened.append("clock")
        return float(len(happened))

    monkeypatch.setattr(closing, "time", SimpleNamespace(monotonic=now))
    event.listen(db.engine, "begin", lambda _: happened.append("begin"))
    assert dispatch.fold_large(db) == 1.0
    assert happened == ["begin", "clock", "clock"]


def test_rescue_takes_back_more_than_one_batch(db, monkeypatch):
    from jobs.store import rescue

    monkeypatch.setattr(rescue, "BATCH", 3)
    worker = register(db)
    ids = backlog(db, worker, 8, 2)
    for document in ids:
        claim(db, worker, document)
    change(db, "UPDATE worker SET state = 'dead'")
    assert dispatch.take_back(db, RULES) == 16
    assert {r[0] for r in rows(db, "SELECT state FROM page")} == {"pending"}


def test_workers_that_ended_long_ago_are_forgotten(db):
    worker = register(db)
    change(db, "UPDATE worker SET state = 'dead', heartbeat_at = :old", old="2000-01-01 00:00:00.000")
    assert worker
    dispatch.forget_workers(db)
    assert rows(db, "SELECT 1 FROM worker") == []
