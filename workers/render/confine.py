"""What a render process does to itself: bounding its memory, giving back what is free, never outliving its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 128 * 2**20
_MAPPED = 32 * 2**20
"""What glibc's own moving threshold ends at: from here on memory comes from the system and goes back to it."""
_OOM_SCORE = "500"
_LOOK_EVERY = 1.0


def data_bytes() -> int | None:
    """Bytes of private writable memory of this process: what RLIMIT_DATA counts. None where the system has no such
    account (macOS); the parent's watch over the resident size is then the only limit."""
    if not sys.platform.startswith("linux"):
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return None


def limit_data(limit: int) -> None:
    """Allocations beyond `limit` bytes of data fail in this process. The soft limit only, so that it can move."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def keep_freed_memory() -> None:
    """Let the C heap keep up to 128 MiB that are freed, for the next page, until `give_memory_back`.

    Every page frees images of 8 MB and the next asks for as many: glibc returned them in between (from 16 MiB on), and
    2,000 page faults for each made a tenth of the CPU a page took.
    """
    configure = getattr(ctypes.CDLL(None), "mallopt", None)
    if configure is not None:
        configure(_M_MMAP_THRESHOLD, _MAPPED)
        configure(_M_TRIM_THRESHOLD, _KEPT)


def give_memory_back() -> None:
    """Return to the system what is free in the C heap, where its allocator can be told to (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def settle_in(parent: int) -> None:
    """Call first in a render process: ignore the group's signals, leave no core file, die with `parent`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # When the machine's memory ends, let the kernel choose this process and not the worker.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    die_with(parent)


def die_with(parent: int) -> None:
    """End this process when `parent` ends, however it ends."""
    # The kernel's promise holds also while C code hangs with the interpreter's lock; the thread is for other systems.
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(1)
