"""`pagemill prioritize, pause, resume, drain`: the real command against a real server."""

from __future__ import annotations

import pytest

from tests.acceptance.command import Place
from tests.api_server import ApiServer
from tests.protocol import register, submit


@pytest.fixture
def server(sqlite_url):
    with ApiServer(sqlite_url) as server:
        yield server


@pytest.fixture
def db(server):
    database = server.database()
    database.migrate()
    yield database
    database.dispose()


@pytest.fixture
def place(tmp_path, server):
    return Place(tmp_path, {"PAGEMILL_URL": server.url})


def test_a_job_is_put_before_others(place, db):
    job, _ = submit(db)
    assert place.json("prioritize", job, "interactive")["priority"] == "interactive"
    assert place.json("status", job)["priority"] == "interactive"
    wrong = place.run("prioritize", job, "soon")
    assert wrong.returncode == 2


def test_jobs_are_paused_and_resumed(place, db):
    paused = place.run("pause")
    assert (paused.returncode, paused.stdout[:18]) == (0, "- is paused since ")
    assert place.run("pause", "inbox").stdout.splitlines()[1].startswith("inbox is paused since ")
    assert place.run("resume").returncode == 0
    assert len(place.run("pause", "--list").stdout.splitlines()) == 1
    again = place.run("resume")
    assert again.returncode == 1
    assert "'-' is not paused" in again.stderr


def test_a_worker_is_asked_to_end(place, db):
    worker = register(db)
    assert place.run("drain", worker).stdout == f"{worker} on host ends after 0 pages\n"
    unknown = place.run("drain", worker[:-1] + ("0" if worker[-1] != "0" else "1"))
    assert unknown.returncode == 1
    assert "there is no worker" in unknown.stderr
