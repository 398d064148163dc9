"""Large files and a Redis that hangs: what the server holds and whom it lets wait. Figures: docs/load.md."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from jobs import keys
from jobs.models import KeyLimits, Scope
from tests.api_server import PDF, ApiServer, files
from tests.bench import big_upload
from tests.services import Valkey

MIB = 1 << 20


@pytest.fixture(scope="module", params=["directory", "s3"])
def keeper(request, tmp_path_factory):
    """A server on each kind of store."""
    store = {}
    if request.param == "s3":
        seaweedfs = request.getfixturevalue("seaweedfs")
        store = seaweedfs.settings(seaweedfs.create_bucket("load"), "api").model_dump(exclude_defaults=True)
        store["s3_secret_key"] = seaweedfs.secret_key
    server = ApiServer(f"sqlite:///{tmp_path_factory.mktemp('load') / 'pagemill.db'}", **store)
    database = server.database()
    database.migrate()
    database.dispose()
    with server:
        yield server


@pytest.mark.parametrize("way", ["multipart", "raw", "put"])
def test_a_large_file_is_not_held(keeper, way):
    with keeper.client() as http:
        before, most, _ = big_upload.upload(keeper, http, way, 64 * MIB)
    assert most < big_upload.GOAL
    assert most - before < 48 * MIB, "two parts of 8 MiB, and what the first request needs"


def test_a_frozen_redis_keeps_nobody_waiting(tmp_path):
    """Limited keys are counted in Redis: their requests go on, and the first one that is not answered spares the others
    for a while."""
    with Valkey() as redis:
        server = ApiServer(f"sqlite:///{tmp_path / 'pagemill.db'}", auth="keys", broker_url=redis.url)
        database = server.database()
        database.migrate()
        _, secret = keys.create(database, "limited", [Scope.SUBMIT, Scope.READ], KeyLimits(requests_per_second=5000))
        database.dispose()
        with server, server.client(headers={"Authorization": f"Bearer {secret}"}) as http:
            with ThreadPoolExecutor(16) as threads:
                list(threads.map(lambda _: submitted(http), range(32)))  # threads and connections are there
            process = psutil.Process(server.pid)
            count = process.num_threads()
            redis.freeze()
            with ThreadPoolExecutor(16) as threads:
                assert {*threads.map(lambda _: submitted(http), range(64))} == {(202, 200)}
            assert process.num_threads() <= count + 4, "none is left behind"
            waiting = [c for c in process.net_connections("tcp") if c.raddr and c.raddr.port == redis.port]
            assert len(waiting) <= 16, "nor a connection for each request"
            redis.thaw()
            assert submitted(http) == (202, 200)


def submitted(http):
    """Statuses of a submit and of a look at its job."""
    made = http.post("jobs", files=files(PDF))
    return made.status_code, http.get(f"jobs/{made.json()['id']}").status_code
