"""Results that are used again, through real workers and the real server: SQLite beside a directory, PostgreSQL beside
an S3."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from api.client import Client
from jobs import deletion, lifecycle
from jobs.blobs import figure_key
from jobs.dispatch import RescueRules
from jobs.models import FINAL, State
from jobs.queue import Doorbell, make_app
from jobs.reconcile.parts import Parts, patience
from jobs.reconcile.run import reconcile
from jobs.settings import BrokerSettings, TimerSettings
from tests.api_server import ApiServer
from tests.documents import pdf
from tests.installation import SECRET, TIME_FACTOR, Installation
from tests.mill import CALM
from tests.processes import wait_until
from tests.soundness import unsound

FIGURE = "page-0002-figure-1.jpg"


@pytest.fixture
def database_url(postgres_url):
    """PostgreSQL alone: whole workers take seconds, and the tiers acceptance and chaos run them on SQLite."""
    return postgres_url


@pytest.fixture
def installation(tmp_path, database_url, valkey, seaweedfs) -> Iterator[Installation]:
    """PostgreSQL beside an S3."""
    settings = seaweedfs.settings(seaweedfs.create_bucket("reuse"), tmp_path.name)
    store = {
        "PAGEMILL_STORE_URL": settings.store_url,
        "PAGEMILL_S3_ENDPOINT": settings.s3_endpoint,
        "PAGEMILL_S3_ACCESS_KEY": settings.s3_access_key,
        "PAGEMILL_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
    }
    valkey.flush()
    with Installation(tmp_path, database_url, valkey.url_of(3), store, CALM | {"PAGEMILL_CACHE": "use"}) as found:
        yield found


@pytest.fixture
def server(installation):
    settings = {"store_url": f"file:{installation.root / 'objects'}"}
    settings |= {name.removeprefix("PAGEMILL_").lower(): value for name, value in installation.store.items()}
    with ApiServer(
        installation.database_url, broker_url=installation.broker_url, secret_key=SECRET, **settings
    ) as found:
        yield found


def cached(installation: Installation, job: str) -> list[bool]:
    return [document.cached for document in installation.documents(job)]


def ended(installation: Installation, *jobs: str) -> None:
    for job in jobs:
        assert installation.wait(job).state is State.SUCCEEDED
        assert unsound(installation, job) == []


def differences(installation: Installation) -> list[Any]:
    rules = RescueRules(stale=600.0, ring_expires=6.0, settled=0.5, max_crashes=3)
    bell = Doorbell(make_app(BrokerSettings(broker_url=installation.broker_url)))
    timers = patience(TimerSettings(time_factor=TIME_FACTOR))
    try:
        return list(reconcile(Parts(installation.db, installation.blobs, bell, timers, rules, deep=True)))
    finally:
        bell.close()


def everything(client: Client, job: str) -> dict[str, Any]:
    """All that the API tells of a job of one document, in every form; what must differ is named by its place."""
    [document] = client.documents(job)
    found: dict[str, Any] = {"pages": [(p.number, p.state) for p in client.pages(job, document.id)]}
    found["results"] = [client.page(job, document.id, number).model_dump() for number, _ in found["pages"]]
    found["entries"] = [entry.model_dump() for entry in client.finished_pages(job, document.id)]
    found["figure"] = client.figure(job, document.id, FIGURE)
    for form in ("markdown", "json", "text", "zip"):
        with client.result(job, document.id, format=form) as chunks:
            found[form] = b"".join(chunks)
    with client.result(job, format="zip") as chunks:
        archive = zipfile.ZipFile(io.BytesIO(b"".join(chunks)))
    found["zip"] = sorted(zipfile.ZipFile(io.BytesIO(found["zip"])).namelist())
    found["job zip"] = sorted(archive.namelist())
    found["json"] = json.loads(found["json"])
    assert (found["json"].pop("id"), found["json"].pop("job_id")) == (document.id, job)
    assert found["json"]["source"].pop("name") == document.name
    assert found["json"].pop("created_at").startswith(f"{document.created_at:%Y-%m-%dT%H:%M:%S}")
    assert document.name in archive.namelist()[-1]
    del found["job zip"], found["zip"]
    return found | {"counts": document.pages, "source_pages": document.source_pages, "files": len(archive.namelist())}


def test_everything_that_can_be_read_of_a_read_document_can_be_read_of_a_given_one(installation, server):
    with installation.worker(), Client(server.url) as client:
        first = submit(server, pdf(3), name="first.pdf")
        ended(installation, first)
        [document] = installation.documents(first)
        attempt = installation.pages(first)[1].attempt
        installation.blobs.put(figure_key(first, document.id, 2, attempt, FIGURE), b"\xff\xd8figure", "image/jpeg")
        second = submit(server, pdf(3), name="second.pdf")
        ended(installation, second)
        assert (cached(installation, first), cached(installation, second)) == ([False], [True])
        before = everything(client, first)
        assert everything(client, second) == before
        assert differences(installation) == []
        client.delete(first)
        wait_until(lambda: not list(installation.blobs.list(f"jobs/{first}/")), "the purge")
        assert everything(client, second) == before
        third = submit(server, pdf(3), cache="bypass")
        ended(installation, third)
        assert cached(installation, third) == [False]
        assert differences(installation) == []


def submit(server: ApiServer, data: bytes, **query: str) -> str:
    with server.client() as http:
        answer = http.post("jobs", params=query, content=data, headers={"Content-Type": "application/pdf"})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def test_other_values_of_cache_are_refused(installation, server):
    with server.client() as http:
        answer = http.post("jobs", params={"cache": "often"}, content=pdf(1))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_large_and_small_known_and_new_documents_in_one_job(installation):
    with installation.worker():
        first = installation.submit(pdf(40), pdf(2), pdf(1))
        ended(installation, first)
        second = installation.submit(pdf(2), pdf(3), pdf(40), *[pdf(1)] * 20)
        ended(installation, second)
        assert cached(installation, second) == [True, False, True] + [True] * 20
        assert differences(installation) == []


def test_a_worker_that_reads_in_another_way_gives_no_result_of_before(installation):
    """Here by a setting, as well as by another version of the engine or another model."""
    with installation.worker() as worker:
        first = installation.submit(pdf(2))
        ended(installation, first)
        worker.terminate()
    with installation.worker(PAGEMILL_MAX_PAGE_PIXELS="20000"):
        second, third = (installation.submit(pdf(2)) for _ in range(2))
        ended(installation, second, third)
        fourth = installation.submit(pdf(2))
        ended(installation, fourth)
    assert [cached(installation, job)[0] for job in (second, fourth)] == [False, True]


def test_originals_deleted_and_workers_killed_while_results_are_given(installation):
    """Whatever happens, each document ends whole: read, or given what still could be given."""
    with installation.worker(PAGEMILL_SLOT="a", PAGEMILL_HEARTBEAT_STALE="20"):
        first = installation.submit(pdf(30))
        ended(installation, first)
        victim = installation.worker(PAGEMILL_SLOT="b", PAGEMILL_HEARTBEAT_STALE="20").start()
        jobs = [first]
        for turn in range(6):
            jobs.append(installation.submit(*[pdf(30)] * 4))
            deletion.delete(installation.db, installation.blobs, jobs[turn])
            if turn in (2, 4):
                for child in victim.crash():
                    child.kill()
                victim.start()
        ended(installation, jobs[-1])
        installation.until(lambda: all(state(installation, job) for job in jobs), "every job to end or to be gone")
        victim.kill()
        assert differences(installation) == []


def state(installation: Installation, job: str) -> bool:
    """Whether it has ended, or is deleted and purged."""
    with installation.db.read() as session:
        row = session.get(lifecycle.submitting.Job, job)
    return row.purged_at is not None or (row.deleted_at is None and row.state in FINAL)
