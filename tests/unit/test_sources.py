"""Documents' files on the worker's machine. The store is a real one that lies elsewhere: no path is handed out."""

import threading

import pytest

from jobs.blobs import BlobMissing, open_store
from jobs.settings import BlobSettings
from workers.sources import Sources

KILOBYTE = bytes(1000)


class FarStore:
    """A local store as one sees it from another machine, counting what is fetched."""

    def __init__(self, root):
        self._store = open_store(BlobSettings(store_url=f"file:{root}"))
        self.fetched = []
        self.gate = threading.Event()
        self.gate.set()

    def put(self, key, data):
        self._store.put(key, data)

    def local_path(self, key):
        return None

    def download(self, key, path):
        self.fetched.append(key)
        assert self.gate.wait(30)
        self._store.download(key, path)


@pytest.fixture
def far(tmp_path):
    return FarStore(tmp_path / "objects")


@pytest.fixture
def copies(tmp_path):
    return tmp_path / "copies"


def test_a_store_in_a_directory_is_read_where_it_lies(tmp_path, copies):
    store = open_store(BlobSettings(store_url=f"file:{tmp_path / 'objects'}"))
    store.put("a", b"alpha")
    sources = Sources(store, copies, 0)
    with sources.hold("a") as path:
        assert path == tmp_path / "objects" / "a"
    assert path.read_bytes() == b"alpha"


def test_a_copy_is_fetched_once_and_kept_while_there_is_room(far, copies):
    far.put("a", b"alpha")
    sources = Sources(far, copies, 100)
    for _ in range(3):
        with sources.hold("a") as path:
            assert path.read_bytes() == b"alpha"
    assert far.fetched == ["a"]


def test_many_at_once_share_one_fetch(far, copies):
    far.put("a", b"alpha")
    far.gate.clear()
    sources = Sources(far, copies, 100)
    read = []

    def reader():
        with sources.hold("a") as path:
            read.append(path.read_bytes())

    threads = [threading.Thread(target=reader) for _ in range(8)]
    for thread in threads:
        thread.start()
    far.gate.set()
    for thread in threads:
        thread.join()
    assert (read, far.fetched) == ([b"alpha"] * 8, ["a"])


def test_what_nobody_reads_makes_room_and_the_longest_unused_goes_first(far, copies):
    for key in "abcd":
        far.put(key, KILOBYTE)
    sources = Sources(far, copies, 2500)
    for key in "abac":
        with sources.hold(key):
            pass
    assert far.fetched == ["a", "b", "c"]
    with sources.hold("a"), sources.hold("c"):
        pass
    assert far.fetched == ["a", "b", "c"], "b was the one to go"
    assert sum(path.stat().st_size for path in copies.iterdir()) == 2000


def test_what_is_being_read_stays_whatever_the_budget(far, copies):
    for key in "abc":
        far.put(key, KILOBYTE)
    sources = Sources(far, copies, 0)
    with sources.hold("a") as a, sources.hold("b") as b, sources.hold("c") as c:
        assert all(path.is_file() for path in (a, b, c))
    assert list(copies.iterdir()) == []


def test_a_fetch_that_fails_is_tried_again_by_the_next(far, copies):
    sources = Sources(far, copies, 100)
    with pytest.raises(BlobMissing):
        sources.take("a")
    assert list(copies.iterdir()) == []
    far.put("a", b"alpha")
    with sources.hold("a") as path:
        assert path.read_bytes() == b"alpha"
    assert far.fetched == ["a", "a"]


def test_what_a_killed_predecessor_left_is_removed(far, copies):
    copies.mkdir()
    (copies / "left").write_bytes(KILOBYTE)
    sources = Sources(far, copies, 100)
    assert list(copies.iterdir()) == []
    assert copies.stat().st_mode & 0o077 == 0
    sources.close()
    assert not copies.exists()
