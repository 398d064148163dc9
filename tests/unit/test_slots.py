"""Device slots: no two living workers share one, and a dead one's is free."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import InvalidRequest
from jobs.slots import HANDED, take_slot


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_the_first_free_one():
    first, second = take_slot("host", "cpu", None, "db"), take_slot("host", "cpu", None, "db")
    assert (first.name, second.name) == ("cpu-0", "cpu-1")
    first.release()
    again, third = take_slot("host", "cpu", None, "db"), take_slot("host", "cpu", None, "db")
    assert (again.name, third.name) == ("cpu-0", "cpu-2")
    for slot in (second, again, third):
        slot.release()


def test_hosts_devices_and_installations_are_apart():
    slots = [
        take_slot(*names)
        for names in (("a", "0", None, "x"), ("b", "0", None, "x"), ("a", "0", None, "y"), ("a", "1", None, "x"))
    ]
    assert [slot.name for slot in slots] == ["gpu0-0", "gpu0-0", "gpu0-0", "gpu1-0"]
    assert len({slot.unique for slot in slots}) == 4
    for slot in slots:
        slot.release()


def test_a_named_slot_is_that_one_or_none():
    held = take_slot("host", "cpu", "left", "db")
    assert held.name == "left"
    with pytest.raises(InvalidRequest, match="another worker on this host holds slot 'left'"):
        take_slot("host", "cpu", "left", "db")
    held.release()
    take_slot("host", "cpu", "left", "db").release()


def test_a_name_with_a_slash_stays_in_the_directory(own_directory):
    slot = take_slot("host", "cpu", "../../up", "db")
    assert Path(own_directory, f"pagemill-slots-{os.getuid()}", f"{slot.unique}.lock").is_file()
    assert "/" not in slot.unique
    slot.release()


def test_death_frees_the_slot(own_directory):
    script = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from jobs.slots import take_slot\n"
        "slot = take_slot('host', 'cpu', None, 'db'); print(slot.name, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(own_directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "cpu-0\n"
        other = take_slot("host", "cpu", None, "db")
        assert other.name == "cpu-1"
        child.send_signal(signal.SIGKILL)
        child.wait()
    heir = take_slot("host", "cpu", None, "db")
    assert heir.name == "cpu-0"
    heir.release()
    other.release()


def test_a_lock_that_was_handed_over_is_the_workers_and_stays_its_supervisors(own_directory):
    """The slot is held from before the first worker's start until after the last one's end."""
    slot = take_slot("host", "cpu", None, "db")
    script = (
        "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from jobs.slots import take_slot\n"
        "slot = take_slot('host', 'cpu', 'cpu-0', 'db', os.environ['PAGEMILL_SLOT_LOCK'])\n"
        "print(slot.name, os.get_inheritable(slot.descriptor))"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script, str(own_directory)],
            env=os.environ | {HANDED: str(slot.descriptor)},
            pass_fds=(slot.descriptor,),
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == ("cpu-0 False\n", "")
        with pytest.raises(InvalidRequest, match="holds slot 'cpu-0'"):
            take_slot("host", "cpu", "cpu-0", "db")
    slot.release()


@pytest.mark.parametrize("handed", ["x", "-1", "99999", "0", "9" * 30])
def test_a_descriptor_of_something_else_hands_over_nothing(handed):
    held = take_slot("host", "cpu", "one", "db")
    with pytest.raises(InvalidRequest, match="holds slot 'one'"):
        take_slot("host", "cpu", "one", "db", handed)
    held.release()
    take_slot("host", "cpu", "one", "db", handed).release()
