"""Messages as tasks: each calls one stage, and none is ever acknowledged."""

import pytest
from kombu.message import Message
from kombu.utils.imports import symbol_by_name

from jobs import queue
from jobs.errors import StorageUnavailable
from jobs.queue import make_app
from jobs.settings import BrokerSettings
from jobs.store.claiming import DocumentRef, PageRef
from jobs.store.webhooks import DeliveryRef
from workers.tally import Tally
from workers.tasks import NotBegun, PutOff, Stages, add_tasks

CALLS = {
    queue.RECOGNIZE: {"pages": {"doc_b": [[1, 0], [2, 5]], "doc_a": [[7, 1]]}},
    queue.SPLIT: {"documents": {"doc_a": 0, "doc_b": 3}},
    queue.FETCH: {"documents": {"doc_a": 4}},
    queue.ASSEMBLE: {"documents": {"doc_a": 2}},
    queue.PURGE: {"job": "job_a"},
    queue.WEBHOOK: {"deliveries": {"evt_a": 0, "evt_b": 4}},
    queue.PUBLISH: {},
}


@pytest.fixture
def calls():
    return []


@pytest.fixture
def app(calls):
    app = make_app(BrokerSettings())  # contacts nobody

    def counted(name):
        return lambda refs: calls.append((name, refs)) or len(refs) - 1

    def recognize(refs, begun):
        calls.append(("recognize", refs))
        begun()
        return Tally(refs)

    def publish():
        calls.append(("publish", None))
        return 3

    def purge(job):
        calls.append(("purge", job))
        return True

    fetch, split, assemble, webhook = map(counted, ("fetch", "split", "assemble", "webhook"))
    add_tasks(app, Stages(recognize, fetch, split, assemble, purge, webhook, publish))
    yield app
    app.close()


def test_each_message_calls_its_stage(app, calls):
    said = {name: repr(app.tasks[name](**arguments)) for name, arguments in CALLS.items()}
    assert calls == [
        ("recognize", [PageRef("doc_b", 1, 0), PageRef("doc_b", 2, 5), PageRef("doc_a", 7, 1)]),
        ("split", [DocumentRef("doc_a", 0), DocumentRef("doc_b", 3)]),
        ("fetch", [DocumentRef("doc_a", 4)]),
        ("assemble", [DocumentRef("doc_a", 2)]),
        ("purge", "job_a"),
        ("webhook", [DeliveryRef("evt_a", 0), DeliveryRef("evt_b", 4)]),
        ("publish", None),
    ]
    assert said == {
        queue.RECOGNIZE: "skipped 3: pages 1-2 of doc_b, page 7 of doc_a",
        queue.SPLIT: "split 1, skipped 1",
        queue.FETCH: "begun 0, skipped 1",
        queue.ASSEMBLE: "assembled 0, skipped 1",
        queue.PURGE: "begun",
        queue.WEBHOOK: "accepted 1, skipped 1",
        queue.PUBLISH: "published 3",
    }


def test_a_worker_that_is_busy_shows_a_retry():
    app = make_app(BrokerSettings())
    busy = lambda refs, _begun: Tally(refs, busy=True)  # noqa: E731
    add_tasks(app, Stages(busy, *[len] * 5, int))
    with pytest.raises(NotBegun) as raised:
        app.tasks[queue.RECOGNIZE](**CALLS[queue.RECOGNIZE])
    app.close()
    assert repr(raised.value) == "not begun: this worker had enough to do"


def test_a_part_of_the_service_that_is_away_is_one_line(caplog):
    def away(*_):
        raise StorageUnavailable("the object store cannot be reached")

    app = make_app(BrokerSettings())
    add_tasks(app, Stages(away, away, away, away, away, away, lambda: away(None)))
    with pytest.raises(PutOff) as raised:
        app.tasks[queue.PURGE](**CALLS[queue.PURGE])
    app.close()
    assert repr(raised.value) == "storage_unavailable: the object store cannot be reached", "as Flower shows it"
    [record] = caplog.records
    assert (record.levelname, record.code) == ("WARNING", "storage_unavailable")
    assert record.getMessage() == "pagemill.purge put off: the object store cannot be reached"


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_acknowledged_on_a_connection_that_may_be_gone(app, name):
    """Celery acknowledges a moment after it received a message; kombu then fails on the channel of a broken connection
    with an error that ends the worker."""
    acknowledged = []
    headers = {"id": "1", "task": name, "root_id": "1", "parent_id": None, "group": None, "lang": "py"}
    message = Message(
        body=b"[[], {}, {}]", headers=headers, content_type="application/json", content_encoding="utf-8",
        properties={"correlation_id": "1"}, delivery_info={},
    )  # fmt: skip
    task = app.tasks[name]
    request = symbol_by_name(task.Request)(
        message, on_ack=lambda *args: acknowledged.append(args), app=app, task=task, body=([], {}, {}), decoded=True
    )
    request.acknowledge()
    assert (request.acknowledged, acknowledged) == (True, [])
