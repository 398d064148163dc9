"""What one API key may use: each limit tells itself, what it counted and when to come again, and harms nobody else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from api.rates import AWAY, Rates
from jobs import admission, dispatch, keys, lifecycle
from jobs.errors import NotFound, QueueFull, QuotaExceeded, RateLimited
from jobs.models import KeyLimits, Scope, State
from jobs.settings import BrokerSettings
from jobs.store import submitting, usage
from jobs.store.submitting import Split
from tests.api_server import PDF, ApiServer, files
from tests.documents import pdf
from tests.mill import mill_fixture
from tests.protocol import change, claim_splits, one, register, rows, split, submit
from tests.services import Valkey

mill = mill_fixture()


def key_with(db, **limits):
    key, _ = keys.create(db, "somebody", [Scope.SUBMIT], KeyLimits(**limits))
    return key.id


# --- backlog


def test_a_backlog_counts_pages_and_documents_that_are_not_split(db):
    owner, other, worker = key_with(db), key_with(db), register(db)
    _, [document] = submit(db, owner=owner)
    submit(db, 3, owner=owner)
    submit(db, 9, owner=other)
    with db.read() as session:
        assert usage.backlog(session, owner) == 4
    split(db, worker, [document], 10)
    dispatch.fold(db)
    with db.read() as session:
        assert usage.backlog(session, owner) == 13
        assert usage.backlog(session, "nobody") == 0


def test_a_full_backlog_is_told_with_its_numbers(db):
    owner = key_with(db)
    submit(db, 5, owner=owner)
    admission.check(db, owner, KeyLimits(backlog_pages=6))
    with pytest.raises(QueueFull) as refused:
        admission.check(db, owner, KeyLimits(backlog_pages=5))
    assert (refused.value.limit, refused.value.actual, refused.value.retry_after) == (5, 5, admission.BACKLOG_RETRY)
    admission.check(db, key_with(db), KeyLimits(backlog_pages=5))


# --- pages of the day


def charged(db, worker, documents, pages, default=None):
    claims = claim_splits(db, worker, documents)
    splits = [Split(c.document.id, c.attempt, pages, range(1, pages + 1)) for c in claims]
    with db.write() as session:
        refused = usage.charge(session, worker, splits, default)
        submitting.insert_and_seal(session, worker, [s for s in splits if s.document not in refused])
    return refused


def used(db, owner):
    with db.read() as session:
        return usage.used_today(session, owner)


def test_documents_are_charged_until_the_day_is_used_up(db):
    owner, worker = key_with(db, pages_per_day=10), register(db)
    _, documents = submit(db, 3, owner=owner)
    refused = charged(db, worker, documents, 4)
    assert {d: (r.limit, r.actual) for d, r in refused.items()} == {documents[2]: (10, 12)}
    assert used(db, owner) == 8
    assert rows(db, "SELECT count(*) FROM page WHERE document_id = :d", d=documents[2])[0][0] == 0
    change(db, "UPDATE usage SET day = '2020-01-01'")
    assert used(db, owner) == 0
    with db.write() as session:
        usage.forget(session)
    assert rows(db, "SELECT * FROM usage") == []


def test_a_key_without_a_limit_is_not_counted_unless_the_server_has_one(db):
    owner, worker = key_with(db), register(db)
    _, documents = submit(db, 2, owner=owner)
    assert charged(db, worker, documents[:1], 7) == {}
    assert used(db, owner) == 0
    assert charged(db, worker, documents[1:], 7, default=6) == {documents[1]: usage.Refusal(6, 7)}
    _, of_nobody = submit(db, 1)
    assert charged(db, worker, of_nobody, 7, default=6) == {}


def test_a_split_that_runs_twice_is_charged_once(db):
    owner, worker = key_with(db, pages_per_day=10), register(db)
    _, [document] = submit(db, owner=owner)
    [first] = claim_splits(db, worker, [document])
    with db.write() as session:
        usage.charge(session, worker, [Split(document, first.attempt, 6, range(1, 7))], None)
    change(db, "UPDATE document SET worker = NULL, rung_at = NULL WHERE id = :d", d=document)  # its worker died
    assert charged(db, worker, [document], 6) == {}
    assert used(db, owner) == 6
    with db.write() as session:  # the dead one's late transaction
        usage.charge(session, worker, [Split(document, first.attempt, 9, range(1, 10))], None)
    assert used(db, owner) == 6


def test_two_workers_at_once_do_not_pass_the_limit(db):
    owner = key_with(db, pages_per_day=20)
    workers = [register(db) for _ in range(4)]
    sets = [submit(db, 3, owner=owner)[1] for _ in workers]
    with ThreadPoolExecutor(4) as pool:
        refused = list(pool.map(lambda pair: charged(db, *pair, 3), zip(workers, sets, strict=True)))
    assert used(db, owner) == 18
    assert sum(map(len, refused)) == 6


def test_a_used_up_day_is_refused_at_the_door(db):
    owner, worker = key_with(db, pages_per_day=10), register(db)
    _, [document] = submit(db, owner=owner)
    charged(db, worker, [document], 10)
    with pytest.raises(QuotaExceeded) as refused:
        admission.check(db, owner, KeyLimits(pages_per_day=10))
    assert (refused.value.limit, refused.value.actual) == (10, 10)
    assert 0 < refused.value.retry_after <= 24 * 3600 + 1


def test_a_document_over_the_quota_fails_with_it_and_runs_another_day(mill):
    owner = key_with(mill.db, pages_per_day=4)
    small = mill.submit(pdf(3), owner=owner)
    assert mill.wait(small).state is State.SUCCEEDED
    large = mill.submit(pdf(5), owner=owner)
    assert mill.wait(large).state is State.FAILED
    [error] = [d.error for d in mill.documents(large)]
    assert (error.code, error.status, error.retryable, error.limit) == ("quota_exceeded", 429, True, 4)
    keys.limit(mill.db, owner, KeyLimits(pages_per_day=50))
    lifecycle.retry(mill.db, mill.blobs, large)
    assert mill.wait(large).state is State.SUCCEEDED


def test_large_documents_are_refused_before_their_first_page(mill):
    owner = key_with(mill.db, pages_per_day=1500)
    job = mill.submit(pdf(2001), owner=owner)
    ended = mill.wait(job)
    assert (ended.state, ended.pages.total) == (State.FAILED, 0)


# --- pages in flight


def rung(db):
    choice = dispatch.choose(db)
    return sum(len(message) for messages in choice.pages.values() for message in messages)


def test_pages_in_flight_wait_their_turn_and_leave_room_for_others(db):
    capped, free, worker = key_with(db, pages_in_flight=3), key_with(db), register(db, capacity=8)
    _, [mine] = submit(db, owner=capped)
    split(db, worker, [mine], 50)
    assert rung(db) == 3
    assert rung(db) == 0
    _, [other] = submit(db, owner=free)
    split(db, worker, [other], 50)
    assert rung(db) == 13
    change(db, "UPDATE page SET state = 'succeeded', rung_at = NULL WHERE document_id = :d AND number <= 2", d=mine)
    change(db, "UPDATE document SET succeeded = 2, pending = 48 WHERE id = :d", d=mine)
    change(db, "UPDATE page SET finished_at = ready_at WHERE state = 'succeeded'")
    assert rung(db) == 2
    assert one(db, "SELECT count(*) FROM page WHERE document_id = :d AND rung_at IS NOT NULL", d=mine) == 3


def test_the_cap_counts_over_all_engines_and_the_server_has_a_default(db):
    owner = key_with(db)
    for engine in ("echo", "rapidocr"):
        worker = register(db, engine=engine)
        _, [document] = submit(db, owner=owner, engine=engine)
        split(db, worker, [document], 50)
    choice = dispatch.choose(db, 5)
    assert sum(len(message) for messages in choice.pages.values() for message in messages) == 5


# --- requests a second


def until_refused(several, per_second):
    """Ask one after the other; how many were let through, and the refusal."""
    for taken, rates in enumerate(several):
        try:
            rates.take("key_a", per_second)
        except RateLimited as error:
            return taken, error
    raise AssertionError("nobody was refused")


def test_two_servers_count_together(valkey):
    one_, two = (Rates(BrokerSettings(broker_url=valkey.url_of(3))) for _ in range(2))
    taken, refused = until_refused([one_, two] * 200, 20)
    assert taken < 60, "in two windows at most, on a machine that stalls in three"
    assert (refused.limit, refused.retry_after) == (20, 1)
    one_.take("key_b", 20)
    one_.take("key_a", None)


def test_a_frozen_redis_is_asked_once_in_a_while_and_limits_hold_all_the_same():
    now = [0.0]
    with Valkey() as own:
        rates = Rates(BrokerSettings(broker_url=own.url), clock=lambda: now[0])
        rates.take("key_a", 5)
        own.freeze()
        asked = []
        hit = rates._shared.hit
        rates._shared.hit = lambda *given: asked.append(given) or hit(*given)
        until_refused([rates] * 100, 5)
        assert len(asked) == 1
        now[0] += AWAY
        rates.take("key_c", 5)
        assert len(asked) == 2
        own.thaw()


# --- over HTTP


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, tmp_path_factory, valkey):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('limits') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("api_limits")
    api = ApiServer(url, auth="keys", broker_url=valkey.url_of(4), key_backlog_pages=1000)
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api


@pytest.fixture
def as_key(server):
    database = server.database()
    clients = []

    def make(*scopes, **limits):
        _, secret = keys.create(database, "somebody", scopes or list(Scope)[:2], KeyLimits(**limits))
        clients.append(server.client(headers={"Authorization": f"Bearer {secret}"}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    database.dispose()


def refused(response, code):
    body = response.json()
    assert (response.status_code, body["code"], body["retryable"]) == (429, code, True), body
    assert int(response.headers["retry-after"]) >= 1
    return body


def test_every_limit_over_http(as_key):
    slow = as_key(requests_per_second=2)
    answers = [slow.get("jobs") for _ in range(12)]
    assert refused(next(a for a in answers if a.status_code != 200), "rate_limited")["limit"] == 2

    small = as_key(file_bytes=20)
    response = small.post("jobs", files=files(PDF))
    assert (response.status_code, response.json()["code"], response.json()["limit"]) == (413, "file_too_large", 20)
    raw = small.post("jobs", content=PDF, headers={"Content-Type": "application/pdf"})
    assert (raw.status_code, raw.json()["limit"]) == (413, 20)

    busy = as_key(backlog_pages=2)
    assert busy.post("jobs", files=files(PDF, PDF)).status_code == 202
    full = refused(busy.post("jobs", files=files(PDF)), "queue_full")
    assert (full["limit"], full["actual"], full["where"]) == (2, 2, "backlog_pages")
    assert busy.get("jobs").status_code == 200


def test_a_key_learns_its_limits_and_what_it_has_used(as_key):
    mine = as_key(pages_per_day=7)
    assert mine.post("jobs", files=files(PDF, PDF)).status_code == 202
    told = mine.get("key").json()
    assert told["limits"]["pages_per_day"] == 7
    assert told["limits"]["backlog_pages"] == 1000, "the server's default"
    assert (told["backlog_pages"], told["pages_today"], told["scopes"]) == (2, 0, ["submit", "read"])
    assert told["id"].startswith("key_")
    assert mine.get(str(mine.base_url).rstrip("/")).json()["limits"]["key"]["backlog_pages"] == 1000


# --- keys themselves


def test_limits_are_kept_replaced_and_checked(db):
    key, _ = keys.create(db, "x", [Scope.READ], KeyLimits(pages_per_day=5, file_bytes=9))
    assert key.limits == KeyLimits(pages_per_day=5, file_bytes=9)
    assert keys.limit(db, key.id, KeyLimits(backlog_pages=1)).limits == KeyLimits(backlog_pages=1)
    assert keys.listed(db)[-1].limits == KeyLimits(backlog_pages=1)
    assert KeyLimits(pages_per_day=5).over(KeyLimits(pages_per_day=9, file_bytes=3)) == KeyLimits(
        pages_per_day=5, file_bytes=3
    )
    with pytest.raises(NotFound):
        keys.limit(db, "key_" + "0" * 32, KeyLimits())
    with pytest.raises(ValueError, match="pages_per_day"):
        KeyLimits(pages_per_day=0)
