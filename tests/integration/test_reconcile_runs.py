"""Reconcile beside a busy service, cut off in the middle, without its parts, and as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jobs import deletion, lifecycle
from jobs.blobs.local import LocalStore
from jobs.dispatch import RescueRules
from jobs.errors import StorageUnavailable
from jobs.models import FINAL
from jobs.options import EchoOptions
from jobs.queue import Doorbell, make_app
from jobs.reconcile.parts import Parts, patience
from jobs.reconcile.run import reconcile
from jobs.settings import BrokerSettings, DatabaseSettings, TimerSettings
from jobs.store.database import open_database
from tests import protocol
from tests.documents import pdf
from tests.installation import REPOSITORY, TIME_FACTOR, Installation
from tests.ledger import assert_exact
from tests.mill import CALM
from tests.protocol import Interrupted, change, one
from tests.reconciling import PATIENCE, RULES, Mill, at_rest
from tests.services import Valkey


@pytest.fixture
def database_url(postgres_url):
    """PostgreSQL alone: whole workers take seconds, and the tiers acceptance and chaos run them on SQLite."""
    return postgres_url


@pytest.fixture
def installation(tmp_path, database_url, valkey, seaweedfs) -> Iterator[Installation]:
    """PostgreSQL beside an S3; two workers."""
    settings = seaweedfs.settings(seaweedfs.create_bucket("reconcile"), tmp_path.name)
    store = {
        "PAGEMILL_STORE_URL": settings.store_url,
        "PAGEMILL_S3_ENDPOINT": settings.s3_endpoint,
        "PAGEMILL_S3_ACCESS_KEY": settings.s3_access_key,
        "PAGEMILL_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
    }
    valkey.flush()
    with Installation(tmp_path, database_url, valkey.url_of(2), store, CALM) as found:
        yield found


def parts_of(installation: Installation, **how) -> Parts:
    timers = TimerSettings(time_factor=TIME_FACTOR)
    rules = RescueRules(stale=600.0, ring_expires=6.0, settled=0.5, max_crashes=3)
    bell = Doorbell(make_app(BrokerSettings(broker_url=installation.broker_url)))
    found = Parts(installation.db, installation.blobs, bell, patience(timers), rules)
    return replace(found, **how)


def test_nothing_is_named_beside_a_busy_service(installation):
    """Splits, reads, errors, retries, cancels and deletes, looked at again and again while they happen."""
    with installation.worker(), installation.worker():
        jobs = [
            installation.submit(*[pdf(3)] * 12, echo=EchoOptions(seconds={"*": 0.05})),
            installation.submit(pdf(120), echo=EchoOptions(seconds={"*": 0.02})),
            installation.submit(pdf(30), pdf(5), echo=EchoOptions(faults={"2": "error", "4": "fatal_error"})),
            installation.submit(*[pdf(40)] * 3, echo=EchoOptions(seconds={"*": 0.3})),
            installation.submit(*[pdf(4)] * 8, echo=EchoOptions(seconds={"*": 0.1})),
        ]
        looks = 0
        while not all(installation.job(job).state in FINAL for job in jobs[:3]) or looks < 4:
            looks += 1
            if looks == 2:
                lifecycle.cancel(installation.db, jobs[3])
                deletion.delete(installation.db, installation.blobs, jobs[4])
            if looks == 3 and installation.job(jobs[2]).state in FINAL:
                lifecycle.retry(installation.db, installation.blobs, jobs[2])
            parts = parts_of(installation, deep=looks % 2 == 0)
            assert list(reconcile(parts)) == []
            assert parts.blind == []
            parts.bell.close()
        for job in jobs[:4]:
            installation.wait(job)
        parts = parts_of(installation, deep=True, fix=True)
        assert list(reconcile(parts)) == []
        parts.bell.close()
    assert looks >= 4


def test_a_lost_result_is_read_again_by_the_workers(installation):
    """From the command's fix to a good job, without anybody else's doing."""
    with installation.worker():
        job = installation.submit(pdf(4), pdf(2))
        installation.wait(job)
        document, number, _, attempt = installation.page_rows(job)[2]
        installation.blobs.delete([f"jobs/{job}/{document}/pages/{number}.{attempt}.json"])
        parts = parts_of(installation, fix=True)
        [found] = reconcile(parts)
        assert (found.code, found.where, found.fixed) == ("result_missing", f"{document}/{number}", True)
        installation.wait(job)
        assert list(reconcile(parts)) == []
        parts.bell.close()
    assert installation.page_rows(job)[2] == (document, number, "succeeded", attempt + 1)
    assert_exact(installation.db)


# --- cut off in the middle


class Cut(Exception):
    """The process is gone."""


@pytest.fixture
def mill(db, tmp_path, broker_url) -> Iterator[Mill]:
    bell = Doorbell(make_app(BrokerSettings(broker_url=broker_url)))
    yield at_rest(db, protocol.Noticing(tmp_path / "objects"), bell)
    bell.close()


def spoil_much(mill: Mill) -> None:
    """Differences of every kind of mending: rows, counters, results, files, manifests, orphans."""
    (first, [one_document, _]), (second, [other]), (third, _) = (
        mill.good_job(2, pages=3), mill.good_job(pages=2), mill.good_job()
    )  # fmt: skip
    mill.blobs.delete([f"jobs/{first}/{one_document}/pages/2.1.json", f"jobs/{third}/job.json"])
    mill.blobs.put(f"jobs/{second}/{other}/pages/1.9.json", b"late")
    change(mill.db, "UPDATE document SET succeeded = 0, failed = 2 WHERE id = :d", d=other)
    change(mill.db, "UPDATE job SET state = 'partial' WHERE id = :j", j=third)


def test_a_fix_that_dies_between_any_two_steps_harms_nothing(mill):
    """Cut after the first commit or call to the store, after the second, …; what follows mends the rest."""
    worst = replace(PATIENCE, orphan=0.0)
    for steps in range(1, 40):
        spoil_much(mill)
        if mended_before_the_cut(mill, steps, worst):
            break
        mill.look(worst, fix=True)
        mill.look(worst, fix=True)
        mill.finish()
        mill.look(worst, fix=True)  # files of before, which nobody names any more
        assert mill.look(worst, deep=True) == []
        assert_exact(mill.db)
    assert steps > 8
    mill.finish()
    mill.look(worst, fix=True)


def mended_before_the_cut(mill: Mill, steps: int, worst) -> bool:
    left = [steps]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Cut

    mill.blobs.before = mill.blobs.after = count
    db = Interrupted(mill.db, count)
    try:
        list(reconcile(Parts(db, mill.blobs, mill.bell, worst, RULES, fix=True)))
    except Cut:
        return False
    finally:
        mill.blobs.before = mill.blobs.after = lambda *_: None
    return True


# --- what must not be removed


def test_the_store_of_another_service_is_left_alone(mill, tmp_path, sqlite_store_url):
    """A database that knows none of the store's jobs is most likely the wrong one."""
    mill.good_job(2)
    other = open_database(DatabaseSettings(database_url=sqlite_store_url.replace("store.db", "other.db")))
    other.migrate()
    before = [stat.key for stat in mill.blobs.list("")]
    parts = Parts(other, mill.blobs, mill.bell, replace(PATIENCE, orphan=0.0), RULES, fix=True)
    assert {(d.code, d.fixed) for d in reconcile(parts)} == {("object_orphaned", False), ("upload_unfinished", False)}
    assert "are the two of one service?" in parts.blind[0]
    assert [stat.key for stat in mill.blobs.list("")] == before
    other.dispose()


def test_a_result_that_is_being_recorded_is_no_orphan(mill):
    """The object is stored before its row says so; it may be old when the database was away."""
    _, [document] = mill.submit()
    protocol.split(mill.db, mill.worker, [document], 1)
    claims = protocol.claim(mill.db, mill.worker, document)
    job = one(mill.db, "SELECT job_id FROM document")
    mill.blobs.put(f"jobs/{job}/{document}/pages/1.{claims[0].attempt}.json", b"{}")
    assert mill.look(replace(PATIENCE, orphan=0.0), fix=True) == []
    assert mill.blobs.stat(f"jobs/{job}/{document}/pages/1.1.json") is not None


# --- what happens between two looks


class Meanwhile(LocalStore):
    """A store beside which something happens while it is listed: before the `nth` object is told. `stale`: all of the
    listing was made before, as a page of an S3's is."""

    def __init__(self, root, nth, happens, stale):
        super().__init__(root)
        self.nth, self.happens, self.stale = nth, happens, stale

    def list(self, prefix):
        found = super().list(prefix)
        if self.stale:
            found = iter(list(found))
        for number, stat in enumerate(found, 1):
            if prefix == "jobs/" and number == self.nth:
                self.happens()
            yield stat


def look_meanwhile(mill, tmp_path, nth, happens, stale=True):
    blobs = Meanwhile(tmp_path / "objects", nth, happens, stale)
    parts = Parts(mill.db, blobs, mill.bell, replace(PATIENCE, orphan=0.0), RULES, fix=True)
    return list(reconcile(parts))


def test_a_job_that_is_read_after_the_listing_was_made_misses_nothing(mill, tmp_path):
    mill.good_job()
    _, [document] = mill.submit()
    assert look_meanwhile(mill, tmp_path, 1, lambda: mill.read(document)) == []


def test_a_job_that_is_deleted_during_the_walk_misses_nothing(mill, tmp_path):
    mill.good_job()
    job, _ = mill.good_job(2)
    first_of_it = 1 + next(n for n, stat in enumerate(mill.blobs.list("jobs/")) if job in stat.key)

    def happens():  # its rows are read by then, and its first object is told
        deletion.delete(mill.db, mill.blobs, job)

    assert look_meanwhile(mill, tmp_path, first_of_it + 1, happens, stale=False) == []


def test_an_object_that_is_named_after_the_first_look_stays(mill, tmp_path):
    """An old object under the key of the attempt that is claimed just now: whoever claimed will store it again."""
    _, [document] = mill.submit()
    protocol.split(mill.db, mill.worker, [document], 1)
    job = one(mill.db, "SELECT job_id FROM document")
    mill.blobs.put(f"jobs/{job}/{document}/document.9.md", b"of nobody")
    mill.blobs.put(f"jobs/{job}/{document}/pages/1.1.json", b"of another life")
    found = look_meanwhile(mill, tmp_path, 2, lambda: protocol.claim(mill.db, mill.worker, document))
    assert [(d.code, d.where.rpartition("/")[2], d.fixed) for d in found] == [
        ("object_orphaned", "document.9.md", True)
    ]
    assert mill.blobs.stat(f"jobs/{job}/{document}/pages/1.1.json") is not None


# --- parts that are away


class Away(LocalStore):
    def list(self, prefix):
        raise StorageUnavailable("the object store cannot be reached")


def test_a_part_that_is_away_is_said_and_the_rest_is_looked_at(mill, tmp_path):
    mill.good_job()
    change(mill.db, "UPDATE job SET pages_succeeded = 7")
    with Valkey() as broker:
        bell = Doorbell(make_app(BrokerSettings(broker_url=broker.url)))
    parts = Parts(mill.db, Away(tmp_path / "objects"), bell, PATIENCE, RULES)
    assert [d.code for d in reconcile(parts)] == ["job_totals"]
    assert [sentence.partition(" does")[0] for sentence in parts.blind] == ["the object store", "the broker"]
    change(mill.db, "UPDATE job SET pages_succeeded = 2")
    bell.close()


# --- the command


def command(installation: Installation, *arguments: str, **settings: str):
    return subprocess.run(
        [sys.executable, "-m", "api.cli", "reconcile", *arguments],
        cwd=REPOSITORY, env=installation.environment(**settings), capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_tells_mends_and_says_by_its_status(installation):
    with installation.worker():
        job = installation.submit(pdf(3))
        installation.wait(job)
    clean = command(installation)
    assert (clean.returncode, clean.stdout, clean.stderr) == (0, "", "no differences\n")

    change(installation.db, "UPDATE document SET succeeded = 1")
    told = command(installation, "--json")
    assert told.returncode == 1
    report = json.loads(told.stdout)
    assert report["codes"]["document_counters"]["found"] == 1
    [document] = [d for d in report["differences"] if d["code"] == "document_counters"]
    assert document["expected"] == "total 3, succeeded 3"
    assert document["actual"] == "total 3, succeeded 1"

    plain = command(installation)
    assert plain.stdout.splitlines()[0].split("\t") == ["code", "where", "expected", "actual", "mended"]
    assert plain.stdout.splitlines()[1].startswith(f"document_counters\t{document['where']}\t")
    fixed = command(installation, "--fix", "--json")
    assert (fixed.returncode, json.loads(fixed.stdout)["clean"]) == (0, True)
    assert command(installation).returncode == 0

    blind = command(installation, PAGEMILL_BROKER_URL="redis://127.0.0.1:1/0")
    assert blind.returncode == 2
    assert "not looked at: the broker does not answer" in blind.stderr
    gone = command(installation, "--json", PAGEMILL_DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert gone.returncode == 2
