"""`pagemill doctor` beside `pagemill up`, as somebody with a laptop asks."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.command import Place
from tests.processes import free_port


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_healthy_up_is_healthy(place):
    """With nothing set it asked for a Redis on port 6379, which nobody has there, and for a PAGEMILL_SECRET_KEY, and
    ended with 1."""
    with place.started("up", "--no-flower", "--port", str(free_port()), PAGEMILL_ENGINE="echo") as up:
        up.wait_for("worker-0 is ready: echo")
        place.run("submit", place.put_pdf("a.pdf"))
        done = place.run("doctor", "--json")
        found = {one["id"]: one for one in json.loads(done.stdout)["findings"]}
        wrong = {id_ for id_, one in found.items() if one["level"] in ("warning", "error")}
        here = {id_ for id_ in wrong if not id_.startswith(("disk-", "machine-", "store-space", "database-space"))}
        assert here == set(), done.stdout
        assert found["workers-alive"]["found"] == "1 on 1 host"
        assert found["machine-ports"]["found"].endswith("of the API: pagemill")
        assert done.stderr.startswith("this is about the pagemill up of ")
        secret = (place.path / "pagemill-data/secret.key").read_text()
        assert secret not in done.stdout + done.stderr

        own = place.json("doctor", "--only", "config-secret-key", status=3, PAGEMILL_BROKER_URL="redis://127.0.0.1:1")
        assert own["status"] == 3, "who sets something means that, and not what runs here by chance"
    done = place.run("doctor", "--json", "--data", "pagemill-data")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no pagemill up runs on" in done.stderr


def test_nothing_runs_and_nothing_is_set(place):
    done = place.run("doctor", "--only", "redis-reachable", "--json")
    [found] = [one for one in json.loads(done.stdout)["findings"] if one["id"] == "redis-reachable"]
    assert (done.returncode, "`pagemill up` brings one along" in found["do"]) == (1, True)
