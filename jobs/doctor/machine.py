"""This machine, or the container's share of it: disk, shared memory, limits, memory."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from jobs.doctor.disk import disk_of, room, size
from jobs.doctor.findings import Finding, error, ok, skipped, warning
from jobs.doctor.scene import Scene
from jobs.settings import LimitSettings, WorkerSettings

MIB = 1024 * 1024
PIECE = bytes(MIB)
FEW_FILES, SOME_FILES = 256, 1024
"""Open files of a process: a worker with 16 + 8 + 8 threads and a pool of 16 has about 200, an API with 200 clients
more than 500."""
FEW_PROCESSES = 1024
"""Processes and threads of a user: a worker has about 100 threads, vLLM some hundreds."""
SMALL_SHM = 1024 * MIB
"""Docker gives 64 MiB where nobody says otherwise."""
SMALL_MEMLOCK = 64 * MIB
"""NVIDIA's containers for PyTorch ask for no limit at all (their start message); 8 MiB is the kernel's default."""
SHM = Path("/dev/shm")  # noqa: S108 - looked at, nothing is put there
_CGROUP = Path("/sys/fs/cgroup")


def scratch(scene: Scene) -> Iterator[Finding]:
    """Where a worker keeps the files it reads."""
    worker = scene.of(WorkerSettings)
    folder = worker.scratch or Path(tempfile.gettempdir())
    where = "PAGEMILL_SCRATCH" if worker.scratch else str(folder)
    disk = disk_of(folder)
    if disk.read_only:
        yield error("disk-scratch", f"the file system of {folder} is read-only", where=where)
        return
    failure = _cannot_write(folder)
    if failure is not None:
        yield error("disk-scratch", f"nothing can be written to {folder}: {failure}", where=where)
        return
    found = room("disk-scratch", folder, disk, worker.scratch_bytes)
    if disk.kind in ("tmpfs", "ramfs") and found.level == "ok":
        found = warning(
            "disk-scratch", f"{folder} lies in memory ({disk.kind}): what lies there is taken from the pages"
        )
    yield found


def _cannot_write(folder: Path) -> str | None:
    """Why a MiB cannot be written into a file without a name. What is not there yet is made by the worker."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(PIECE)
    except OSError as failure:
        return failure.strerror or str(failure)
    return None


def shm(scene: Scene) -> Iterator[Finding]:
    if not SHM.is_dir():
        yield skipped("machine-shm", "there is no /dev/shm")
        return
    found = os.statvfs(SHM)
    most = found.f_blocks * found.f_frsize
    text = f"{SHM} has {size(most)}"
    if most >= SMALL_SHM:
        yield ok("machine-shm", text)
    elif scene.engine.name == "paddleocr_vl" and scene.engine.vl_backend == "vllm":
        yield warning("machine-shm", text, limit=SMALL_SHM, actual=most)
    else:
        yield ok("machine-shm", f"{text}, and {scene.engine.name} keeps nothing there")


# --- limits


def limits(scene: Scene) -> Iterator[Finding]:
    yield _files()
    yield _processes()
    if scene.on_gpu:
        yield _memlock()
    else:
        yield skipped("machine-memlock", "PAGEMILL_DEVICE is no GPU")


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"a process may open {_limit(soft)} files (hard limit {_limit(hard)})"
    if not _enough(soft, FEW_FILES):
        return error("machine-files", text, limit=FEW_FILES, actual=soft)
    if not _enough(soft, SOME_FILES):
        return warning("machine-files", text, limit=SOME_FILES, actual=soft)
    return ok("machine-files", text)


def _processes() -> Finding:
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    pids = _cgroup_number("pids.max")
    if os.geteuid() == 0:
        soft = resource.RLIM_INFINITY  # the kernel does not count root's
    least = min((value for value in (soft, pids) if value is not None and value >= 0), default=resource.RLIM_INFINITY)
    text = f"{_limit(least)} processes and threads may be started"
    if not _enough(least, FEW_PROCESSES):
        return warning("machine-processes", text, limit=FEW_PROCESSES, actual=least)
    return ok("machine-processes", text)


def _memlock() -> Finding:
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    text = f"{'any amount' if soft == resource.RLIM_INFINITY else size(soft)} of memory may be locked"
    if not _enough(soft, SMALL_MEMLOCK):
        return warning("machine-memlock", text, limit=SMALL_MEMLOCK, actual=soft)
    return ok("machine-memlock", text)


def _enough(limit: int, least: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= least


def _limit(value: int) -> str:
    return "any number of" if value == resource.RLIM_INFINITY else str(value)


def _cgroup_number(name: str) -> int | None:
    """A limit of this container (cgroup 2); None where there is none."""
    try:
        text = (_CGROUP / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


# --- memory


def memory(scene: Scene) -> Iterator[Finding]:
    """What the render processes may take together, if every page took as much as it may."""
    limit = _cgroup_number("memory.max")
    whole = min(int(psutil.virtual_memory().total), limit or 1 << 62)
    processes = scene.engine.render_processes or len(os.sched_getaffinity(0))
    each = scene.of(LimitSettings).render_memory
    need = processes * each
    whose = "this container" if limit is not None and limit == whole else "this machine"
    text = f"{whose} has {size(whole)}; {processes} render processes may take {size(each)} each"
    if need > whole:
        yield warning("machine-memory", text, limit=whole, actual=need)
    else:
        yield ok("machine-memory", text)
