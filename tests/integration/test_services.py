"""The services the other tests stand on: they survive a restart, hang when frozen, and die with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import valkey

from tests.processes import alive
from tests.services import Postgres, ServiceError, Valkey, wait_until

ROOT = Path(__file__).parents[2]


def test_postgres_keeps_what_was_committed_before_it_was_killed():
    with Postgres() as postgres:
        postgres.create_database("ledger")
        with postgres.connect("ledger") as connection:
            connection.execute("CREATE TABLE page AS SELECT 7 AS number")
        postgres.kill()
        assert not postgres.running
        postgres.restart()
        with postgres.connect("ledger") as connection:
            assert connection.execute("SELECT number FROM page").fetchall() == [(7,)]


def test_frozen_valkey_does_not_answer_until_thawed():
    with Valkey(persistent=True) as server, valkey.Valkey(port=server.port, socket_timeout=0.3) as client:
        client.set("page", "7")
        server.freeze()
        with pytest.raises(valkey.TimeoutError):
            client.get("page")
        server.thaw()
        assert client.get("page") == b"7"
        server.kill()
        with pytest.raises(valkey.ConnectionError):
            client.get("page")
        server.restart()
        assert client.get("page") == b"7"


def test_frozen_postgres_does_not_answer_until_thawed():
    with Postgres() as postgres, postgres.connect() as connection:
        postgres.freeze()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"host=127.0.0.1 port={postgres.port} user=postgres connect_timeout=2")
        postgres.thaw()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_service_that_cannot_start_is_an_error_that_shows_its_log():
    server = Valkey()
    with Valkey() as other:
        server.port = other.port
        with pytest.raises(ServiceError, match="Address already in use"), server:
            pass
    assert not server.directory.exists()


_PARENT = """
import time
from tests.processes import alive
from tests.services import Postgres, SeaweedFS, Valkey
services = [Valkey(), Postgres(), SeaweedFS()]
for service in services:
    service.start()
print(*(service.directory for service in services), *services[2].sockets, flush=True)
print(*(process.pid for service in services for process in service._tree()), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_no_service_outlives_a_killed_test_process():
    with subprocess.Popen([sys.executable, "-c", _PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        leftovers = parent.stdout.readline().split()
        processes = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(processes) > 3
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, processes)), "the services to be gone")
    subprocess.run(["rm", "-rf", *leftovers], check=True)
