"""Processes that wait for a latch: until it opens, not at all afterwards, and for no parent that died."""

import os
import subprocess
import sys

import pytest

from jobs import latch

WAITS = """
import os, sys
from jobs import latch
print("here", flush=True)
latch.wait(os.environ.get(latch.VARIABLE))
print("through", flush=True)
"""
PARENT = """
import os, subprocess, sys
from jobs import latch
one = latch.Latch()
number = str(one.descriptor)
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=os.environ | {latch.VARIABLE: number},
                         pass_fds=(one.descriptor,))
sys.stdin.read(1)
os._exit(1)
"""


@pytest.fixture
def closed_latch():
    one = latch.Latch()
    yield one
    one.close()


def start(descriptor: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WAITS],
        env=os.environ | {latch.VARIABLE: str(descriptor)},
        pass_fds=(descriptor,),
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    return process.communicate(timeout=30)[0].split()


def test_several_wait_and_go_on_together(closed_latch):
    waiting = [start(closed_latch.descriptor) for _ in range(2)]
    for process in waiting:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
    closed_latch.open()
    assert [said(process) for process in waiting] == [["through"]] * 2


def test_who_comes_later_finds_it_open(closed_latch):
    closed_latch.open()
    assert said(start(closed_latch.descriptor)) == ["here", "through"]


def test_where_there_is_none_nobody_waits():
    latch.wait(None)


def test_nobody_waits_for_a_parent_that_died():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "here\n"
    assert said(parent)[-1:] == ["through"]
    assert parent.returncode == 1
