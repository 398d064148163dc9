"""The database or the object store goes away in the middle of jobs and comes back: what was acknowledged is there."""

import pytest

from tests.chaos.jobs import SETTINGS, Chaos
from tests.installation import Installation
from tests.ledger import watch
from tests.services import Postgres, SeaweedFS


@pytest.fixture
def postgres():
    with Postgres() as service:
        yield service


@pytest.fixture
def on_postgres(tmp_path, broker, postgres):
    """An installation on a PostgreSQL of its own, to be killed."""
    with Installation(tmp_path, postgres.create_database("chaos"), broker.url, settings=SETTINGS) as mill:
        watch(mill.db)
        with Chaos(mill) as chaos:
            yield chaos


def test_restart_of_postgresql(on_postgres, postgres):
    """Killed, so that every transaction breaks where it is, and recovered from its log."""
    chaos = on_postgres
    chaos.worker()
    chaos.worker()
    chaos.load()
    for share in (0.2, 0.5):
        chaos.progress(share)
        postgres.kill()
        postgres.start()
    chaos.settle()


def test_postgresql_is_read_only_for_a_while(on_postgres, postgres):
    """As after a failover to a standby that is not promoted yet: it answers, and refuses every write."""
    chaos = on_postgres
    worker = chaos.worker()
    chaos.load()
    chaos.progress(0.3)
    read_only(postgres, "on")
    chaos.mill.until(lambda: "no heartbeat: " in worker.output(), "the worker to notice")
    read_only(postgres, "off")
    chaos.settle()
    assert worker.terminate() == 0


def read_only(postgres, value):
    with postgres.connect() as connection:
        connection.execute(f"ALTER DATABASE chaos SET default_transaction_read_only = {value}")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chaos'")


def test_told_to_end_while_nothing_answers(on_postgres, postgres, broker):
    """Neither database nor broker: the grace time holds all the same, and what was begun is begun again later."""
    chaos = on_postgres
    worker = chaos.worker(PAGEMILL_GRACE="10")
    chaos.load()
    chaos.progress(0.3)
    postgres.freeze()
    broker.freeze()
    try:
        assert worker.terminate() == 0
    finally:
        postgres.thaw()
        broker.thaw()
    worker.start()
    chaos.settle()


@pytest.fixture
def store():
    with SeaweedFS() as service:
        yield service


def test_the_object_store_is_away(tmp_path, database_url, broker, store):
    bucket = store.create_bucket("chaos")
    settings = {
        "PAGEMILL_STORE_URL": f"s3://{bucket}",
        "PAGEMILL_S3_ENDPOINT": store.url,
        "PAGEMILL_S3_ACCESS_KEY": store.access_key,
        "PAGEMILL_S3_SECRET_KEY": store.secret_key,
    }
    with Installation(tmp_path, database_url, broker.url, settings, SETTINGS) as mill:
        watch(mill.db)
        with Chaos(mill) as chaos:
            chaos.worker()
            chaos.load()
            chaos.progress(0.3)
            store.kill()
            store.start()
            chaos.settle()
            assert {page.crashes for job in chaos.jobs for page in mill.pages(job)} == {0}
