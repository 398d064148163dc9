"""What Flower shows is what the database says: the same workers, and the pages that each of them reads and has read.

Events are sent and forgotten, so whatever is compared is waited for; nothing is sent before Flower has heard of both
workers. SQLite is enough: Flower sees only messages.
"""

from __future__ import annotations

import subprocess

import pytest
from sqlalchemy import text

from jobs import lifecycle
from jobs.options import EchoOptions
from jobs.queue import Doorbell, make_app
from jobs.readable import node_name
from jobs.settings import BrokerSettings
from jobs.store.claiming import DocumentRef
from tests.documents import pdf
from tests.flower import LOGIN, Flower
from tests.installation import Installation
from tests.mill import CALM
from tests.processes import HOST

CAPACITY = 8
"""Of each worker: two pages a message, six messages at a time."""

NOTHING = f"doc_{'0' * 32}"


@pytest.fixture(scope="module")
def mill(tmp_path_factory, valkey):
    root = tmp_path_factory.mktemp("flower")
    settings = CALM | {"PAGEMILL_ENGINE_CAPACITY": str(CAPACITY), "PAGEMILL_DATABASE_BUSY_TIMEOUT": "1"}
    with Installation(root, f"sqlite:///{root / 'pagemill.db'}", valkey.url_of(3), settings=settings) as found:
        yield found


@pytest.fixture(scope="module")
def flower(mill):
    with (
        Flower(mill.broker_url) as flower,
        mill.worker(PAGEMILL_SLOT="0"),
        mill.worker(PAGEMILL_SLOT="1"),
    ):
        mill.until(lambda: flower.online() == set(names(mill).values()), "Flower to hear of both workers")
        yield flower


def names(mill):
    """How Flower must call each incarnation."""
    return {row.id: node_name(row.engine, row.slot, row.host) for row in mill.workers()}


def pages_by_worker(mill, state, job):
    """(document, number) by the name of the worker that has, or had, them."""
    with mill.db.read() as session:
        rows = session.connection().execute(
            text(
                "SELECT p.worker, p.document_id, p.number FROM page p JOIN document d ON d.id = p.document_id"
                " WHERE p.state = :state AND d.job_id = :job"
            ),
            {"state": state, "job": job},
        )
        known, found = names(mill), {}
        for worker, document, number in rows:
            found.setdefault(known[worker], set()).add((document, number))
        return found


def shown_pages(flower, job, state):
    """The same as Flower has it."""
    found = {}
    for task in flower.tasks(taskname="pagemill.recognize", state=state):
        if job in task.shown and task.done:
            found.setdefault(task.worker, []).extend(task.done)
    return found


def test_nothing_is_shown_without_the_login(flower):
    for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"):
        assert flower.get(path, auth=None).status_code == 401, path
        assert flower.get(path, auth=(LOGIN[0], "wrong")).status_code == 401, path
        assert flower.get(path).status_code == 200, path
    # What needs none tells neither documents nor jobs (docs/flower.md).
    assert flower.get("/healthcheck", auth=None).text == "OK"
    assert "doc_" not in flower.get("/metrics", auth=None).text


def test_its_workers_are_those_of_the_database(mill, flower):
    assert len(set(names(mill).values())) == 2
    mill.until(lambda: set(flower.json("/api/workers", refresh="1")) == set(names(mill).values()), "both to answer")


def test_nobody_stops_a_worker_from_there(mill, flower):
    name = next(iter(names(mill).values()))
    for action in (f"worker/shutdown/{name}", f"worker/pool/shrink/{name}", "task/send-task/pagemill.purge"):
        response = flower.post(f"/api/{action}")
        assert response.status_code == 403, action
    assert {row.state for row in mill.workers()} == {"alive"}


def test_what_runs_and_what_was_read_is_what_the_database_says(mill, flower):
    stuck = mill.submit(pdf(5), pdf(3), echo=EchoOptions(seconds={"*": 3600}))
    mill.until(lambda: mill.count(stuck)["running"] == 8, "all pages to be in the engines")
    in_hands = pages_by_worker(mill, "running", stuck)
    mill.until(lambda: as_sets(shown_pages(flower, stuck, "STARTED")) == in_hands, "Flower to show what runs")

    done = mill.submit(*[pdf(n) for n in (1, 2, 9)], echo=EchoOptions(faults={"8": "fatal_error"}))
    assert mill.wait(done).pages.succeeded == 11
    read = pages_by_worker(mill, "succeeded", done)
    [failed] = [page for pages in pages_by_worker(mill, "failed", done).values() for page in pages]

    def settled():
        shown = shown_pages(flower, done, "SUCCESS")
        return sum(map(len, shown.values())) >= 12 and shown

    mill.until(settled, "Flower to show all that was read")
    shown = settled()
    assert sum(map(len, shown.values())) == 12, "every page was read once, and is in one task"
    assert {worker: set(pages) - {failed} for worker, pages in shown.items()} == read
    [told] = [task for task in flower.tasks(state="SUCCESS") if failed in task.done]
    assert "failed 1 (page_render_failed)" in told.result

    opened = [task for task in flower.tasks(taskname="pagemill.split", state="SUCCESS") if done in task.shown]
    assert all(document.id in " ".join(task.shown for task in opened) for document in mill.documents(done))
    lifecycle.cancel(mill.db, stuck)
    mill.until(lambda: not shown_pages(flower, stuck, "STARTED"), "Flower to see them end")


def as_sets(found):
    return {worker: set(pages) for worker, pages in found.items()}


def test_a_database_that_is_away_is_a_failure_with_its_code(mill, flower):
    """Held by one who writes for long: the message comes through Redis, and nothing can be claimed."""
    app = make_app(BrokerSettings(broker_url=mill.broker_url))
    with mill.db.write() as session:
        session.connection()  # and with it the only right to write
        Doorbell(app).ring_splits([DocumentRef(NOTHING, 0)])
        failures = lambda: [t for t in flower.tasks(state="FAILURE") if NOTHING in t.shown]  # noqa: E731
        mill.until(failures, "Flower to show the failure")
    app.close()
    assert {task.exception.partition(":")[0] for task in failures()} == {"database_unavailable"}


def test_it_does_not_start_where_strangers_would_look_on(mill):
    flower = Flower(mill.broker_url, PAGEMILL_FLOWER_AUTH="")
    command = [part if part != HOST else "0.0.0.0" for part in flower._command()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pagemill: invalid_request: at 0.0.0.0 Flower would show everybody's jobs")
    flower.remove()
