"""What one worker's work must not do to other work, and two workers to each other."""

from __future__ import annotations

import pytest

from jobs import lifecycle
from jobs.options import EchoOptions
from jobs.store import reading
from tests.documents import pdf
from tests.installation import Installation, ledger_errors
from tests.processes import wait_until


@pytest.fixture
def database_url(postgres_url):
    """PostgreSQL alone: whole workers take seconds, and the tiers acceptance and chaos run them on SQLite."""
    return postgres_url


@pytest.fixture
def installation(tmp_path, database_url, broker_url):
    with Installation(tmp_path, database_url, broker_url) as made:
        yield made


def test_slow_pages_do_not_stop_splitting(installation):
    """Every thread used to end up waiting for slow pages; a new document was then not even opened for that long."""
    with installation.worker(PAGEMILL_ENGINE_CAPACITY="8"):
        slow = installation.submit(*[pdf(40)] * 2, echo=EchoOptions(seconds={"*": 3600.0}))
        wait_until(lambda: installation.count(slow)["running"] >= 8, "the engine to be full")
        quick = installation.submit(pdf(1), priority="interactive")

        wait_until(lambda: all(d.sealed for d in documents(installation, quick)), "the new document to be split")

        assert installation.count(slow)["succeeded"] == 0
        lifecycle.cancel(installation.db, slow)
        assert installation.wait(quick).state == "succeeded"


def test_two_workers_that_take_each_other_for_the_same_slot_part(installation, tmp_path):
    """Containers that share a host name but not /tmp, where slots are locked: they used to declare each other dead for
    ever, until every page had crashed too often."""
    same = {"PAGEMILL_HOST": "shared", "PAGEMILL_ENGINE_CAPACITY": "8"}
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with installation.worker(**same, TMPDIR=str(first)), installation.worker(**same, TMPDIR=str(second)):
        wait_until(lambda: len(slots(installation)) == 2, "two slots")
        job = installation.submit(pdf(30), echo=EchoOptions(seconds={"*": 0.5}))

        assert installation.wait(job).state == "succeeded"

        assert ledger_errors(installation, job) == []
        assert len(slots(installation)) == 2


def documents(installation, job):
    with installation.db.read() as session:
        return reading.list_documents(session, job, limit=10)


def slots(installation):
    with installation.db.read() as session:
        return {worker.slot for worker in reading.list_workers(session) if worker.state == "alive"}
