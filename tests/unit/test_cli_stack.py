"""Child processes: their logs, their deaths, their ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import orjson
import psutil
import pytest

from api.cli import embedded
from api.cli import stack as stack_module
from api.cli.stack import Child, Command, Signals, Stack, end_leftovers
from tests.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]


def command(tmp_path: Path, code: str, name: str = "child", grace: float = 20.0) -> Command:
    return Command(name, [sys.executable, "-u", "-c", code], dict(os.environ), tmp_path / f"{name}.log", grace=grace)


def stop(stack: Stack, *last: Child) -> None:
    stack.stop(last, lambda: False)


def test_a_dead_child_is_told_with_its_last_words_and_started_again(tmp_path):
    stack = Stack()
    child = stack.start(command(tmp_path, "print('first'); print('no model here'); raise SystemExit(3)"))
    dead: list[tuple[Child, int]] = []
    wait_until(lambda: dead or dead.extend(stack.watch()), "the death to be seen")
    assert stack.describe(*dead[0]) == "child ended with exit status 3: no model here"
    wait_until(lambda: stack.watch() or child.starts == 2, "the second start")
    stop(stack)
    assert not child.running


def test_restarts_wait_longer_each_time(tmp_path):
    child = Child(command(tmp_path, "raise SystemExit(1)"), backoff_max=3.0)
    delays = []
    for _ in range(4):
        child.start()
        wait_until(lambda: child.died() is not None, "the death")
        delays.append(child.delay)
    assert delays == [1.0, 2.0, 3.0, 3.0]


def test_one_that_could_not_start_did_not_run_well_however_long_it_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_module, "_STEADY", -1.0)  # every life is long
    failing = Child(command(tmp_path, "raise SystemExit(1)"))
    dying = Child(command(tmp_path, "raise SystemExit(70)", "dying"))
    delays = []
    for child in (failing, failing, dying, dying):
        child.start()
        wait_until(lambda child=child: child.died() is not None, "the death")
        delays.append(child.delay)
    assert delays == [1.0, 2.0, 0.0, 0.0]


def test_who_ends_as_it_should_is_not_started_again(tmp_path):
    stack = Stack()
    child = stack.start(replace(command(tmp_path, "raise SystemExit(0)"), final=frozenset({0})))
    wait_until(stack.watch, "the end")
    assert (child.restart_at, child.running) == (None, False)
    assert stack.watch() == []


def piped(tmp_path: Path, code: str) -> Child:
    return Child(replace(command(tmp_path, code), log=None))


def test_lines_of_a_pipe_are_whole_and_last_words_are_heard(tmp_path):
    child = piped(tmp_path, "import sys; print('one'); sys.stdout.write('tw'); sys.stdout.flush(); input()")
    child.start()
    lines: list[str] = []
    wait_until(lambda: lines.extend(child.output()) or lines, "the first line")
    wait_until(lambda: lines.extend(child.output()) or child.died() is not None, "the end: nobody answers input()")
    lines += child.output()
    assert lines[:2] == ["one", "twTraceback (most recent call last):"]
    assert lines[-1] == child.last_lines(1)[0] == "EOFError: EOF when reading a line"
    assert child.output() == []


def test_a_pipe_that_is_never_silent_holds_nobody_up(tmp_path):
    child = piped(tmp_path, "while True: print('x' * 1000)")
    child.start()
    for _ in range(3):
        wait_until(child.output, "some of it")
    child.kill()


def test_the_end_has_an_order(tmp_path):
    """The broker ends last: workers that drain still need it."""
    log = tmp_path / "order"
    code = """
import signal, sys, time
def end(*_):
    open({log!r}, "a").write({name!r} + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready")
while True: time.sleep(0.1)
"""
    stack = Stack()
    broker = stack.start(command(tmp_path, code.format(log=str(log), name="broker"), "broker"))
    worker = stack.start(command(tmp_path, code.format(log=str(log), name="worker"), "worker"))
    for child in (broker, worker):
        wait_until(child.last_lines, "both to be ready")
    stop(stack, broker)
    assert log.read_text() == "worker broker "


def test_who_does_not_end_in_time_is_killed_with_its_children(tmp_path):
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid)
time.sleep(600)
"""
    stack = Stack()
    child = stack.start(command(tmp_path, code, grace=0.3))
    wait_until(child.last_lines, "the grandchild")
    grandchild = int(child.last_lines()[0])
    stop(stack)
    assert not child.running
    wait_until(lambda: is_gone(grandchild), "the grandchild to be gone")


def test_a_second_signal_kills_at_once(tmp_path):
    stack = Stack()
    child = stack.start(
        command(
            tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)", grace=600
        )
    )
    wait_until(child.last_lines, "the child")
    stack.stop([], lambda: True)
    assert not child.running


def test_the_log_of_the_run_before_is_kept(tmp_path):
    (tmp_path / "child.log").write_text("before\n")
    stack = Stack()
    child = stack.start(command(tmp_path, "print('now')"))
    wait_until(child.last_lines, "the log")
    stop(stack)
    assert (tmp_path / "child.log.1").read_text() == "before\n"
    assert child.last_lines() == ["now"]


def test_leftovers_of_a_killed_command_are_ended_and_strangers_are_not(tmp_path):
    leftover = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        started = psutil.Process(leftover.pid).create_time()
        rows = [
            {"pid": leftover.pid, "started": started},
            {"pid": stranger.pid, "started": started - 3600},  # the number was used again
            {"pid": 2**22 + 1, "started": started},
        ]
        record = tmp_path / "children.json"
        record.write_bytes(orjson.dumps(rows))
        assert end_leftovers(record) == 1
        assert is_gone(leftover.pid)
        assert stranger.poll() is None
    finally:
        for process in (leftover, stranger):
            process.kill()
            process.wait()


def test_a_damaged_or_missing_record_is_no_obstacle(tmp_path):
    assert end_leftovers(tmp_path / "children.json") == 0
    (tmp_path / "children.json").write_bytes(b"[{")
    assert end_leftovers(tmp_path / "children.json") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_children_die_with_a_parent_that_is_killed(tmp_path):
    code = f"""
import os, sys, time
from pathlib import Path
from api.cli.stack import Command, Stack
child = Stack().start(Command("child", [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ),
                              Path({str(tmp_path / "log")!r})))
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    wait_until(lambda: is_gone(child), "the child to be gone")


def test_signals_are_noted_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with Signals() as signals:
        assert not signals.stopped
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: signals.stopped, "the signal")
        assert not signals.hurried
        assert signals.exit_code == 130
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: signals.hurried, "the second signal")
    assert signal.getsignal(signal.SIGINT) is before


def test_nohup_stays_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0)  # a handler would run at the next instruction
            assert not signals.stopped
    finally:
        signal.signal(signal.SIGHUP, before)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(("given", "expected"), [("9464", "9466"), ("0", "0"), (None, None)])
def test_a_worker_beside_the_api_server_has_a_port_for_metrics_of_its_own(tmp_path, given, expected):
    env = {} if given is None else {"PAGEMILL_METRICS_PORT": given}
    command = embedded.worker(1, env, "slot", tmp_path, tmp_path)
    assert command.env.get("PAGEMILL_METRICS_PORT") == expected
