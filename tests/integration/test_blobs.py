"""One suite for every object store: what a local directory promises, S3 (SeaweedFS) promises too."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from jobs.blobs import BlobMissing, BlobStore, open_store
from jobs.errors import InvalidRequest
from jobs.settings import BlobSettings
from tests.processes import wait_until
from tests.services import SeaweedFS

ROOT = Path(__file__).parents[2]
BUCKET = "blobs"
PART = 8 * 1024 * 1024

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ground:
    """A store, how another process opens it, and a look behind its back."""

    store: BlobStore
    settings: BlobSettings
    directory: Path | None = None
    seaweedfs: SeaweedFS | None = None

    def leftovers(self) -> list[str]:
        """Traces of objects that were never finished."""
        if self.directory is not None:
            return [path.name for path in (self.directory / ".pagemill-tmp").iterdir()]
        assert self.seaweedfs is not None
        prefix = self.settings.store_url.removeprefix(f"s3://{BUCKET}/")
        uploads = self.seaweedfs.client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
        return [upload["Key"] for upload in uploads.get("Uploads", [])]

    def keys(self, prefix: str = "") -> list[str]:
        return [found.key for found in self.store.list(prefix)]

    def environment(self) -> dict[str, str]:
        """For a process of its own."""
        given = self.settings.model_dump(exclude_none=True)
        if secret := self.settings.s3_secret_key:
            given["s3_secret_key"] = secret.get_secret_value()
        return os.environ | {f"PAGEMILL_{name.upper()}": str(value) for name, value in given.items()}


@pytest.fixture(params=["local", "s3"])
def ground(request, tmp_path):
    if request.param == "local":
        directory = tmp_path / "objects"
        settings = BlobSettings(store_url=f"file:{directory}")
        place = {"directory": directory}
    else:
        seaweedfs = request.getfixturevalue("seaweedfs")
        seaweedfs.create_bucket(BUCKET)
        settings = seaweedfs.settings(BUCKET, f"test/{next(_numbers)}")
        place = {"seaweedfs": seaweedfs}
    store = open_store(settings)
    yield Ground(store, settings, **place)
    store.delete_prefix("")
    store.close()


@pytest.fixture
def store(ground):
    return ground.store


KEYS = [
    "page", "jobs/j/d/pages/1.1.json", "a b", "ä/日本 語", "😀", "%2e%2e", "a:b*?<>|", "a+b&c=d#e", "'\"`$(x)",
    "x" * 255, "/".join(["é" * 100] * 4),
]  # fmt: skip


def test_what_is_put_is_got(ground):
    for key in KEYS:
        ground.store.put(key, key.encode() + b"\0\xff", "application/json")
    for key in KEYS:
        assert ground.store.get(key) == key.encode() + b"\0\xff"
        assert b"".join(ground.store.stream(key)) == key.encode() + b"\0\xff"
        assert ground.store.stat(key).key == key
    assert ground.keys() == sorted(KEYS, key=str.encode)
    ground.store.delete(KEYS)
    assert ground.keys() == []


def test_an_object_may_be_empty(store):
    store.put("empty", b"")
    with store.writer("written"):
        pass
    assert store.get("empty") == store.get("written") == b""
    assert list(store.stream("empty")) == []
    assert store.stat("empty").size == 0


def test_stat_tells_size_and_changes_with_the_object(store):
    store.put("page", b"first")
    first = store.stat("page")
    store.put("page", b"other")
    second = store.stat("page")
    assert (first.key, first.size, second.size) == ("page", 5, 5)
    assert first.etag != second.etag
    assert first.modified.tzinfo is not None
    assert first.modified <= second.modified


def test_what_is_not_there_is_missing(store, tmp_path):
    store.put("there/object", b"1")
    for key in ("absent", "there", "there/object/below", "there/absent"):
        assert store.stat(key) is None
        for read in (store.get, store.stream, lambda key: store.download(key, tmp_path / "copy")):
            with pytest.raises(BlobMissing):
                read(key)
    assert not (tmp_path / "copy").exists()


def test_a_copy_is_an_object_of_its_own(ground):
    store = ground.store
    store.put("a/source.json", b"read once", "application/json")
    before = store.stat("a/source.json")
    store.copy("a/source.json", "b/c/copy.json")
    assert store.get("b/c/copy.json") == b"read once"
    assert store.stat("a/source.json") == before
    assert store.stat("b/c/copy.json").modified >= before.modified, "young, or reconcile would take it for an orphan"
    store.put("a/source.json", b"something else")
    assert store.get("b/c/copy.json") == b"read once"
    store.delete(["a/source.json"])
    store.copy("b/c/copy.json", "a/source.json")
    assert store.get("a/source.json") == b"read once"
    if ground.seaweedfs is not None:
        name = ground.settings.store_url.removeprefix(f"s3://{BUCKET}/") + "/b/c/copy.json"
        assert ground.seaweedfs.client.head_object(Bucket=BUCKET, Key=name)["ContentType"] == "application/json"


def test_a_copy_replaces_what_was_there(store):
    store.put("source", b"new")
    store.put("target", b"old and longer")
    store.copy("source", "target")
    assert store.get("target") == b"new"


def test_what_is_not_there_is_not_copied(ground):
    with pytest.raises(BlobMissing):
        ground.store.copy("nothing", "target")
    assert ground.keys() == ground.leftovers() == []


def test_a_copy_of_a_folder_is_missing(ground):
    ground.store.put("folder/object", b"x")
    with pytest.raises(BlobMissing):
        ground.store.copy("folder", "target")
    assert ground.keys() == ["folder/object"]


def test_readers_never_see_half_of_an_object(store):
    size = 3 * 1024 * 1024
    versions = [bytes([letter]) * size for letter in b"ab"]
    store.put("object", versions[0])
    written = threading.Event()

    def read():
        seen = 0
        while not written.is_set() or not seen:
            assert store.get("object") in versions
            assert b"".join(store.stream("object", 100_000)) in versions
            seen += 1
        return seen

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        try:
            for number in range(20):
                store.put("object", versions[number % 2])
        finally:
            written.set()
        assert all(reader.result() for reader in readers)


def test_a_writer_shows_the_object_when_it_is_whole(ground):
    for size in (10, PART - 1, PART, PART + 1, 2 * PART + 12_345):
        data = os.urandom(1024) * (size // 1024 + 1)
        with ground.store.writer(f"{size}") as writer:
            for start in range(0, size, 700_001):
                writer.write(data[start : min(start + 700_001, size)])
            assert ground.store.stat(f"{size}") is None
        assert ground.store.stat(f"{size}").size == size
        assert ground.store.get(f"{size}") == data[:size]
    assert ground.leftovers() == []


def test_a_writer_that_fails_leaves_nothing(ground):
    ground.store.put("old", b"old")
    for key, size in itertools.product(("new", "old"), (10, 2 * PART + 10)):
        with pytest.raises(ZeroDivisionError):
            write_and_fail(ground.store, key, bytes(size))
    assert ground.keys() == ["old"]
    assert ground.store.get("old") == b"old"
    assert ground.leftovers() == []


def write_and_fail(store, key, data):
    with store.writer(key) as writer:
        writer.write(data)
        raise ZeroDivisionError


_KILLED = """
import time
from jobs.blobs import open_store
from jobs.settings import BlobSettings, load
with open_store(load(BlobSettings)).writer("uploads/half") as writer:
    writer.write(b"x" * (9 << 20))
    print("written", flush=True)
    time.sleep(600)
"""


def test_a_writer_that_is_killed_leaves_no_object(ground):
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED], cwd=ROOT, env=ground.environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert ground.keys() == []
    assert ground.store.stat("uploads/half") is None
    assert len(ground.leftovers()) == 1
    if ground.directory is None:
        ground.store.delete_prefix("uploads/")  # the parts are billed until somebody aborts the upload
        assert ground.leftovers() == []


def test_a_stream_comes_in_pieces_and_may_be_left_early(store):
    data = os.urandom(1_000_000)
    store.put("object", data)
    pieces = list(store.stream("object", 300_000))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 300_000
    for _ in range(40):  # more than there are connections
        stream = store.stream("object", 1000)
        assert next(stream) == data[:1000]
        stream.close()
    assert store.get("object") == data


def test_download_writes_a_file(store, tmp_path):
    data = os.urandom(3_000_000)
    store.put("object", data)
    store.download("object", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_a_local_path_is_for_directories_only(ground):
    ground.store.put("object", b"data")
    path = ground.store.local_path("object")
    if ground.directory is None:
        assert path is None
    else:
        assert path.read_bytes() == b"data"
        with pytest.raises(BlobMissing):
            ground.store.local_path("absent")


def test_list_goes_by_key_and_prefix(ground):
    keys = ["a", "b/1", "b/10", "b/2", "b/c/1", "b/c/2", "b/d", "ba", "c/x/y/z", "ä", "日本", "\uffee", "😀"]
    for key in reversed(keys):
        ground.store.put(key, key.encode())
    assert keys == sorted(keys, key=str.encode)
    assert ground.keys() == keys
    assert ground.keys("b/") == ["b/1", "b/10", "b/2", "b/c/1", "b/c/2", "b/d"]
    assert ground.keys("b/1") == ["b/1", "b/10"]
    assert ground.keys("b/c/") == ["b/c/1", "b/c/2"]
    assert ground.keys("b") == [key for key in keys if key.startswith("b")]
    assert ground.keys("b/1/") == ground.keys("nothing/") == ground.keys("a/") == []
    assert {found.key: found.size for found in ground.store.list("b/c")} == {"b/c/1": 5, "b/c/2": 5}


def test_more_objects_than_one_answer_of_s3_holds(ground):
    keys = [f"many/{number % 7}/{number}" for number in range(1040)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: ground.store.put(key, b"1"), keys))
    ground.store.put("many.txt", b"1")
    assert ground.keys("many/") == sorted(keys)
    assert ground.store.delete_prefix("many/") == len(keys)
    assert ground.keys() == ["many.txt"]


def test_delete_takes_what_is_there_and_forgives_what_is_not(ground):
    for key in ("a", "b/c", "b/d"):
        ground.store.put(key, b"1")
    ground.store.delete(["a", "absent", "b/c", "b/c", "b/c/below", "absent/below"])
    assert ground.keys() == ["b/d"]
    ground.store.delete([])
    ground.store.delete(key for key in ["b/d"])
    assert ground.keys() == []


def test_deleting_a_prefix_leaves_room_between_its_pieces(ground):
    for n in range(3):
        ground.store.put(f"jobs/1/{n}", b"x")

    def stop():
        raise KeyError

    with pytest.raises(KeyError):
        ground.store.delete_prefix("jobs/1/", stop)
    ground.store.put("jobs/1/3", b"x")
    calls = []
    ground.store.delete_prefix("jobs/1/", lambda: calls.append(len(list(ground.store.list("jobs/1/")))))
    assert calls[-1] == 0


def test_delete_prefix_keeps_the_neighbours(ground):
    for key in ("jobs/1/a", "jobs/1/b/c", "jobs/10/a", "jobs/1.json", "other"):
        ground.store.put(key, b"1")
    assert ground.store.delete_prefix("jobs/1/") == 2
    assert sorted(ground.keys()) == ["jobs/1.json", "jobs/10/a", "other"]
    assert ground.store.delete_prefix("jobs/1/") == 0
    assert ground.store.delete_prefix("jobs/1") == 2
    assert ground.keys() == ["other"]
    assert ground.store.delete_prefix("") == 1


def test_writing_while_the_folder_is_being_deleted(store):
    # A purge runs beside a worker that does not know yet: its folder may vanish between any two system calls.
    def write(thread):
        for number in range(60):
            store.put(f"jobs/1/{thread}/{number}", b"1")

    with ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(write, thread) for thread in range(3)]
        while not all(writer.done() for writer in writers):
            store.delete_prefix("jobs/1/")
        for writer in writers:
            writer.result()
    store.delete_prefix("jobs/1/")
    assert list(store.list("")) == []


BAD_KEYS = [
    "", "..", "../outside", "a/../../outside", "/etc/passwd", "a//b", "a\0b", "a\\..\\b", ".pagemill-tmp/x", "x" * 1025,
]  # fmt: skip


def test_no_call_takes_a_key_that_leaves_the_store(ground, tmp_path):
    store = ground.store
    calls = [
        lambda key: store.put(key, b"1"),
        lambda key: store.writer(key).__enter__(),
        store.get,
        store.stream,
        lambda key: store.download(key, tmp_path / "copy"),
        store.local_path,
        store.stat,
        lambda key: store.delete([key]),
        lambda key: store.presign(key, 60),
        lambda key: store.list(key + "/"),
        lambda key: store.delete_prefix(key + "/"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for key, call in itertools.product(BAD_KEYS, calls):
        with pytest.raises(InvalidRequest):
            call(key)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_opens_for_anybody(ground):
    ground.store.put("scan", b"scan", "application/pdf")
    link = ground.store.presign("scan", 60, "Übersicht; 1.pdf")
    if ground.directory is not None:
        assert link is None
        return
    answer = httpx.get(link)
    assert (answer.status_code, answer.content) == (200, b"scan")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Ubersicht_ 1.pdf\"; filename*=UTF-8''%C3%9Cbersicht%3B%201.pdf"
    )
    assert httpx.get(link.replace("scan?", "other?")).status_code == 403
    assert httpx.get(ground.store.presign("scan", 60)).content == b"scan"
    for seconds in (0, 604_801):
        with pytest.raises(InvalidRequest):
            ground.store.presign("scan", seconds)


def test_links_expire(seaweedfs):
    seaweedfs.create_bucket(BUCKET)
    store = open_store(seaweedfs.settings(BUCKET, "links"))
    store.put("page", b"page")
    get, put = store.presign("page", 1), store.presign_put("late", 1, 4)
    longer = re.sub(r"X-Amz-Expires=1\b", "X-Amz-Expires=999", get)
    assert longer != get
    wait_until(lambda: httpx.get(get).status_code == 403, "the link to expire")
    assert httpx.get(longer).status_code == 403, "the time is signed"
    wait_until(lambda: httpx.put(put, content=b"late").status_code == 403, "the other link to expire")
    # What it took in its second is there, and nothing later replaces it.
    assert httpx.put(put, content=b"evil").status_code == 403
    assert store.stat("late") is None or store.get("late") == b"late"
    store.delete(["page", "late"])
    store.close()


def test_links_name_the_public_endpoint(seaweedfs):
    seaweedfs.create_bucket(BUCKET)
    public = f"http://localhost:{seaweedfs.port}"
    store = open_store(seaweedfs.settings(BUCKET, "public", s3_public_endpoint=public))
    store.put("page", b"page")
    link = store.presign("page", 60)
    assert link.startswith(f"{public}/{BUCKET}/public/page?")
    assert httpx.get(link).content == b"page"
    store.delete(["page"])
    store.close()


def test_check_leaves_nothing(ground):
    ground.store.check()
    assert ground.keys() == []
    assert ground.leftovers() == []


_STREAM = """
import re, sys
from pathlib import Path
from jobs.blobs import open_store
from jobs.settings import BlobSettings, load

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

store, size, copy = open_store(load(BlobSettings)), int(sys.argv[1]) << 20, Path(sys.argv[2])
store.put("small", b"1")
store.get("small")
before, piece = peak(), bytes(1 << 20)
with store.writer("large") as writer:
    for _ in range(size >> 20):
        writer.write(piece)
assert sum(map(len, store.stream("large"))) == size
store.download("large", copy)
assert copy.stat().st_size == size
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_streaming_takes_no_memory(ground, tmp_path):
    command = [sys.executable, "-c", _STREAM, "192", str(tmp_path / "copy")]
    run = subprocess.run(command, cwd=ROOT, env=ground.environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 64, f"streaming 192 MiB took {run.stdout.strip()} MiB"
