"""What the local store spares its neighbours: open files, and waiting for somebody's large one."""

from __future__ import annotations

import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.blobs import NewObject
from jobs.blobs.local import LocalStore

SPARE = 80
"""Files that the process may open beside those it has."""
SOON = 10.0
"""Seconds within which another thread does what nothing holds up."""


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


@pytest.fixture
def few_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = [number for number in range(len(used) + SPARE + 1) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[SPARE], hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_objects_at_once_than_files_may_be_open(store, few_files):
    # 32 pages with 40 figures each were 1,312 open files: EMFILE, tried again for ever.
    store.put_all([NewObject(f"a/{number}", b"%d" % number) for number in range(3 * SPARE)])
    assert [store.get(f"a/{number}") for number in range(3 * SPARE)] == [b"%d" % number for number in range(3 * SPARE)]


def test_a_bad_name_among_them_is_told_before_anything_is_put(store):
    with pytest.raises(Exception, match="key"):
        store.put_all([*(NewObject(f"a/{number}", b"") for number in range(100)), NewObject("../b", b"")])
    assert list(store.list("a/")) == []


def test_nobody_waits_for_the_flush_of_a_large_file(store, monkeypatch):
    # Two gigabytes of an upload held up every page result, and job.json inside its transaction.
    flushing, go, fsync = threading.Event(), threading.Event(), os.fsync

    def hold_up(descriptor):
        if os.fstat(descriptor).st_size > 2**20:
            flushing.set()
            assert go.wait(SOON)
        fsync(descriptor)

    def write():
        with store.writer("uploads/a") as writer:
            for _ in range(9):
                writer.write(bytes(2**17))

    monkeypatch.setattr(os, "fsync", hold_up)
    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(write)
        assert flushing.wait(SOON)
        small = threads.submit(store.put, "a/1", b"small")
        try:
            small.result(SOON / 2)
            assert not large.done()
        finally:
            go.set()
        large.result(SOON)
    assert store.stat("uploads/a").size == 9 * 2**17
