"""`python nanny.py RESULT SECONDS COMMAND…`: runs a command, and writes what it took to RESULT as JSON.

The CPU time is that of everything that came of the command: orphans are adopted (PR_SET_CHILD_SUBREAPER, Linux), and
the kernel adds up whoever was waited for. What still runs when the command has ended, or when the seconds have passed,
is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main(result: str, limit: str, *command: str) -> int:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    began = time.monotonic()
    process = subprocess.Popen(command)
    signal.signal(signal.SIGALRM, lambda *_: _kill_all())
    signal.alarm(int(limit))
    status = process.wait()
    seconds = time.monotonic() - began
    _kill_all()
    _reap_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {"status": status, "began": began, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}
    Path(result).write_text(json.dumps(found))
    return 0


def _reap_all() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _kill_all() -> None:
    """SIGKILL to every descendant, until there is none left to be found."""
    while pids := _descendants():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def _descendants() -> list[int]:
    """Those that are not dead yet."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(place.name)] = int(parent)
    found, more = set(), {os.getpid()}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - found
        found |= more
    return sorted(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
