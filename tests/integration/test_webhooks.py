"""Webhooks on both databases, with real receivers on loopback."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobs import deletion, dispatch, lifecycle, webhooks
from jobs.errors import Gone, InvalidRequest, NotFound
from jobs.ids import new_event_id, new_job_id
from jobs.models import State, WebhookAttempt, WebhookEvent, WebhookState
from jobs.options import JobOptions
from jobs.queue import Doorbell, make_app
from jobs.settings import BrokerSettings, OutboundSettings, SecretSettings
from jobs.store import webhooks as rows_of
from jobs.store.webhooks import DeliveryRef
from jobs.vault import open_vault
from tests.protocol import change, is_sqlite, job_of, new_document, one, register, rows, through
from tests.receiver import Answer, Receiver
from workers.outbound import Outbound
from workers.webhooks import AT_ONCE, AT_ONCE_TO_OWNER, AT_ONCE_TO_RECEIVER, SCHEDULE, Courier

VAULT = open_vault(SecretSettings(secret_key="a long secret for tests only"))
EXPIRES = 60.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def receiver():
    with Receiver() as found:
        yield found


@pytest.fixture
def courier(db):
    with_loopback = Outbound(OutboundSettings(outbound_allow="127.0.0.1"))
    found = Courier(db, VAULT, with_loopback, timeout=30.0)
    yield found
    found.close()


def submit(db, url, *, owner="", documents=1, vault=VAULT, **options):
    """A queued job with a webhook: its id and its documents'."""
    job, new = new_job_id(), [new_document(number) for number in range(documents)]
    chosen = JobOptions(webhook={"url": url}, **options)
    lifecycle.submit(db, job_id=job, options=chosen, engine="echo", documents=new, vault=vault, owner=owner)
    return job, sorted(document.id for document in new)


def canceled(db, url, **values):
    """A job that ended, so that there is something to tell."""
    job, _ = submit(db, url, **values)
    lifecycle.cancel(db, job)
    return job


def due(db, window=64, total=1024):
    """What a round of ringing sends."""
    with db.read() as session:
        found = rows_of.due(session, total, window, EXPIRES)
    with db.write() as session:
        return rows_of.stamp(session, found, EXPIRES)


def deliver(db, courier, timeout=60.0):
    """One round, to its end."""
    accepted = courier.run(due(db))
    assert courier.wait(timeout)
    return accepted


def only(db, job):
    [found] = webhooks.deliveries(db, job)
    return found


def make_due(db):
    """As if the pause were over."""
    past = "strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 seconds')" if is_sqlite(db) else "now() - interval '1 second'"
    with db.write() as session:
        session.connection().exec_driver_sql(
            f"UPDATE webhook_delivery SET next_at = {past}, rung_at = NULL WHERE state = 'pending'"
        )


def secrets(db, owner=""):
    return [found.secret for found in webhooks.current_secrets(db, VAULT, owner)]


def verified(request, secret):
    """The event of a request, if this secret signed it. Raises WebhookVerificationError."""
    return Webhook(secret).verify(request.body, dict(request.headers))


# --- events


def test_the_end_of_a_job_is_told_once_and_signed(db, blobs, courier, receiver):
    worker = register(db)
    job, (document,) = submit(db, receiver.url("/hook?x=1"), owner="key_a", metadata={"case": "2024-117", "ü": [1]})
    assert due(db) == []
    through(db, worker, document, pages=3, failed=[2])
    assert lifecycle.close(db, blobs, job)
    assert not lifecycle.close(db, blobs, job)
    assert deliver(db, courier) == 1
    assert deliver(db, courier) == 0

    [request] = receiver.received
    assert (request.method, request.path) == ("POST", "/hook?x=1")
    assert request.headers["content-type"] == "application/json"
    [secret] = secrets(db, "key_a")
    event = WebhookEvent.model_validate(verified(request, secret), strict=False)
    assert (event.type, event.data.id, event.data.state) == ("job.partial", job, State.PARTIAL)
    assert event.data.metadata == {"case": "2024-117", "ü": [1]}
    assert event.data.documents.model_dump() == {
        "total": 1, "unfinished": 0, "succeeded": 0, "partial": 1, "failed": 0, "canceled": 0,
    }  # fmt: skip
    assert event.data.pages.model_dump() == {
        "total": 3, "pending": 0, "running": 0, "succeeded": 2, "failed": 1, "canceled": 0,
    }  # fmt: skip
    assert abs(event.timestamp - job_of(db, job).finished_at) < timedelta(milliseconds=1)
    told = only(db, job)
    assert (told.id, told.state, told.type) == (request.headers["webhook-id"], WebhookState.DELIVERED, "job.partial")
    assert [(a.status, a.error, a.answer) for a in told.attempts] == [(204, None, None)]
    assert (told.next_attempt_at, told.finished_at is not None) == (None, True)
    with pytest.raises(WebhookVerificationError):
        verified(request, secrets(db, "key_b")[0])


def test_each_end_has_one_event(db, blobs, receiver):
    worker = register(db)
    canceled_job = canceled(db, receiver.url())
    lifecycle.close(db, blobs, canceled_job)
    lifecycle.cancel(db, canceled_job)
    assert [d.type for d in webhooks.deliveries(db, canceled_job)] == ["job.canceled"]

    job, (document,) = submit(db, receiver.url())
    through(db, worker, document, pages=1, failed=[1])
    lifecycle.close(db, blobs, job)
    # As when somebody dies in the middle of a retry: the job has ended and lacks its manifest, which is written again.
    change(db, "UPDATE job SET manifest = false WHERE id = :j", j=job)
    assert lifecycle.close(db, blobs, job)
    assert [d.type for d in webhooks.deliveries(db, job)] == ["job.failed"]

    lifecycle.retry(db, blobs, job)
    lifecycle.cancel(db, job)
    lifecycle.close(db, blobs, job)
    assert [d.type for d in webhooks.deliveries(db, job)] == ["job.canceled", "job.failed"]


def test_a_job_without_a_webhook_tells_nobody(db):
    job = new_job_id()
    lifecycle.submit(
        db, job_id=job, options=JobOptions(), engine="echo", documents=[new_document()], vault=None, owner=""
    )
    lifecycle.cancel(db, job)
    assert webhooks.deliveries(db, job) == []


def test_a_deleted_job_tells_nothing_any_more(db, blobs, courier, receiver):
    job, open_job = canceled(db, receiver.url()), submit(db, receiver.url())[0]
    deletion.delete(db, blobs, job)
    deletion.delete(db, blobs, open_job)
    assert one(db, "SELECT count(*) FROM webhook_delivery") == 0
    assert deliver(db, courier) == 0
    for gone in (job, open_job):
        with pytest.raises(Gone):
            webhooks.deliveries(db, gone)


def test_without_a_key_for_secrets_no_webhook_is_accepted(db, receiver):
    with pytest.raises(InvalidRequest, match="PAGEMILL_SECRET_KEY") as raised:
        submit(db, receiver.url(), vault=None)
    assert raised.value.where == "options.webhook"
    assert one(db, "SELECT count(*) FROM job") == 0


def test_the_receiver_of_the_documentation_takes_each_event_once(db, courier, receiver):
    page = (ROOT / "docs/webhooks.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.S)
    assert '"whsec_…"' in code
    taken, known = [], set()
    names = {"seen": known.__contains__, "remember": known.add, "enqueue": taken.append}
    exec(code.replace("whsec_…", secrets(db)[0]), names)
    receiver.answer = lambda request: Answer(names["on_request"](request.body, dict(request.headers)))
    job = canceled(db, receiver.url())
    deliver(db, courier)
    webhooks.replay(db, job, only(db, job).id)
    deliver(db, courier)
    assert [attempt.status for attempt in only(db, job).attempts] == [204, 204]
    assert [event["data"]["id"] for event in taken] == [job]
    webhooks.rotate_secret(db, VAULT, "")
    change(db, "UPDATE webhook_secret SET expires_at = created_at WHERE expires_at IS NOT NULL")
    job = canceled(db, receiver.url())
    deliver(db, courier)
    assert [attempt.status for attempt in only(db, job).attempts] == [401]


# --- attempts


def test_a_failure_is_tried_again_under_the_same_id_and_by_the_schedule(db, courier, receiver):
    job = canceled(db, receiver.url())
    receiver.answer = lambda _: Answer(500, {}, b"<h1>database\x00 down</h1>" + b"!" * 1000)
    for failures, pause in enumerate(SCHEDULE[:3]):
        assert deliver(db, courier) == 1
        found = only(db, job)
        assert (found.state, len(found.attempts)) == (WebhookState.PENDING, failures + 1)
        assert found.next_attempt_at - found.attempts[-1].at >= timedelta(seconds=pause)
        assert deliver(db, courier) == 0, "not before its time"
        make_due(db)
    assert found.attempts[-1].status == 500
    assert found.attempts[-1].error == "the receiver answered 500"
    assert found.attempts[-1].answer.startswith("<h1>database  down</h1>!")
    assert len(found.attempts[-1].answer) == 200
    receiver.answer = lambda _: Answer(200, {}, b"taken")
    assert deliver(db, courier) == 1
    assert only(db, job).state is WebhookState.DELIVERED
    assert {request.headers["webhook-id"] for request in receiver.received} == {only(db, job).id}
    assert len({request.body for request in receiver.received}) == 1
    for request in receiver.received:
        verified(request, secrets(db)[0])


def test_after_the_last_step_of_the_schedule_it_has_failed(db, courier, receiver):
    receiver.answer = lambda _: Answer(503)
    job = canceled(db, receiver.url())
    for _ in range(len(SCHEDULE) + 1):
        make_due(db)
        assert deliver(db, courier) == 1
    make_due(db)
    assert deliver(db, courier) == 0
    found = only(db, job)
    assert (found.state, found.next_attempt_at, len(found.attempts)) == (WebhookState.FAILED, None, 7)
    assert found.finished_at is not None


def test_a_receiver_asks_for_patience(db, courier, receiver):
    receiver.answer = lambda _: Answer(429, {"Retry-After": "900"})
    job = canceled(db, receiver.url())
    deliver(db, courier)
    found = only(db, job)
    assert timedelta(seconds=899) < found.next_attempt_at - found.attempts[0].at < timedelta(seconds=960)


@pytest.mark.parametrize(
    "when", ["Fri, 31 Dec 9999 23:59:59 -2300", "Mon, 01 Jan 0001 00:00:00 +2300", "soon", "Fri, 99 Dec 2099", "²"]
)
def test_what_no_receiver_can_mean_is_an_attempt_as_any_other(db, courier, receiver, when):
    receiver.answer = lambda _: Answer(503, {"Retry-After": when})
    job = canceled(db, receiver.url())
    deliver(db, courier)
    found = only(db, job)
    assert [attempt.status for attempt in found.attempts] == [503]
    assert found.next_attempt_at - found.attempts[0].at < timedelta(seconds=60)


def test_an_attempt_that_fails_in_no_way_we_know_is_recorded(db, receiver):
    class Broken(Outbound):
        def stream(self, *args, **kwargs):
            raise RecursionError("too deep")

    courier = Courier(db, VAULT, Broken(OutboundSettings(outbound_allow="127.0.0.1")), timeout=30.0)
    job = canceled(db, receiver.url())
    deliver(db, courier)
    found = only(db, job)
    assert (found.state, found.attempts[0].status) == (WebhookState.PENDING, None)
    assert found.attempts[0].error == "the attempt failed: RecursionError"


def test_a_receiver_that_is_gone_stops_all_that_waits_for_it(db, courier, receiver):
    receiver.answer = lambda _: Answer(410)
    jobs = [canceled(db, receiver.url()) for _ in range(3)]
    others = [canceled(db, receiver.url("/other")), canceled(db, receiver.url(), owner="key_b")]
    for ref in due(db, window=1):
        if owner_of(db, ref.id) == "":
            courier.run([ref])
    assert courier.wait(60)
    assert [only(db, job).state for job in jobs] == [WebhookState.STOPPED] * 3
    assert [len(only(db, job).attempts) for job in jobs] == [1, 0, 0]
    assert [only(db, job).state for job in others] == [WebhookState.PENDING] * 2
    assert len(receiver.received) == 1


def owner_of(db, event):
    return one(db, "SELECT owner FROM webhook_delivery WHERE id = :i", i=event)


def test_a_redirect_is_not_followed(db, courier, receiver):
    with Receiver() as elsewhere:
        receiver.answer = lambda _: Answer(307, {"Location": elsewhere.url()})
        job = canceled(db, receiver.url())
        deliver(db, courier)
        assert elsewhere.received == []
    [attempt] = only(db, job).attempts
    assert (attempt.status, attempt.error) == (307, "the receiver answered 307; redirects are not followed")
    assert only(db, job).state is WebhookState.PENDING


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "localhost"]
)
def test_internal_addresses_are_refused_and_the_log_says_so(db, receiver, host):
    courier = Courier(db, VAULT, Outbound(OutboundSettings(outbound_http=True)), timeout=30.0)
    job = canceled(db, f"http://{host}:{receiver.port}/")
    assert deliver(db, courier) == 1
    found = only(db, job)
    assert found.state is WebhookState.FAILED
    [attempt] = found.attempts
    assert attempt.status is None
    assert attempt.error.startswith("refused: ")
    assert "is not a public address" in attempt.error
    assert receiver.received == []


def test_a_name_that_turns_internal_is_refused(db, receiver):
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])
    outbound = Outbound(OutboundSettings(outbound_allow="127.0.0.2"), resolve=lambda _host, _port: next(answers))
    courier = Courier(db, VAULT, outbound, timeout=30.0)
    job = canceled(db, f"http://rebinding.example:{receiver.port}/")
    deliver(db, courier)
    assert only(db, job).state is WebhookState.PENDING, "nobody listens on the first address"
    make_due(db)
    deliver(db, courier)
    assert only(db, job).state is WebhookState.FAILED
    assert receiver.received == []


# --- at once, twice, too late


def test_doubled_messages_deliver_once(db, courier, receiver):
    canceled(db, receiver.url())
    [ref] = due(db)
    other = Courier(db, VAULT, Outbound(OutboundSettings(outbound_allow="127.0.0.1")), timeout=30.0)
    for each in (courier, other, courier):
        each.run([ref])
    assert courier.wait(60)
    assert other.wait(60)
    courier.run([ref, DeliveryRef(new_event_id(), 0)])
    assert courier.wait(60)
    assert len(receiver.received) == 1


def test_who_dies_before_it_is_noted_leaves_it_to_another(db, courier, receiver):
    """The delivery is claimed and nothing more is heard: once the claim has run out, it is sent under the same id, and
    what the dead one might still note counts for nothing."""
    job = canceled(db, receiver.url())
    [ref] = due(db)
    with db.write() as session:
        dead = rows_of.claim(session, ref, lease=60.0)
    assert due(db) == []
    make_due(db)
    assert deliver(db, courier) == 1
    assert only(db, job).state is WebhookState.DELIVERED
    courier._record(dead, courier._send(dead, secrets(db)), 0.1)
    assert len(only(db, job).attempts) == 1
    assert {request.headers["webhook-id"] for request in receiver.received} == {only(db, job).id}


def test_a_lost_ring_is_rung_again(db, receiver):
    canceled(db, receiver.url())
    [ref] = due(db)
    assert due(db) == []
    with db.read() as session:
        assert rows_of.due(session, 1024, 64, -1.0) == [ref.id]


def test_a_slow_receiver_keeps_nobody_else_waiting(db, courier, receiver):
    """One owner's receivers take for ever, and there is plenty for them. Another owner's delivery, and one of the same
    owner to another receiver, go through meanwhile; so does whatever else comes to this worker."""
    gate = threading.Event()

    def slow(_):
        gate.wait(60)
        return Answer()

    with Receiver(slow) as stuck:
        for _ in range(70):
            canceled(db, stuck.url(), owner="key_slow")
        first = due(db)
        assert len(first) == 64, "no more are rung of one owner than its window holds"
        courier.run(first)
        stuck.wait(AT_ONCE_TO_RECEIVER)
        canceled(db, receiver.url(), owner="key_other")
        second = due(db)
        assert len(second) == 1
        courier.run(second)
        receiver.wait(1)
        assert len(stuck.received) == AT_ONCE_TO_RECEIVER
        courier.run([ref_of(db, canceled(db, receiver.url(), owner="key_slow"))])
        receiver.wait(2)
        gate.set()
        assert courier.wait(60)
        assert len(stuck.received) == 64
    assert AT_ONCE_TO_RECEIVER < AT_ONCE_TO_OWNER


def test_a_slow_receiver_does_not_fill_the_window_of_its_owner(db, courier, receiver):
    """More is due for a slow host than is rung of one owner; what comes later for another host is rung at once."""
    gate = threading.Event()

    def slow(_):
        gate.wait(60)
        return Answer()

    with Receiver(slow) as stuck:
        for _ in range(70):
            canceled(db, stuck.url("/slow"))
        assert courier.run(due(db)) == 64
        stuck.wait(AT_ONCE_TO_RECEIVER)
        job = canceled(db, receiver.url("/quick"))
        assert courier.run(due(db)) == 1
        receiver.wait(1)
        gate.set()
        assert courier.wait(60)
    assert only(db, job).state is WebhookState.DELIVERED


def test_ringing_is_fair_to_the_hosts_of_an_owner(db):
    for host, count in (("a", 9), ("b:8080", 1), ("c", 9)):
        for _ in range(count):
            canceled(db, f"https://{host}/")

    def ring(window):
        hosts = [one(db, "SELECT host FROM webhook_delivery WHERE id = :i", i=ref.id) for ref in due(db, window)]
        return "".join(sorted(host[0] for host in hosts))

    assert ring(6) == "aabcc"
    assert ring(6) == "", "what is in flight counts"
    assert ring(10) == "ac"
    for number in range(20):
        canceled(db, f"https://d{number}/")
    assert ring(5) == "d" * 3, "a new host gets its part, until the owner holds twice its share"
    assert ring(5) == ""


def ref_of(db, job):
    return DeliveryRef(only(db, job).id, 0)


def test_where_every_thread_is_taken_the_next_one_goes_to_who_has_none(db, courier, receiver):
    turn = threading.Semaphore(0)

    def slow(_):
        turn.acquire(timeout=60)
        return Answer()

    with Receiver(slow) as stuck:
        for owner in range(AT_ONCE // AT_ONCE_TO_RECEIVER):
            for _ in range(AT_ONCE_TO_RECEIVER + 3):
                canceled(db, stuck.url(), owner=f"key_{owner}")
        courier.run(due(db))
        stuck.wait(AT_ONCE)
        canceled(db, receiver.url(), owner="key_other")
        courier.run(due(db))
        assert receiver.received == []
        turn.release()
        receiver.wait(1)
        turn.release(1000)
        assert courier.wait(60)


def test_ringing_is_fair_to_owners(db):
    for owner, count in (("key_a", 5), ("key_b", 1), ("", 3)):
        for _ in range(count):
            canceled(db, "https://example.org/", owner=owner)

    def owners(total, window):
        with db.read() as session:
            found = rows_of.due(session, total, window, EXPIRES)
        return sorted(owner_of(db, i) for i in found)

    assert owners(1024, 2) == ["", "", "key_a", "key_a", "key_b"]
    assert owners(9, 64) == ["", "", "", "key_a", "key_a", "key_a", "key_b"]
    assert owners(1, 64) == ["", "key_a", "key_b"]
    due(db, window=1)
    assert owners(1024, 2) == ["", "key_a"]


def test_many_that_are_gone_at_once_do_not_deadlock(pg, receiver):
    """Each notes its own delivery and stops all others of the receiver: in one order, or they would lock each other."""
    jobs = [canceled(pg, receiver.url()) for _ in range(40)]
    claims = []
    for ref in due(pg):
        with pg.write() as session:
            claims.append(rows_of.claim(session, ref, 60.0))

    def stop(claimed):
        at = datetime.fromisoformat(claimed.at)
        attempt = WebhookAttempt(at=at, seconds=0.1, status=410, error="gone", answer=None)
        with pg.write() as session:
            return rows_of.record(session, claimed, attempt, WebhookState.STOPPED, 1, 0.0)

    with ThreadPoolExecutor(8) as threads:
        recorded = list(threads.map(stop, claims))
    assert recorded.count(True) == 1, "the first one stops all others, whose attempts then count for nothing"
    assert {only(pg, job).state for job in jobs} == {WebhookState.STOPPED}


# --- secrets


def test_a_rotated_secret_signs_beside_the_new_one_for_a_day(db, courier, receiver):
    [old] = secrets(db)
    new, still = [found.secret for found in webhooks.rotate_secret(db, VAULT, "")]
    assert still == old != new
    assert new.startswith("whsec_")
    canceled(db, receiver.url())
    deliver(db, courier)
    [request] = receiver.received
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    assert verified(request, old) == verified(request, new)
    current, retired = webhooks.current_secrets(db, VAULT, "")
    assert current.expires_at is None
    assert timedelta(hours=23.9) < retired.expires_at - current.created_at < timedelta(hours=24.1)

    change(db, "UPDATE webhook_secret SET expires_at = created_at WHERE expires_at IS NOT NULL")
    assert secrets(db) == [new]
    canceled(db, receiver.url())
    deliver(db, courier)
    verified(receiver.received[1], new)
    with pytest.raises(WebhookVerificationError):
        verified(receiver.received[1], old)


def test_rotating_all_day_leaves_a_few_secrets(db):
    [first] = secrets(db, "key_a")
    for _ in range(8):
        webhooks.rotate_secret(db, VAULT, "key_a")
    found = secrets(db, "key_a")
    assert len(set(found)) == len(found) == webhooks.KEPT + 1
    assert first not in found
    assert len(secrets(db, "key_b")) == 1


def test_secrets_are_kept_encrypted(db):
    [secret] = secrets(db)
    [(sealed,)] = rows(db, "SELECT sealed FROM webhook_secret")
    assert secret not in sealed
    assert VAULT.open(sealed) == secret


# --- replay


def test_an_event_can_be_sent_again(db, courier, receiver):
    job = canceled(db, receiver.url())
    deliver(db, courier)
    event = only(db, job).id
    again = webhooks.replay(db, job, event)
    assert (again.state, again.finished_at) == (WebhookState.PENDING, None)
    assert deliver(db, courier) == 1
    assert [request.headers["webhook-id"] for request in receiver.received] == [event, event]
    assert receiver.received[0].body == receiver.received[1].body
    found = only(db, job)
    assert (found.state, len(found.attempts)) == (WebhookState.DELIVERED, 2)
    with pytest.raises(NotFound):
        webhooks.replay(db, job, new_event_id())
    with pytest.raises(NotFound):
        webhooks.replay(db, canceled(db, receiver.url()), event)


def test_a_replay_during_an_attempt_is_not_stopped_by_it(db, courier, receiver):
    """The receiver comes back while its 410 is on the way: what was asked for since is sent."""
    arrived, gate = threading.Event(), threading.Event()

    def gone(_):
        arrived.set()
        gate.wait(60)
        return Answer(410)

    receiver.answer = gone
    job = canceled(db, receiver.url())
    courier.run(due(db))
    assert arrived.wait(60)
    webhooks.replay(db, job, only(db, job).id)
    gate.set()
    assert courier.wait(60)
    assert only(db, job).state is WebhookState.PENDING
    receiver.answer = lambda _: Answer()
    assert deliver(db, courier) == 1
    assert only(db, job).state is WebhookState.DELIVERED


def test_a_replay_has_the_whole_schedule_before_it(db, courier, receiver):
    receiver.answer = lambda _: Answer(500)
    job = canceled(db, receiver.url())
    for _ in range(len(SCHEDULE) + 1):
        make_due(db)
        deliver(db, courier)
    webhooks.replay(db, job, only(db, job).id)
    assert deliver(db, courier) == 1
    found = only(db, job)
    assert (found.state, len(found.attempts)) == (WebhookState.PENDING, 8)
    for _ in range(5):
        make_due(db)
        deliver(db, courier)
    assert len(only(db, job).attempts) == rows_of.KEPT_ATTEMPTS


# --- the bell


def test_due_deliveries_are_rung_in_small_messages(db, valkey):
    valkey.flush()
    app = make_app(BrokerSettings(broker_url=valkey.url, broker_prefix="w:"))
    rules = dispatch.RescueRules(stale=30.0, ring_expires=EXPIRES, settled=5.0, max_crashes=3)
    jobs = [canceled(db, "https://example.org/") for _ in range(20)]
    try:
        bell = Doorbell(app)
        assert dispatch.ring_webhooks(db, bell, rules) == 20
        assert dispatch.ring_webhooks(db, bell, rules) == 0
        messages = bell.waiting("deliver", 10)
        assert [len(m.arguments["deliveries"]) for m in messages] == [16, 4]
        assert {i for m in messages for i in m.arguments["deliveries"]} == {only(db, job).id for job in jobs}
    finally:
        app.close()
    away = make_app(BrokerSettings(broker_url="redis://127.0.0.1:1/0"))
    try:
        change(db, "UPDATE webhook_delivery SET rung_at = NULL")
        assert dispatch.ring_webhooks(db, Doorbell(away), rules) == 0
        assert one(db, "SELECT count(*) FROM webhook_delivery WHERE rung_at IS NOT NULL") == 0
    finally:
        away.close()
