"""`pagemill worker --device` and `--devices`: real workers with the echo engine, on CPUs and on cards that a program
named nvidia-smi claims to be there."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from jobs.models import State
from jobs.options import EchoOptions
from tests.acceptance.command import Place, Started
from tests.documents import pdf
from tests.installation import Installation
from tests.processes import wait_until
from tests.unit.test_cli_devices import H200, L4, TWO, install


@pytest.fixture
def mill(tmp_path, valkey):
    valkey.flush()
    with Installation(tmp_path, f"sqlite:///{tmp_path / 'pagemill.db'}", valkey.url_of(1)) as found:
        yield found


@pytest.fixture
def place(mill, tmp_path):
    """Where the command is started, in front of the installation's database. Two cards are in the machine."""
    settings = {name: value for name, value in mill.environment().items() if name.startswith("PAGEMILL_")}
    folder = tmp_path / "bin"
    folder.mkdir()
    install(folder, TWO)
    more = {"PATH": f"{folder}:{os.environ['PATH']}", "PAGEMILL_RENDER_PROCESSES": "1"}
    return Place(tmp_path, settings | more)


@contextmanager
def supervised(mill: Installation, place: Place, devices: str, **settings: str):
    """The command once all its workers serve."""
    count = len(devices.split(","))
    with place.started("worker", "--devices", devices, **settings) as command:
        wait_until(lambda: len(alive(mill)) == count or command.process.poll() is not None, "the workers")
        assert len(alive(mill)) == count, command.output
        yield command


def alive(mill: Installation) -> dict[str, int]:
    """Process ids by slot."""
    return {row.slot: row.pid for row in mill.workers() if row.state == "alive" and psutil.pid_exists(row.pid)}


def eventually(condition: Callable[[], object], command: Started) -> None:
    try:
        wait_until(condition, "it")
    except TimeoutError:
        raise AssertionError(command.output) from None


def slow_job(mill: Installation, pages: int, seconds: float) -> str:
    """A job in whose pages both workers are."""
    job = mill.submit(*[pdf(pages)] * 4, echo=EchoOptions(seconds={"*": seconds}))
    wait_until(lambda: len({page.worker for page in mill.pages(job) if page.state == "running"}) == 2, "both at it")
    return job


def test_who_is_killed_is_started_again_and_sigterm_lets_all_finish(mill, place):
    with supervised(mill, place, "cpu,cpu", PAGEMILL_ENGINE_CAPACITY="8", PAGEMILL_GRACE="600") as command:
        job = slow_job(mill, 4, 3.0)
        before = alive(mill)
        assert set(before) == {"cpu-0", "cpu-1"}
        os.kill(before["cpu-1"], signal.SIGKILL)
        assert f"cpu-1 | started as process {before['cpu-1']}\n" in command.output
        command.wait_for("cpu-1 | ended by SIGKILL; starts again in 1 s\n")
        eventually(lambda: alive(mill).get("cpu-1") not in (None, before["cpu-1"]), command)
        assert alive(mill)["cpu-0"] == before["cpu-0"], "its neighbour goes on"
        assert re.search(r"^cpu-0 \| .* workers\.consumer: worker wrk_\w+ serves ", command.output, re.M)
        assert mill.wait(job).state is State.SUCCEEDED
        assert sum(page.crashes for page in mill.pages(job)) > 0

        job = slow_job(mill, 4, 2.0)
        held = [(page.document_id, page.number) for page in mill.pages(job) if page.state == "running"]
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(60) == 0, command.output
    states = {(page.document_id, page.number): page.state for page in mill.pages(job)}
    assert {states[page] for page in held} == {"succeeded"}
    assert {row.state for row in mill.workers()} <= {"stopped", "dead"}
    assert place.processes() == []


def test_the_heir_of_one_that_was_killed_is_in_its_slot_and_has_its_pages_at_once(mill, place):
    """Also where a lower slot is free by then. Nobody else takes them: with this setting none counts as silent."""
    calm = {"PAGEMILL_HEARTBEAT_STALE": "60000", "PAGEMILL_ENGINE_CAPACITY": "8"}
    with mill.worker(PAGEMILL_QUEUES="deliver", **calm) as other, place.started(
        "worker", "--devices", "cpu,cpu", **calm
    ) as command:  # fmt: skip
        eventually(lambda: set(alive(mill)) == {"cpu-0", "cpu-1", "cpu-2"}, command)
        other.stop()
        job = slow_job(mill, 4, 3.0)
        before = alive(mill)
        old = next(row.id for row in mill.workers() if row.slot == "cpu-2")
        os.kill(before["cpu-2"], signal.SIGKILL)
        command.wait_for("cpu-2 | ended by SIGKILL; starts again in 1 s\n")
        assert mill.wait(job).state is State.SUCCEEDED
        assert sum(page.crashes for page in mill.pages(job)) > 0, "it died with pages"
        assert {row.slot for row in mill.workers() if row.state == "alive"} == {"cpu-1", "cpu-2"}
        [lost] = [row for row in mill.workers() if row.id == old]
        assert (lost.state, lost.detail) == ("dead", "replaced by a new incarnation")


def test_a_second_sigterm_ends_them_at_once(mill, place):
    with supervised(mill, place, "cpu,cpu", PAGEMILL_GRACE="6000") as command:
        slow_job(mill, 40, 3000.0)
        command.process.send_signal(signal.SIGTERM)
        command.wait_for("workers | stopping: ")
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(60) == 128 + signal.SIGTERM
    assert place.processes() == []


def test_a_killed_supervisor_leaves_no_orphan(mill, place):
    with supervised(mill, place, "cpu,cpu") as command:
        slow_job(mill, 40, 3000.0)
        assert len(place.processes()) >= 3
        command.process.kill()
        wait_until(lambda: not place.processes(), "its workers and their processes to be gone")


def test_one_that_cannot_start_is_tried_less_and_less_often_and_the_other_works(mill, place):
    """Somebody else has the place of its card."""
    with (
        mill.worker(PAGEMILL_SLOT="gpu1-0", PAGEMILL_QUEUES="deliver") as holder,
        place.started("worker", "--devices", "cpu,1") as command,
    ):
        says = "gpu1 | ended with exit status 1: pagemill worker: invalid_request: another worker on this host holds"
        command.wait_for(f"{says} slot 'gpu1-0' (PAGEMILL_SLOT); starts again in 1 s\n")
        job = mill.submit(pdf(3))
        assert mill.wait(job).state is State.SUCCEEDED, "by the one on the CPU"
        for delay in (2, 4):
            command.wait_for(f"{says} slot 'gpu1-0' (PAGEMILL_SLOT); starts again in {delay} s\n")
        holder.stop()
        eventually(lambda: set(alive(mill)) == {"cpu-0", "gpu1-0"}, command)
        environment = psutil.Process(alive(mill)["gpu1-0"]).environ()
        assert (environment["CUDA_VISIBLE_DEVICES"], environment["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
        assert psutil.Process(alive(mill)["cpu-0"]).environ()["CUDA_VISIBLE_DEVICES"] == ""
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(60) == 0


def test_a_full_disk_and_a_closed_terminal_end_nobody(mill, place):
    """Its first line that could not be written ended the command, and the kernel all its workers with it."""
    line, terminal = pty.openpty()
    with Path("/dev/full").open("w") as full:
        for stderr in (full, terminal):
            argv = place.command("worker", "--devices", "cpu")
            process = subprocess.Popen(
                argv, cwd=place.path, env=place.environment(), stdout=full, stderr=stderr, start_new_session=True
            )
            try:
                wait_until(lambda p=process: alive(mill) or p.poll() is not None, "the worker")
                assert mill.wait(mill.submit(pdf(1))).state is State.SUCCEEDED
                if stderr is terminal:
                    os.close(terminal)
                    os.close(line)  # who writes there gets EIO from now on
                process.send_signal(signal.SIGHUP)
                assert process.wait(60) == 0
            finally:
                process.kill()
            assert alive(mill) == {}, "it was let finish"


def test_drained_workers_are_let_go_and_the_last_ends_the_command(mill, place):
    from jobs import lifecycle

    with supervised(mill, place, "cpu,cpu") as command:
        first, second = (row.id for row in mill.workers())
        lifecycle.drain(mill.db, first)
        command.wait_for("has drained and is not started again\n")
        assert len(alive(mill)) == 1
        lifecycle.drain(mill.db, second)
        assert command.process.wait(60) == 0, command.output


def test_one_that_has_too_much_memory_is_started_again(mill, place):
    with place.started(
        "worker", "--devices", "cpu", PAGEMILL_WORKER_MEMORY=str(2**26), PAGEMILL_STALL_TIMEOUT="4"
    ) as up:
        up.wait_for("cpu-0 | ended with exit status 75: ")
        up.wait_for("starts again in ")
        eventually(lambda: up.output.count("cpu-0 | ended with exit status 75: ") > 1, up)


def test_one_worker_on_one_card(mill, place):
    """The command becomes the worker: one process, whose environment says so before Python runs."""
    with place.started("worker", "--device", "1") as command:
        eventually(lambda: "gpu1-0" in alive(mill), command)
        assert alive(mill)["gpu1-0"] == command.process.pid
        environment = psutil.Process(command.process.pid).environ()
        assert (environment["CUDA_VISIBLE_DEVICES"], environment["PAGEMILL_DEVICE"]) == ("1", "1")
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(60) == 0


def test_lines_of_json_stay_json(tmp_path):
    from api.cli.supervise import Output

    written: list[str] = []
    out = Output(as_json=True)
    out._write = written.append
    out.say("gpu0", "worker_started", "started: 100 %s")
    out.pass_on("gpu0", '{"message": "m", "page": 3}')
    out.pass_on("gpu0", "Traceback")
    told = json.loads(written[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert told == {
        "level": "info", "logger": "api.cli.supervise", "message": "started: 100 %s", "action": "worker_started",
        "device": "gpu0",
    }  # fmt: skip
    assert json.loads(written[1]) == {"device": "gpu0", "message": "m", "page": 3}
    assert written[2] == "gpu0 | Traceback"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--devices", "0,7"), f"there is no device '7'; there are: {H200}, {L4} (--devices)"),
        (("--device", "GPU-ffff"), f"there is no device 'GPU-ffff'; there are: {H200}, {L4} (--device)"),
        (("--device", "0,1"), "one worker has one device; several are for --devices"),
        (("--device", "all"), "one worker has one device; several are for --devices"),
    ],
)
def test_wrong_devices(place, arguments, says):
    done = place.run("worker", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"pagemill: invalid_request: {says}\n")


def test_other_wrong_usage(place):
    done = place.run("worker", "--devices", "all", "--slot", "mine")
    assert (done.returncode, "goes with neither --device nor --slot" in done.stderr) == (2, True), done
    done = place.run("worker", "--devices", "cpu", PAGEMILL_WORKER_MEMORY="much")
    assert done.returncode == 1
    assert done.stderr.startswith("pagemill: invalid_request: PAGEMILL_WORKER_MEMORY: "), (
        "told once, not by each worker"
    )
    done = place.run("worker", PAGEMILL_DEVICE="5")
    assert (
        done.stderr == f"pagemill: invalid_request: there is no device '5'; there are: {H200}, {L4} (PAGEMILL_DEVICE)\n"
    )
