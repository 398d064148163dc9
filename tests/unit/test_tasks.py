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
from workers.tasks import Stages, add_tasks

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

    def stage(name):
        return lambda argument: calls.append((name, argument))

    def publish():
        calls.append(("publish", None))

    names = ("recognize", "fetch", "split", "assemble", "purge", "webhook")
    add_tasks(app, Stages(*map(stage, names), publish))
    yield app
    app.close()


def test_each_message_calls_its_stage(app, calls):
    for name, arguments in CALLS.items():
        app.tasks[name](**arguments)
    assert calls == [
        ("recognize", [PageRef("doc_b", 1, 0), PageRef("doc_b", 2, 5), PageRef("doc_a", 7, 1)]),
        ("split", [DocumentRef("doc_a", 0), DocumentRef("doc_b", 3)]),
        ("fetch", [DocumentRef("doc_a", 4)]),
        ("assemble", [DocumentRef("doc_a", 2)]),
        ("purge", "job_a"),
        ("webhook", [DeliveryRef("evt_a", 0), DeliveryRef("evt_b", 4)]),
        ("publish", None),
    ]


def test_a_part_of_the_service_that_is_away_is_one_line(caplog):
    def away(_):
        raise StorageUnavailable("the object store cannot be reached")

    app = make_app(BrokerSettings())
    add_tasks(app, Stages(away, away, away, away, away, away, lambda: away(None)))
    app.tasks[queue.PURGE](**CALLS[queue.PURGE])
    app.close()
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
