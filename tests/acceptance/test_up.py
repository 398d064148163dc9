"""`pagemill up` and the commands against a server: everything real, with the echo engine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import zipfile
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.command import Place, Started, page_states
from tests.processes import free_port, wait_until

READY = "worker-0 is ready: echo"


@pytest.fixture
def place(tmp_path):
    """A server's place. Its port is free, and the commands know it."""
    port = free_port()
    settings = {"PAGEMILL_ENGINE": "echo", "PAGEMILL_TIME_FACTOR": "10", "PAGEMILL_URL": f"http://127.0.0.1:{port}"}
    return Place(tmp_path, settings | {"PAGEMILL_API_PORT": str(port)})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One running server for the tests that do not harm it."""
    port = free_port()
    settings = {"PAGEMILL_ENGINE": "echo", "PAGEMILL_TIME_FACTOR": "10", "PAGEMILL_URL": f"http://127.0.0.1:{port}"}
    place = Place(tmp_path_factory.mktemp("server"), settings | {"PAGEMILL_API_PORT": str(port)})
    with place.started("up", "--no-flower") as up:
        up.wait_for(READY)
        yield place


def seconds(each: float) -> tuple[str, str]:
    """Options: every page takes so long."""
    return "--options", json.dumps({"echo": {"seconds": {"*": each}}})


def wait_for_pages(place: Place, count: int) -> None:
    database = place.path / "pagemill-data/pagemill.db"
    wait_until(lambda: page_states(database).get("running") == count, "the pages to be in the engine")


def test_submit_watch_fetch_and_ctrl_c(place):
    place.put_pdf("in/a.pdf", pages=3)
    place.put_pdf("in/sub/b.pdf", width=300)
    with place.started("up") as up:
        up.wait_for(READY)
        address = re.search(r"OpenAPI +(http://\S+)", up.output)
        assert address is not None, up.output
        assert httpx.get(address[1], trust_env=False).json()["info"]["title"] == "pagemill"
        flower = re.search(r"Flower +(http://127.0.0.1:\d+)  \(login (\w+), password (\S+)\)", up.output)
        assert flower is not None, up.output
        assert httpx.get(f"{flower[1]}/workers", trust_env=False).status_code == 401
        wait_until(lambda: flower_workers(*flower.groups()), "Flower to see the worker")

        submitted = place.run("submit", "in", "--metadata", "customer=17", "--priority", "interactive")
        job = submitted.stdout.strip()
        assert re.fullmatch(r"job_[0-9a-f]{32}", job), submitted
        done = place.json("status", job, "--watch")
        assert (done["state"], done["metadata"], done["priority"]) == ("succeeded", {"customer": "17"}, "interactive")
        assert done["pages"]["succeeded"] == 4
        assert "succeeded" in place.run("status", job).stdout

        fetched = place.run("fetch", job, "-o", "out")
        assert fetched.returncode == 0, fetched
        assert (place.path / "out/a.pdf.md").read_text().split() == ["page", "1", "page", "2", "page", "3"]
        assert json.loads((place.path / "out/sub/b.pdf.json").read_bytes())["state"] == "succeeded"
        plain = place.run("fetch", job, "-o", "plain", "--format", "text")
        assert plain.returncode == 0, plain
        assert (place.path / "plain/a.pdf.txt").exists()

        again = place.run("up")
        assert again.returncode == 1
        assert again.stderr.startswith("pagemill: invalid_request: another pagemill up (process ")

        assert up.interrupt() == 0
        assert "Traceback" not in up.output
    assert place.processes() == []


def flower_workers(address: str, name: str, password: str) -> list[object]:
    """Those that call themselves as the row says: engine, slot and host."""
    response = httpx.get(f"{address}/workers", params={"json": "1"}, auth=(name, password), trust_env=False)
    return [row for row in response.json()["data"] if re.fullmatch(r"echo-up-\w{8}-0@.+", row["hostname"])]


def test_every_reading_command_gives_one_json_document(server):
    server.put_pdf("a.pdf", pages=2)
    (server.path / "empty.pdf").write_bytes(b"")
    job = server.json("submit", "a.pdf", "empty.pdf", "--watch", status=1)
    assert job["state"] == "partial"
    assert job["id"] in [found["id"] for found in server.json("jobs", "--state", "partial")]
    assert server.json("jobs", "--state", "queued") == []
    assert server.json("cancel", job["id"])["state"] == "partial"  # it has ended: nothing to cancel
    assert server.json("retry", job["id"], "--watch", status=1)["state"] == "partial"
    assert server.json("retry", "--code", "engine_error") == []
    assert "--code" in server.run("retry").stderr
    assert "empty.pdf: empty_file" in server.run("status", job["id"]).stdout


def test_cancel_and_retry_say_when_there_was_nothing_to_do(server):
    server.put_pdf("in/b.pdf")
    (server.path / "empty.pdf").write_bytes(b"")
    good = server.json("submit", "in/b.pdf", "--watch")["id"]
    mixed = server.json("submit", "in/b.pdf", "empty.pdf", "--watch", status=1)["id"]
    for arguments, said in (
        (("cancel", good), "there was nothing to cancel: the job had ended (succeeded)\n"),
        (("retry", good), "there was nothing to retry: nothing in the job failed\n"),
        (
            ("retry", mixed),
            "there was nothing to retry: what failed was refused when it was submitted; submit it again\n",
        ),
        (
            ("retry", mixed, "--code", "page_timeout"),
            "there was nothing to retry: nothing of what was chosen failed, or it was refused when it was submitted\n",
        ),
        (("retry", "--code", "page_timeout"), "0 jobs of which something had failed with page_timeout\n"),
    ):
        done = server.run(*arguments)
        assert (done.returncode, done.stderr) == (0, said)
    slow = server.json("submit", "in/b.pdf", *seconds(60))["id"]
    retried = server.run("retry", slow)
    assert re.fullmatch(
        r"there was nothing to retry: nothing in the job has failed; it is (queued|running)\n", retried.stderr
    )
    canceled = server.run("cancel", slow)
    assert (canceled.returncode, canceled.stderr) == (0, "")
    assert server.run("retry", slow).stderr.endswith("the job was canceled; submit its documents again\n")


def test_up_takes_jobs_for_its_own_engine_only(server):
    server.put_pdf("in/b.pdf")
    refused = server.run("submit", "in/b.pdf", "--engine", "rapidocr")
    assert refused.returncode == 1
    assert refused.stderr == (
        "pagemill: invalid_request: there is no engine 'rapidocr' here; offered: echo (options.engine)\n"
    )


def test_fetch_writes_what_there_is_and_tells_the_rest(server):
    server.put_pdf("in/b.pdf", pages=2)
    (server.path / "in/empty.pdf").write_bytes(b"")
    job = server.run("submit", "in").stdout.strip()
    early = server.run("fetch", f"job_{'0' * 32}")
    assert (early.returncode, early.stdout) == (1, "")
    server.run("status", job, "--watch")
    part = server.run("fetch", job, "-o", "out")
    assert part.returncode == 1
    assert part.stderr == "failed: empty.pdf: empty_file: The file is empty\n"
    assert sorted(path.name for path in (server.path / "out").iterdir()) == ["b.pdf.json", "b.pdf.md"]
    assert server.run("fetch", job, "-o", "zip", "--format", "zip").returncode == 0
    assert zipfile.is_zipfile(server.path / f"zip/{job}.zip")
    sole = server.run("submit", "in/b.pdf", "--watch").stdout.split()[0]
    assert server.run("fetch", sole, "-o", "-").stdout.split() == ["page", "1", "page", "2"]


def test_fetch_covers_no_file_that_says_something_else(server):
    server.put_pdf("in/b.pdf")
    job = server.run("submit", "in/b.pdf", "--watch").stdout.split()[0]
    fetch = ("fetch", job, "-o", "mine", "--format", "markdown")
    mine = server.path / "mine/b.pdf.md"
    mine.parent.mkdir()
    mine.write_text("my own notes")
    refused = server.run(*fetch)
    assert refused.returncode == 1
    assert refused.stderr.startswith("failed: b.pdf: output_forbidden: ")
    assert [(path.name, path.read_text()) for path in mine.parent.iterdir()] == [(mine.name, "my own notes")]
    for again in ((*fetch, "--force"), fetch):
        assert server.run(*again).returncode == 0
        assert mine.read_text().split() == ["page", "1"]


def test_several_documents_on_standard_output(server):
    server.put_pdf("several/a.pdf", width=310)
    (server.path / "several/b--.pdf").write_bytes(b"")
    server.put_pdf("several/c--.pdf", width=320)
    job = server.run("submit", "several").stdout.strip()
    server.run("status", job, "--watch")
    for wanted in ((), ("--format", "markdown"), ("--format", "text")):
        done = server.run("fetch", job, "-o", "-", *wanted)
        assert done.stdout == "<!-- a.pdf -->\n\npage 1\n\n<!-- c- -.pdf -->\n\npage 1\n"
        assert (done.returncode, done.stderr) == (1, "failed: b--.pdf: empty_file: The file is empty\n")
    listed = server.run("fetch", job, "-o", "-", "--format", "json")
    assert [document["name"] for document in json.loads(listed.stdout)["documents"]] == ["a.pdf", "b--.pdf", "c--.pdf"]


def test_jobs_for_programs_are_columns_with_tabs(server):
    server.put_pdf("in/b.pdf", pages=2)
    job = server.run("submit", "in/b.pdf", "--watch").stdout.split()[0]
    head, first, *_ = (line.split("\t") for line in server.run("jobs", COLUMNS="40").stdout.splitlines())
    assert dict(zip(head, first, strict=True)) | {"created": ""} == {
        "job": job, "state": "succeeded", "docs": "1/1", "pages": "2/2", "created": "", "engine": "echo",
    }  # fmt: skip


def test_names_of_others_stay_below_out(server):
    """A name comes from whoever submitted the file, and may be anything."""
    body = server.put_pdf("c.pdf").read_bytes()
    files = [("file", (name, body)) for name in ("../../evil.pdf", "/etc/evil.pdf", "c.pdf", "c.pdf")]
    answer = httpx.post(f"{server.settings['PAGEMILL_URL']}/v1/jobs", files=files, trust_env=False)
    assert answer.status_code == 202
    job = answer.json()["id"]
    server.run("status", job, "--watch")
    before = set(server.path.parent.rglob("*.md"))
    assert server.run("fetch", job, "-o", "below/out", "--format", "markdown").returncode == 0
    out = server.path / "below/out"
    written = {path.relative_to(out).as_posix() for path in set(server.path.parent.rglob("*.md")) - before}
    assert written == {"evil.pdf.md", "etc/evil.pdf.md", "c.pdf.md", "c-2.pdf.md"}


def test_errors_of_the_server_are_one_line(server):
    (server.path / "bad.pdf").write_text("no document")
    for arguments, code in (
        (("status", f"job_{'0' * 32}"), "not_found"),
        (("status", "nonsense"), "not_found"),
        (("submit", "bad.pdf"), "unsupported_type"),
        (("submit", "missing.pdf"), "invalid_request"),
    ):
        done = server.run(*arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert re.fullmatch(rf"pagemill: {code}: .+\n", done.stderr), done


def test_a_password_is_never_at_rest_in_the_clear(server):
    server.put_pdf("p.pdf")
    job = server.json("submit", "p.pdf", "--password", "hunter2-secret", "--watch")
    assert job["state"] == "succeeded"
    for path in (server.path / "pagemill-data").rglob("*"):
        if path.is_file():
            assert b"hunter2-secret" not in path.read_bytes(), path


def test_without_a_server_the_command_says_so(place):
    done = place.run("jobs")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"pagemill: server_unreachable: http://127.0.0.1:\d+: .+\n", done.stderr), done


def test_a_busy_port_is_told(place):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = place.run("up", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"pagemill: invalid_request: port {port} is in use by another program (--port)\n"
    assert place.processes() == []


def test_each_process_has_a_port_for_metrics_and_the_banner_says_which(place):
    first = free_port((0, 1, 2))
    with place.started("up", "--no-flower", "--workers", "2", PAGEMILL_METRICS_PORT=str(first)) as up:
        for index in range(2):
            up.wait_for(f"worker-{index} is ready")
        told = re.findall(r"(http://127\.0\.0\.1:(\d+)/metrics)  (\S+)", up.output)
        assert [(name, int(port)) for _, port, name in told] == [
            ("api", first), ("worker-0", first + 1), ("worker-1", first + 2)
        ]  # fmt: skip
        texts = [httpx.get(address, trust_env=False).text for address, _, _ in told]
    assert ["pagemill_http_" in text for text in texts] == [True, False, False]
    assert ["pagemill_engine_seconds_total" in text for text in texts] == [False, True, True]


def test_ports_for_metrics_that_cannot_be_are_told_before_anything_starts(place):
    says = "pagemill: invalid_request: "
    done = place.run("up", PAGEMILL_METRICS_PORT="94a")
    assert (done.returncode, done.stderr.startswith(f"{says}PAGEMILL_METRICS_PORT: ")) == (1, True), done
    done = place.run("up", "--workers", "3", PAGEMILL_METRICS_PORT="65534")
    assert f"{says}4 processes take the ports 65534 to 65537, and the last is 65535" in done.stderr
    first = free_port((0, 1))
    port = first + 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = place.run("up", PAGEMILL_METRICS_PORT=str(first))
    assert f"{says}worker-0 cannot serve metrics on port {port} of 127.0.0.1: another program has it" in done.stderr
    assert place.processes() == []


def test_a_data_folder_that_no_database_url_can_name_is_refused(place):
    """What follows a `?` is no path for SQLite: the database would lie outside of its folder, for all to read."""
    done = place.run("up", "--data", "data?1/pagemill", "--no-flower")
    assert (done.returncode, done.stdout) == (1, ""), done
    assert re.fullmatch(r"pagemill: invalid_request: .+\(.+data\?1/pagemill.*\)\n", done.stderr), done
    assert not (place.path / "data").exists()
    assert place.processes() == []


def test_ctrl_c_drains_also_when_nobody_reads_what_is_said(place):
    """`pagemill up | tee log`: Ctrl-C ends the reader first."""
    place.put_pdf("a.pdf", pages=4)
    with place.started("up", "--no-flower", PAGEMILL_TIME_FACTOR="1", reader=["head", "-c", "1"]) as up:
        wait_until(lambda: place.run("submit", "a.pdf", *seconds(3)).returncode == 0, "the server", 120)
        wait_for_pages(place, 4)
        assert up.interrupt() == 0
    assert page_states(place.path / "pagemill-data/pagemill.db") == {"succeeded": 4}


def test_ctrl_c_drains_what_is_running(place):
    """The pages in the engine are finished before the worker goes."""
    place.put_pdf("a.pdf", pages=4)
    with place.started("up", "--no-flower", PAGEMILL_TIME_FACTOR="1") as up:
        up.wait_for(READY)
        place.json("submit", "a.pdf", *seconds(3))
        wait_for_pages(place, 4)
        assert up.interrupt() == 0
    assert page_states(place.path / "pagemill-data/pagemill.db") == {"succeeded": 4}


def test_kill_9_of_the_command_alone(place):
    place.put_pdf("a.pdf", pages=4)
    with place.started("up", "--no-flower") as up:
        up.wait_for(READY)
        job = submit_and_wait_for_pages(place)
        up.process.kill()
        wait_until(lambda: not place.processes(), "the children to be gone")
    finish_next_time(place, job)


def test_kill_9_of_the_whole_tree(place):
    place.put_pdf("a.pdf", pages=4)
    with place.started("up", "--no-flower") as up:
        up.wait_for(READY)
        job = submit_and_wait_for_pages(place)
        for process in place.processes():
            process.kill()
        wait_until(lambda: not place.processes(), "everything to be gone")
    finish_next_time(place, job)


def submit_and_wait_for_pages(place: Place) -> str:
    job: str = place.json("submit", "a.pdf", *seconds(3))["id"]
    wait_for_pages(place, 4)
    return job


def finish_next_time(place: Place, job: str) -> None:
    with place.started("up", "--no-flower", log="log2") as up:
        up.wait_for(READY)
        done = place.json("status", job, "--watch")
        assert (done["state"], done["pages"]["succeeded"]) == ("succeeded", 4)
        assert up.interrupt() == 0
    assert place.processes() == []


@pytest.mark.parametrize("victim", ["workers", "valkey-server", "api"])
def test_a_child_that_is_killed_is_started_again_and_no_page_is_lost(place, victim):
    place.put_pdf("a.pdf", pages=4)
    with place.started("up", "--no-flower") as up:
        up.wait_for(READY)
        job = submit_and_wait_for_pages(place)
        name = {"workers": "worker-0", "valkey-server": "valkey", "api": "api"}[victim]
        main_process(place, victim, up).kill()
        up.wait_for(f"{name} ended by SIGKILL; starts again in 1 s")
        done = place.json("status", job, "--watch") if victim != "api" else watch_through_restart(place, job)
        assert (done["state"], done["pages"]["succeeded"]) == ("succeeded", 4)
        assert up.interrupt() == 0


def main_process(place: Place, victim: str, up: Started) -> psutil.Process:
    """The direct child of `up` that runs this part."""

    def runs(process: psutil.Process) -> bool:
        return any(Path(word.split(" ")[0]).name == victim for word in process.cmdline() if word)

    [found] = [process for process in place.processes() if process.ppid() == up.process.pid and runs(process)]
    return found


def watch_through_restart(place: Place, job: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}

    def ended() -> bool:
        status = place.run("status", job, "--json")
        if status.returncode == 0:
            found.update(json.loads(status.stdout))
        return found.get("finished_at") is not None

    wait_until(ended, "the job to end")
    return found


def test_a_worker_that_cannot_start_is_told_with_its_reason(place):
    with place.started("up", "--no-flower", PAGEMILL_SCRATCH_BYTES="1") as up:
        up.wait_for("PAGEMILL_SCRATCH_BYTES")
        assert re.search(r"worker-0 ended with exit status 1: .*PAGEMILL_SCRATCH_BYTES.*; starts again in", up.output)
        assert up.interrupt() == 0


def test_two_places_beside_each_other(place, tmp_path):
    """Ports that are not asked for give way; nothing is shared."""
    settings = {"PAGEMILL_ENGINE": "echo", "PAGEMILL_TIME_FACTOR": "10"}
    addresses = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = Place(tmp_path / "one", settings), Place(tmp_path / "two", settings)
    with one.started("up") as first:
        first.wait_for("Ctrl-C ends it.")
        with two.started("up") as second:
            second.wait_for("Ctrl-C ends it.")
            for up in (first, second):
                found = set(re.findall(r"http://127.0.0.1:\d+", up.output))
                assert len(found) == 2  # API and Flower
                addresses += found
            assert second.interrupt() == 0
        assert first.interrupt() == 0
    assert len(set(addresses)) == 4


def test_settings_in_the_environment_win(place):
    url = f"sqlite:///{place.path}/elsewhere.db"
    with place.started("up", "--no-flower", PAGEMILL_DATABASE_URL=url) as up:
        up.wait_for(READY)
        assert up.interrupt() == 0
    assert (place.path / "elsewhere.db").exists()
    assert not (place.path / "pagemill-data/pagemill.db").exists()
    secret = place.path / "pagemill-data/secret.key"
    assert secret.stat().st_mode & 0o777 == 0o600


def test_damaged_files_of_valkey_are_no_obstacle(place):
    """The broker is a doorbell: what is in it can be made anew from the database."""
    with place.started("up", "--no-flower") as up:
        up.wait_for(READY)
        assert up.interrupt() == 0
    for path in (place.path / "pagemill-data/valkey/appendonlydir").iterdir():
        path.write_bytes(b"nonsense\n" * 10)
    with place.started("up", "--no-flower", log="log2") as up:
        up.wait_for(READY)
        assert "trying again with an empty one" in up.output
        assert up.interrupt() == 0


def test_db_upgrade_and_sigterm_of_the_api(place):
    url = f"sqlite:///{place.path}/pagemill.db"
    assert place.run("db", "upgrade", PAGEMILL_DATABASE_URL=url).stdout == "the database is up to date\n"
    assert Path(place.path / "pagemill.db").exists()
    with place.started("api", PAGEMILL_DATABASE_URL=url) as api:
        api.wait_for("listening on http://127.0.0.1:")
        assert place.json("jobs") == []
        os.kill(api.process.pid, signal.SIGTERM)
        assert api.process.wait(20) == 0


def test_worker_takes_the_place_of_the_command_and_drains(place, broker_url):
    url = f"sqlite:///{place.path}/pagemill.db"
    place.run("db", "upgrade", PAGEMILL_DATABASE_URL=url)
    settings = {"PAGEMILL_DATABASE_URL": url, "PAGEMILL_BROKER_URL": broker_url, "PAGEMILL_ENGINE": "rapidocr"}
    with place.started("worker", "--engine", "echo", "--slot", "mine", **settings) as worker:
        worker.wait_for("ready.")
        assert psutil.Process(worker.process.pid).cmdline()[-2:] == ["-m", "workers"]
        second = place.run("worker", "--engine", "echo", "--slot", "mine", **settings)
        assert second.returncode == 1
        assert "slot 'mine'" in second.stderr
        worker.process.terminate()
        assert worker.process.wait(60) == 0
