"""Files that are flushed together: nobody is told before his own are durable, and one's trouble is nobody else's."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.blobs import together
from jobs.blobs.together import Together, Whole


class Disk:
    """Notes what is flushed; may hold up the first flush of a file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.flushed: list[str] = []
        self.bad: set[str] = set()
        self.held, self.go = threading.Event(), threading.Event()
        self.go.set()
        self._fsync = os.fsync
        monkeypatch.setattr(together.os, "fsync", self._flush)
        self.together = Together(self._move)

    def _flush(self, descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        self.held.set()
        self.go.wait(10)
        if name in self.bad:
            raise OSError(5, name)
        self._fsync(descriptor)
        self.flushed.append(name)

    def _move(self, temporary: Path, path: Path) -> list[Path]:
        changed = [path.parent]
        if not path.parent.is_dir():
            path.parent.mkdir()
            changed.append(path.parent.parent)
        temporary.rename(path)
        return changed

    def files(self, *names: str) -> list[Whole]:
        """Below `place`."""
        files = []
        for name in names:
            temporary = self.folder / f"{Path(name).name}.new"
            descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY)
            os.write(descriptor, Path(name).name.encode())
            files.append(Whole(descriptor, temporary, self.folder / "place" / name))
        return files

    def publish(self, *names: str) -> list[Whole]:
        files = self.files(*names)
        try:
            self.together.publish(files)
        finally:
            for file in files:
                os.close(file.descriptor)
        return files


@pytest.fixture
def disk(tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    return Disk(tmp_path, monkeypatch)


def test_files_then_their_folder_once(disk):
    files = disk.publish("a", "b", "c")
    assert disk.flushed == ["a.new", "b.new", "c.new", "place"]
    assert all(file.durable and file.path.read_text() == file.path.name for file in files)


def test_who_comes_meanwhile_shares_the_next_flush(disk):
    disk.go.clear()
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(disk.publish, "first")
        assert disk.held.wait(10)
        others = [threads.submit(disk.publish, str(number)) for number in range(6)]
        while len(disk.together._waiting) < 6:
            time.sleep(0.001)
        assert not first.done()
        disk.go.set()
        found = [file for done in [first, *others] for file in done.result(10)]
    assert all(file.durable and file.path.exists() for file in found)
    assert disk.flushed.count("place") == 2


def test_one_that_cannot_be_flushed_spoils_no_other(disk):
    disk.bad.add("b.new")
    with pytest.raises(OSError, match=r"b\.new"):
        disk.publish("a", "b", "c")
    assert (disk.folder / "place" / "a").exists()
    assert not (disk.folder / "place" / "b").exists()
    assert disk.publish("d")[0].durable


def test_a_name_without_its_folder_flushed_is_not_durable(disk):
    disk.bad.add("place")
    with pytest.raises(OSError, match="place"):
        disk.publish("a")


def test_a_new_folder_that_is_not_durable_is_so_for_all_beneath(disk):
    # Only the file that made it was told: the next one was named in a folder that a power cut could take.
    disk.bad.add("place")
    files = disk.files("new/a", "new/b")
    with pytest.raises(OSError, match="place"):
        disk.together.publish(files)
    for file in files:
        os.close(file.descriptor)
    assert not any(file.durable for file in files)


def test_a_folder_that_could_not_be_flushed_is_flushed_for_the_next_file_beneath(disk):
    disk.bad.add("place")
    with pytest.raises(OSError, match="place"):
        disk.publish("new/a")
    with pytest.raises(OSError, match="place"):
        disk.publish("new/b")  # the folder is there: nothing says that its own name is not durable
    disk.bad.clear()
    disk.publish("new/b")
    assert disk.flushed[-3:] == ["b.new", "new", "place"]
    disk.publish("new/c")
    assert disk.flushed[-2:] == ["c.new", "new"]


def test_many_threads(disk):
    names = [str(number) for number in range(200)]
    with ThreadPoolExecutor(16) as threads:
        found = [file for files in threads.map(disk.publish, names) for file in files]
    assert sorted(p.name for p in (disk.folder / "place").iterdir()) == sorted(names)
    assert all(file.durable for file in found)
