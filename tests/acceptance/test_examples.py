"""The examples of docs/examples, run as they stand against a real server and worker that ask for a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import keys
from jobs.models import Scope
from tests.api_server import ApiServer
from tests.documents import pdf
from tests.installation import Installation
from tests.mill import CALM

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
RUN: set[str] = set()


@pytest.fixture(scope="module", params=["folder", "s3"])
def environment(request, tmp_path_factory, valkey, seaweedfs):
    root = tmp_path_factory.mktemp("examples")
    store = {"PAGEMILL_STORE_URL": f"file:{root / 'objects'}"}
    if request.param == "s3":
        seaweedfs.create_bucket("examples")
        store = {
            "PAGEMILL_STORE_URL": "s3://examples/",
            "PAGEMILL_S3_ENDPOINT": seaweedfs.url,
            "PAGEMILL_S3_ACCESS_KEY": seaweedfs.access_key,
            "PAGEMILL_S3_SECRET_KEY": seaweedfs.secret_key,
        }
    url = f"sqlite:///{root / 'pagemill.db'}"
    with Installation(root, url, valkey.url_of(6), store, CALM) as mill, mill.worker():
        server = ApiServer(
            url, auth="keys", **{name.removeprefix("PAGEMILL_").lower(): value for name, value in store.items()}
        )
        with server:
            _, secret = keys.create(mill.db, "examples", [Scope.SUBMIT, Scope.READ])
            clean = {name: value for name, value in os.environ.items() if not name.startswith("PAGEMILL_")}
            yield clean | {"PAGEMILL_URL": server.url, "PAGEMILL_API_KEY": secret, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def run(environment, tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf(2, "words of page {n}"))

    def run(name, *arguments, status=0, stdin=None, **more):
        RUN.add(name)
        program = sys.executable if name.endswith(".py") else "sh"
        done = subprocess.run(
            [program, str(EXAMPLES / name), *arguments], cwd=tmp_path, env=environment | more, input=stdin,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == status, done
        return done.stdout if status == 0 else done.stderr

    return run


def test_submit_and_wait(run):
    assert run("submit.sh", "a.pdf").split() == ["page", "1", "page", "2"]


def test_a_large_file_then_follow_it(run):
    job = json.loads(run("large_file.sh", "a.pdf"))
    assert (job["state"], job["pages"]["succeeded"]) == ("succeeded", 2)
    events = run("follow.sh", job["id"])
    assert "event: end" in events
    assert job["id"] in events


def test_a_manifest(run):
    lines = ['{"options":{"metadata":{"a":1}}}', '{"url":"https://example.invalid/a.pdf"}', "no line"]
    job = json.loads(run("manifest.sh", stdin="\n".join(lines)))
    assert (job["metadata"], job["sealed"]) == ({"a": 1}, False)


def test_plain_python(run, tmp_path):
    (tmp_path / "b.txt").write_text("no document")
    told = run("plain.py", "a.pdf", "b.txt")
    assert "page 1" in told
    assert "--- b.txt: failed\nunsupported_type" in told


def test_typed_python(run):
    assert run("typed.py", "a.pdf").split() == ["page", "1", "page", "2"]


def test_errors_are_told(run):
    assert "unauthorized" in run("submit.sh", "a.pdf", status=22, PAGEMILL_API_KEY="pm_wrong")
    run("typed.py", "a.pdf", status=1, PAGEMILL_API_KEY="pm_wrong")


def test_the_command_takes_files_and_places_elsewhere_together(environment, tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf(1))

    def submit(*places):
        command = [sys.executable, "-m", "api.cli", "submit", "--json", *places]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    elsewhere, key = "https://example.invalid/b.pdf", "--idempotency-key=x"
    assert json.loads(submit("a.pdf", elsewhere).stdout)["documents"]["total"] == 2
    once, again = (json.loads(submit(elsewhere, key).stdout)["id"] for _ in range(2))
    assert once == again
    for wrong, told in (((elsewhere, "a.pdf", key), "files alone"), (("s3://",), "names no bucket")):
        refused = submit(*wrong)
        assert refused.returncode != 0
        assert told in refused.stderr


def test_all_examples_were_run():
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == RUN
