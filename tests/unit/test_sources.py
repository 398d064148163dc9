"""Documents' files on the worker's machine. The store is a real one that lies elsewhere: no path is handed out."""

import threading

import pytest

from jobs.blobs import BlobMissing, open_store
from jobs.settings import BlobSettings
from tests.processes import wait_until
from workers.sources import DOWNLOADS, Sources

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


def test_who_asks_shares_one_fetch_and_keeps_no_thread(far, copies):
    for key in "ab":
        far.put(key, KILOBYTE)
    sources = Sources(far, copies, 0)
    with sources.hold("b") as here:
        far.gate.clear()
        asked = [sources.ask("a") for _ in range(3 * DOWNLOADS)]
        assert not any(waiting.done() for waiting in asked)
        assert sources.ask("b") == here, "what is here is told at once"
        sources.give_back("b")
        far.gate.set()
        paths = {waiting.result(30) for waiting in asked}
        assert [path.read_bytes() for path in paths] == [KILOBYTE]
        assert far.fetched == ["b", "a"]
    for _ in asked:
        assert len(list(copies.iterdir())) == 1
        sources.give_back("a")
    assert list(copies.iterdir()) == []
    sources.close()


def test_a_fetch_that_fails_fails_for_all_who_wait_and_is_tried_again_by_the_next(far, copies):
    far.gate.clear()
    sources = Sources(far, copies, 0)
    asked = [sources.ask("a") for _ in range(5)]
    far.gate.set()
    assert [type(waiting.exception(30)) for waiting in asked] == [BlobMissing] * 5
    far.put("a", b"alpha")
    with sources.hold("a") as path:
        sources.give_back("a", asked[0])  # canceled as it failed: it holds nothing, least of all what came since
        assert path.read_bytes() == b"alpha"
    assert (far.fetched, list(copies.iterdir())) == (["a", "a"], [])
    sources.close()


def test_who_lets_go_while_it_comes_cancels_it_for_nobody_else(far, copies):
    far.put("a", b"alpha")
    far.gate.clear()
    sources = Sources(far, copies, 0)
    one, other = sources.ask("a"), sources.ask("a")
    assert not one.cancel()
    sources.give_back("a", one)
    far.gate.set()
    assert other.result(30).read_bytes() == b"alpha"
    sources.give_back("a")
    assert list(copies.iterdir()) == []
    sources.close()


def test_what_nobody_waits_for_any_more_is_not_kept_or_not_even_fetched(far, copies):
    keys = [f"k{number}" for number in range(DOWNLOADS + 3)]
    for key in keys:
        far.put(key, KILOBYTE)
    far.gate.clear()
    sources = Sources(far, copies, 0)
    asked = [(key, sources.ask(key)) for key in keys]
    wait_until(lambda: len(far.fetched) == DOWNLOADS, "those that have a thread")
    for key, fetching in asked:
        sources.give_back(key, fetching)
    again = sources.ask(keys[-1])
    far.gate.set()
    assert again.result(30).read_bytes() == KILOBYTE
    sources.give_back(keys[-1])
    sources._threads.shutdown()
    assert sorted(far.fetched) == sorted([*keys[:DOWNLOADS], keys[-1]])
    assert list(copies.iterdir()) == []


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


def no_thread(sources, monkeypatch, *, come_to):
    """The first download is queued, and no thread can be started for it; whether one that runs comes to it at once."""
    begin, queued = sources._threads.submit, []

    def submit(*work):
        if queued:
            return begin(*work)
        queued.append(lambda: work[0](*work[1:]))
        if come_to:
            queued[0]()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sources._threads, "submit", submit)
    return queued


def test_where_no_thread_can_be_started_the_next_to_ask_tries_again(far, copies, monkeypatch):
    far.put("a", b"alpha")
    sources = Sources(far, copies, 100)
    queued = no_thread(sources, monkeypatch, come_to=False)
    with pytest.raises(RuntimeError, match="new thread"):
        sources.ask("a")
    far.gate.clear()
    again = sources.ask("a")
    queued[0]()  # much later: nobody wants that any more
    far.gate.set()
    assert again.result(30).read_bytes() == b"alpha"
    assert far.fetched == ["a"]
    sources.give_back("a")
    sources.close()


def test_where_no_thread_can_be_started_one_that_runs_may_come_to_it(far, copies, monkeypatch):
    far.put("a", b"alpha")
    sources = Sources(far, copies, 100)
    no_thread(sources, monkeypatch, come_to=True)
    assert sources.ask("a").read_bytes() == b"alpha"
    sources.give_back("a")
    sources.close()


def test_a_copy_that_cannot_be_removed_is_no_trouble_of_those_who_wait_for_another(far, copies, monkeypatch):
    far.put("a", KILOBYTE)
    far.put("b", KILOBYTE)
    sources = Sources(far, copies, 1500)
    with sources.hold("a") as path:
        pass

    def unlink(self, missing_ok=False):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(path), "unlink", unlink)
    with sources.hold("b") as other:
        assert other.read_bytes() == KILOBYTE
    monkeypatch.undo()
    sources.close()
