"""A database that nobody has migrated: every part says so in a line, and what to do."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.command import Place

SAYS = "invalid_request: the database has no schema yet: pagemill db upgrade (PAGEMILL_DATABASE_URL)"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("without_schema")
    settings = {"PAGEMILL_DATABASE_URL": url, "PAGEMILL_STORE_URL": f"file:{tmp_path / 'objects'}"}
    return Place(tmp_path, settings | {"PAGEMILL_BROKER_URL": "redis://127.0.0.1:1/0", "PAGEMILL_ENGINE": "echo"})


def test_every_part_says_it(place):
    worker = place.run("worker")
    assert (worker.returncode, worker.stderr) == (1, f"pagemill worker: {SAYS}\n")
    workers = place.run("workers", "--direct")
    assert (workers.returncode, workers.stderr) == (1, f"pagemill: {SAYS}\n")
    reconcile = place.run("reconcile", "--json")
    assert reconcile.returncode == 2
    assert json.loads(reconcile.stdout)["not_looked_at"] == [SAYS]
    assert "Traceback" not in reconcile.stderr
