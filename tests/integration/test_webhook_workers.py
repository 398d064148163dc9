"""Webhooks by real worker processes: from the end of a job to a receiver, also when the sender is killed."""

from __future__ import annotations

import threading

import pytest
from standardwebhooks import Webhook

from jobs import webhooks
from jobs.models import WebhookState
from tests.documents import pdf
from tests.installation import Installation
from tests.mill import CALM
from tests.receiver import Answer, Receiver

ALLOWED = {"PAGEMILL_OUTBOUND_ALLOW": "127.0.0.1"}


@pytest.fixture
def database_url(postgres_url):
    """PostgreSQL alone: whole workers take seconds, and the tiers acceptance and chaos run them on SQLite."""
    return postgres_url


@pytest.fixture
def installation(tmp_path, database_url, broker_url):
    with Installation(tmp_path, database_url, broker_url, settings=CALM | ALLOWED) as made:
        yield made


def delivered(installation, job):
    installation.until(lambda: told(installation, job), f"the webhook of {job}")
    return told(installation, job)


def told(installation, job):
    found = [d for d in webhooks.deliveries(installation.db, job) if d.state is WebhookState.DELIVERED]
    return found[0] if found else None


def secret(installation):
    return webhooks.current_secrets(installation.db, installation.vault, "")[0].secret


def test_the_end_of_a_job_is_heard(installation):
    with Receiver() as receiver, installation.worker():
        job = installation.submit(pdf(3), webhook={"url": receiver.url()}, metadata={"n": 1})
        found = delivered(installation, job)
    [request] = receiver.received
    event = Webhook(secret(installation)).verify(request.body, dict(request.headers))
    assert (event["type"], event["data"]["id"], event["data"]["pages"]["succeeded"]) == ("job.succeeded", job, 3)
    assert request.headers["webhook-id"] == found.id
    assert "page 1" not in request.body.decode(), "no text of documents"


def test_a_worker_killed_while_it_is_sending_is_replaced_by_another_with_the_same_id(installation):
    """The receiver has the event and its sender dies before it hears so: it is sent again, under its id."""
    first = installation.worker()

    def kill(_request):
        receiver.answer = lambda _: Answer()
        first.crash()
        return Answer()

    with Receiver(kill) as receiver:
        with first:
            job = installation.submit(pdf(1), webhook={"url": receiver.url()})
            receiver.wait(1)
            installation.until(lambda: not first.tree(), "the worker to be gone")
        assert told(installation, job) is None
        with installation.worker():
            found = delivered(installation, job)
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert ids == [found.id, found.id]
    for request in receiver.received:
        Webhook(secret(installation)).verify(request.body, dict(request.headers))


def test_a_worker_that_ends_leaves_what_hangs(installation):
    """A receiver that does not answer holds up no SIGTERM, and the delivery is not lost."""
    gate = threading.Event()

    def hang(_request):
        gate.wait(120)
        return Answer()

    patient = {"PAGEMILL_WEBHOOK_TIMEOUT": "6000", "PAGEMILL_OUTBOUND_READ_TIMEOUT": "600"}
    with Receiver(hang) as receiver:
        with installation.worker(**patient) as worker:
            job = installation.submit(pdf(1), webhook={"url": receiver.url()})
            receiver.wait(1)
            assert worker.terminate() == 0
        gate.set()
    [found] = webhooks.deliveries(installation.db, job)
    assert (found.state, found.attempts) == (WebhookState.PENDING, ())
