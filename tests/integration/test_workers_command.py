"""`pagemill workers` beside real workers: from the server, and from the database alone."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest

from jobs.options import EchoOptions
from tests.api_server import ApiServer
from tests.documents import pdf
from tests.installation import Installation
from tests.mill import CALM


@pytest.fixture
def mill(sqlite_url, tmp_path, valkey):
    valkey.flush()
    with Installation(tmp_path, sqlite_url, valkey.url_of(2), settings=CALM) as found:
        yield found


def workers(mill, *options, **settings):
    """The command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "workers", *options],
        cwd=mill.root,
        env=mill.environment(**settings),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done
    return done.stdout


def table(text):
    """Of plain output, by head."""
    head, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_who_runs_what_and_why_somebody_does_not(mill):
    direct = ("--direct",)
    with mill.worker(PAGEMILL_SLOT="one", PAGEMILL_ENGINE_CAPACITY="8") as worker:
        job = mill.submit(pdf(3), echo=EchoOptions(seconds={"*": 600}))
        mill.until(lambda: mill.job(job).pages.running == 3, "three pages to be read")
        document = mill.documents(job)[0].id
        row = worker.incarnation()

        [told] = json.loads(workers(mill, *direct, "--json"))
        assert (told["id"], told["slot"], told["engine"], told["state"]) == (row.id, "one", "echo", "alive")
        assert (told["pages_running"], told["capacity"], told["documents"]) == (3, 8, [document])
        assert told["documents_total"] == 1
        assert told["reader"]

        with ApiServer(mill.database_url) as server:
            [told] = table(workers(mill, PAGEMILL_URL=server.url))
            assert (told["worker"], told["state"], told["pages"], told["documents"]) == (
                row.id, "alive", "3/8", document,
            )  # fmt: skip
            with server.client() as http:
                assert http.get("workers", params={"cursor": "nonsense"}).status_code == 400
                worker.crash()
                # Its place is taken by one that cannot start, which leaves a row that says why.
                broken = mill.worker(
                    PAGEMILL_SLOT="one", PAGEMILL_ENGINE="rapidocr", PAGEMILL_RAPIDOCR_LAYOUT="/nowhere.onnx"
                )
                broken.launch()
                mill.until(lambda: not broken.running, "the worker to give up")
                broken.remove()
                pieces = pages_of(http)
        assert [[item["id"] for item in piece["items"]] for piece in pieces] == [[w.id] for w in mill.workers()]

    [told] = table(workers(mill, *direct))
    assert (told["state"], told["engine"], told["pages"]) == ("stopped", "rapidocr", "0/0")
    assert "/nowhere.onnx" in told["why"]
    dead, stopped = table(workers(mill, *direct, "--all"))
    assert (dead["worker"], dead["state"], dead["why"]) == (row.id, "dead", "replaced by a new incarnation")
    assert (stopped["worker"], stopped["why"]) == (told["worker"], told["why"])


def pages_of(http: httpx.Client):
    """The list of workers, one to a piece."""
    pieces, cursor = [], ""
    while cursor is not None:
        pieces.append(http.get("workers", params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json())
        cursor = pieces[-1]["next_cursor"]
    return pieces


def test_nobody(mill):
    assert json.loads(workers(mill, "--direct", "--json")) == []
    assert len(workers(mill, "--direct").splitlines()) == 1
