"""Object stores that are away, full or broken: each way has its own error, and nothing half is ever left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jobs.blobs import BlobMissing, open_store
from jobs.blobs.files import save
from jobs.errors import InvalidRequest, StorageFull, StorageUnavailable
from jobs.settings import BlobSettings
from tests.services import SeaweedFS

ROOT = Path(__file__).parents[2]


def calls(store, path):
    """Every way to need the store, by name."""
    return {
        "put": lambda: store.put("key", b"1"),
        "writer": lambda: write(store, "key", b"1"),
        "get": lambda: store.get("key"),
        "stream": lambda: list(store.stream("key")),
        "download": lambda: store.download("key", path),
        "stat": lambda: store.stat("key"),
        "list": lambda: list(store.list("")),
        "delete": lambda: store.delete(["key"]),
        "delete_prefix": lambda: store.delete_prefix("jobs/"),
        "check": store.check,
    }


def write(store, key, data):
    with store.writer(key) as writer:
        writer.write(data)


def write_in_parts(store, key, between):
    with store.writer(key) as writer:
        writer.write(bytes(9 << 20))
        between()
        writer.write(bytes(9 << 20))


def assert_away(store, path):
    # At once, because each call to S3 spends seconds on its three attempts.
    with ThreadPoolExecutor(12) as threads:
        running = {name: threads.submit(call) for name, call in calls(store, path).items()}
        errors = {name: type(call.exception()) for name, call in running.items()}
    assert errors == dict.fromkeys(running, StorageUnavailable)
    assert not path.exists()


# --- a directory


@pytest.fixture
def local(tmp_path):
    return open_store(BlobSettings(store_url=f"file:{tmp_path / 'objects'}"))


@pytest.mark.parametrize("remount", [False, True])
def test_a_directory_that_is_gone_is_away_and_nothing_is_missing(local, tmp_path, remount):
    # The disk was unmounted: writing would fill the disk beneath, and no object may be reported as missing.
    local.put("key", b"1")
    root = tmp_path / "objects"
    root.rename(tmp_path / "elsewhere")
    if remount:
        root.mkdir()
    assert_away(local, tmp_path / "copy")
    assert list(root.iterdir()) == [] if remount else not root.exists()
    if remount:
        root.rmdir()
    (tmp_path / "elsewhere").rename(root)
    local.check()
    assert local.get("key") == b"1"


def test_an_object_cannot_be_a_folder(local):
    local.put("a/b", b"1")
    for key in ("a", "a/b/c", "a/b/c/d"):
        with pytest.raises(InvalidRequest):
            local.put(key, b"2")
    assert [found.key for found in local.list("")] == ["a/b"]


def test_a_directory_lists_in_the_order_of_whole_keys(local):
    # "-" and "." come before "/": folder by folder, as the names stand on the disk, would be another order.
    keys = ["a", "b-", "b.c", "b/1", "b/c-d", "b/c/d", "b0"]
    for key in keys:
        local.put(key, b"1")
    assert [found.key for found in local.list("")] == keys
    assert [found.key for found in local.list("b/")] == keys[3:6]


def test_deleting_leaves_no_empty_directories(local, tmp_path):
    for key in ("jobs/1/a/b/c", "jobs/1/d", "jobs/2/a"):
        local.put(key, b"1")
    (tmp_path / "objects/jobs/1/x/y").mkdir(parents=True)  # a deletion was killed here
    local.delete_prefix("jobs/1/")
    local.delete(["jobs/2/a"])
    assert [path.name for path in (tmp_path / "objects").iterdir()] == [".pagemill-tmp"]


_PRUNE = """
import os, sys
print("pruning", flush=True)
while os.getppid() == int(sys.argv[2]):
    for folder in ("a/b", "a"):
        try:
            os.rmdir(os.path.join(sys.argv[1], folder))
        except OSError:
            pass
"""


def test_a_new_folder_may_be_pruned_before_the_object_is_in_it(local, tmp_path):
    # Another process deletes the last object of a folder and prunes it, just after this one made it for a new object.
    command = [sys.executable, "-c", _PRUNE, str(tmp_path / "objects"), str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as pruning:
        try:
            assert pruning.stdout.readline() == b"pruning\n"
            for number in range(120):
                local.put(f"a/b/{number}", b"1")
                local.delete([f"a/b/{number}"])
        finally:
            pruning.kill()
    assert list(local.list("")) == []


def test_opening_sweeps_what_killed_writers_left_a_day_ago(local, tmp_path):
    folder = tmp_path / "objects/.pagemill-tmp"
    with local.writer("live") as writer:
        writer.write(b"1")
        (folder / "old").write_bytes(b"half")
        yesterday = time.time() - 25 * 3600
        os.utime(folder / "old", (yesterday, yesterday))
        open_store(BlobSettings(store_url=f"file:{tmp_path / 'objects'}"))
        assert not (folder / "old").exists()
    assert local.get("live") == b"1"


_FULL = """
import sys
from jobs.blobs import open_store
from jobs.errors import StorageFull
from jobs.settings import BlobSettings

store = open_store(BlobSettings(store_url="file:" + sys.argv[1]))
store.put("small", b"small")

def stream():
    with store.writer("large") as writer:
        for _ in range(64):
            writer.write(bytes(1 << 16))

for write in (lambda: store.put("large", bytes(4 << 20)), stream):
    try:
        write()
    except StorageFull as error:
        print(error)
assert [found.key for found in store.list("")] == ["small"]
assert store.get("small") == b"small"
"""


def test_a_file_larger_than_allowed_is_a_full_store(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", _FULL, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("is full: File too large") == 2
    assert list((tmp_path / ".pagemill-tmp").iterdir()) == []


# Health goes not ready before the last byte is taken.
_NEARLY_FULL = """
import os
from pathlib import Path

root = Path(sys.argv[1])
print(os.listdir(root / ".pagemill-tmp"))
store.check()
disk = os.statvfs(root)
(root / "ballast").write_bytes(bytes(disk.f_bavail * disk.f_frsize - 20480))
try:
    store.check()
except StorageFull as error:
    print(error)
"""

_UNSHARE = ["unshare", "--mount", "--map-root-user"]


@pytest.mark.skipif(
    subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode != 0,
    reason="this machine lets nobody mount a small disk",
)
def test_a_full_disk_is_a_full_store(tmp_path):
    mounted = 'mount -t tmpfs -o size=2m pagemill "$1" && exec "$2" -c "$3" "$1"'
    run = subprocess.run(
        [*_UNSHARE, "sh", "-c", mounted, "sh", tmp_path, sys.executable, _FULL + _NEARLY_FULL],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    *full, left, nearly = run.stdout.splitlines()
    assert len(full) == 2
    assert all("is full: No space left on device" in line for line in full)
    assert left == "[]"
    assert "bytes left" in nearly


def test_a_download_that_breaks_leaves_no_file(tmp_path):
    def pieces():
        yield b"first"
        raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        save(pieces(), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(StorageUnavailable, match="No such file"):
        save(iter([b"1"]), tmp_path / "absent" / "copy")
    (tmp_path / "full").symlink_to("/dev/full")  # never the device itself: what fails is deleted
    with pytest.raises(StorageFull, match="No space left"):
        save([b"1"], tmp_path / "full")


# --- S3


@pytest.fixture(scope="module")
def breakable():
    """A SeaweedFS of our own to kill and freeze."""
    with SeaweedFS() as service:
        service.create_bucket("blobs")
        yield service


def test_s3_that_hangs_or_is_gone_is_away(breakable, tmp_path):
    store = open_store(breakable.settings("blobs", s3_timeout=0.3))
    store.put("key", b"1")
    breakable.freeze()
    with pytest.raises(StorageUnavailable, match="Timeout"):
        store.get("key")
    breakable.thaw()
    with pytest.raises(StorageUnavailable):
        write_in_parts(store, "large", between=breakable.kill)
    assert_away(store, tmp_path / "copy")
    breakable.restart()
    assert store.get("key") == b"1"
    assert [found.key for found in store.list("")] == ["key"]
    store.close()


def test_a_wrong_bucket_or_key_is_not_a_missing_object(seaweedfs, tmp_path):
    seaweedfs.create_bucket("blobs")
    for wrong in (seaweedfs.settings("nowhere"), seaweedfs.settings("blobs", s3_secret_key="wrong")):
        store = open_store(wrong)
        for name in ("put", "get", "list", "check"):
            with pytest.raises(StorageUnavailable) as refused:
                calls(store, tmp_path / "copy")[name]()
            assert "wrong" not in str(refused.value)
        store.close()


class _Answers(BaseHTTPRequestHandler):
    """An S3 whose objects are named by its answer: `503-SlowDown`, or `200-OK-1000`, that many bytes announced."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.removeprefix("/blobs/").partition("?")[0]
        self.server.asked.append((self.command, name))
        status, code, *announced = name.split("-")
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(int(status))
        self.send_header("Content-Length", announced[0] if announced else str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - names of http.server

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    """The server and a store in it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        settings = BlobSettings(store_url="s3://blobs", s3_endpoint=endpoint, s3_access_key="a", s3_secret_key="b")
        store = open_store(settings)
        yield server, store
        store.close()
        server.shutdown()
        thread.join()


ANSWERS = {
    "507-InsufficientStorage": StorageFull,
    "400-QuotaExceeded": StorageFull,
    "507-XMinioStorageFull": StorageFull,
    "503-SlowDown": StorageUnavailable,
    "500-InternalError": StorageUnavailable,
    "403-AccessDenied": StorageUnavailable,
    "404-NoSuchBucket": StorageUnavailable,
}


def test_answers_of_s3_by_type(answering):
    server, store = answering
    with ThreadPoolExecutor(len(ANSWERS) * 2) as threads:  # at once: what is tried again waits for seconds
        puts = {name: threads.submit(store.put, name, b"1") for name in ANSWERS}
        gets = {name: threads.submit(store.get, name) for name in ANSWERS}
    for calls in (puts, gets):
        assert {name: type(call.exception()) for name, call in calls.items()} == ANSWERS
        for name, call in calls.items():
            assert name.partition("-")[2] in str(call.exception())
    assert server.asked.count(("PUT", "503-SlowDown")) == 3, "three attempts, no more"
    assert server.asked.count(("PUT", "403-AccessDenied")) == 1


def test_an_absent_object_is_missing(answering):
    _, store = answering
    with pytest.raises(BlobMissing):
        store.get("404-NoSuchKey")


def test_an_object_that_ends_early_is_an_error_and_never_short(answering, tmp_path):
    _, store = answering
    for call in (
        lambda: store.get("200-OK-1000000"),
        lambda: list(store.stream("200-OK-1000000")),
        lambda: store.download("200-OK-1000000", tmp_path / "copy"),
    ):
        with pytest.raises(StorageUnavailable):
            call()
    assert not (tmp_path / "copy").exists()
