"""A process of vLLM's that ends with who started it, and a stopped one too."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.installation import REPOSITORY
from tests.processes import alive, wait_until

PROGRAM = """
import multiprocessing, os, time
from workers.engines.paddleocr_vl.backends.orphans import die_with_parent

def core():
    die_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    die_with_parent()
    multiprocessing.get_context("spawn").Process(target=core).start()
    time.sleep(600)
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_it_dies_with_a_parent_that_was_killed(tmp_path, stopped):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        core = psutil.Process(int(parent.stdout.readline()))
        if stopped:
            core.send_signal(signal.SIGSTOP)
        parent.kill()
    wait_until(lambda: not alive(core), "the process to end with its parent")
