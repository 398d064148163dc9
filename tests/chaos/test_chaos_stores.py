"""The database or the object store goes away in the middle of jobs and comes back: what was acknowledged is there."""

import pytest

from tests.chaos.jobs import SETTINGS, Chaos
from tests.installation import Installation
from tests.ledger import watch
from tests.services import Postgres, SeaweedFS


def test_restart_of_postgresql(tmp_path, broker):
    """Killed, so that every transaction breaks where it is, and recovered from its log."""
    with (
        Postgres() as postgres,
        Installation(tmp_path, postgres.create_database("chaos"), broker.url, settings=SETTINGS) as mill,
    ):
        watch(mill.db)
        with Chaos(mill) as chaos:
            chaos.worker()
            chaos.worker()
            chaos.load()
            for share in (0.2, 0.5):
                chaos.progress(share)
                postgres.kill()
                postgres.start()
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
            for share in (0.1, 0.5):
                chaos.progress(share)
                store.kill()
                store.start()
            chaos.settle()
            assert {page.crashes for job in chaos.jobs for page in mill.pages(job)} == {0}
