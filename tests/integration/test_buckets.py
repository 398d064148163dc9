"""Places of users: buckets (SeaweedFS) and folders behind one protocol."""

from __future__ import annotations

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.blobs import Buckets, Location, Places, open_store
from jobs.blobs import s3_buckets as s3_module
from jobs.errors import (
    InvalidRequest,
    OutputForbidden,
    SourceChanged,
    SourceForbidden,
    SourceUnreachable,
    StorageUnavailable,
)
from jobs.intake import IncomingFile, copy_in
from jobs.settings import BlobSettings

BUCKET = "places"
PDF = b"%PDF-1.7\n" + bytes(3000)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ground:
    buckets: Buckets
    bucket: str
    prefix: str
    directory: Path | None = None

    def put(self, name: str, data: bytes = PDF) -> str:
        """Its etag."""
        self.buckets.put(self.bucket, self.prefix + name, data)
        found = self.buckets.stat(self.bucket, self.prefix + name)
        assert found is not None
        return found.etag

    def names(self, **options: str) -> list[str]:
        return [s.key.removeprefix(self.prefix) for s in self.buckets.list(self.bucket, self.prefix, **options)]

    def read(self, name: str, etag: str) -> bytes:
        with self.buckets.open(self.bucket, self.prefix + name, etag=etag) as opened:
            return b"".join(opened.pieces)

    def move(self, name: str, to: str, etag: str) -> None:
        self.buckets.move(self.bucket, self.prefix + name, self.bucket, self.prefix + to, etag=etag)


def s3_settings(seaweedfs) -> BlobSettings:
    seaweedfs.create_bucket(BUCKET)
    return seaweedfs.settings(BUCKET, f"store/{next(_numbers)}")


@pytest.fixture(params=["file", "s3"])
def ground(request, tmp_path):
    if request.param == "file":
        directory = tmp_path / "in"
        directory.mkdir()
        places = Places(BlobSettings())
        yield Ground(places.of(Location("file", str(directory), "")), str(directory), "", directory)
    else:
        places = Places(s3_settings(request.getfixturevalue("seaweedfs")))
        yield Ground(places.of(Location("s3", BUCKET, "")), BUCKET, f"in{next(_numbers)}/")
    places.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return Ground(Places(BlobSettings()).of(Location("file", "/", "")), str(tmp_path / "in"), "", tmp_path / "in")


NAMES = [
    "a.pdf",
    "a b+c%20d%.pdf",
    "é.pdf",
    "e\u0301.pdf",
    "q?x#y&z.pdf",
    "nl\nx.pdf",
    "<&>\"'.pdf",
    "\U0001f600",
    "deep/er/a.pdf",
]


def test_every_name_is_listed_looked_at_and_read_as_it_was_written(ground):
    for name in NAMES:
        etag = ground.put(name, name.encode())
        assert ground.read(name, etag) == name.encode()
    assert sorted(n for n in ground.names() if not n.endswith("/")) == sorted(NAMES)


def test_a_listing_says_what_a_look_says(ground):
    ground.put("x/a.pdf")
    [listed] = [s for s in ground.buckets.list(ground.bucket, ground.prefix) if not s.key.endswith("/")]
    looked = ground.buckets.stat(ground.bucket, listed.key)
    assert (looked.etag, looked.modified, looked.size) == (listed.etag, listed.modified, listed.size)
    assert listed.size == len(PDF)
    assert abs(listed.modified.timestamp() - time.time()) < 600


def test_a_listing_may_begin_after_a_key(ground):
    for number in range(5):
        ground.put(f"{number}.pdf")
    assert ground.names(start_after=f"{ground.prefix}2.pdf") == ["3.pdf", "4.pdf"]


def test_more_than_one_page_is_listed(ground):
    names = [f"{number:05}.pdf" for number in range(1205)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: ground.buckets.put(ground.bucket, ground.prefix + name, b"x"), names))
    assert ground.names() == names


def test_what_was_overwritten_or_is_gone_is_not_read(ground):
    etag = ground.put("a.pdf", b"one")
    newer = ground.put("a.pdf", b"other")
    with pytest.raises(SourceChanged):
        ground.read("a.pdf", etag)
    ground.buckets.delete(ground.bucket, ground.prefix + "a.pdf")
    with pytest.raises(SourceUnreachable):
        ground.read("a.pdf", newer)
    assert ground.buckets.stat(ground.bucket, ground.prefix + "a.pdf") is None


def test_what_was_overwritten_is_neither_moved_nor_deleted(ground):
    etag = ground.put("a.pdf", b"one")
    ground.put("a.pdf", b"other")
    with pytest.raises(SourceChanged):
        ground.move("a.pdf", "done/a.pdf", etag)
    with pytest.raises(SourceChanged):
        ground.buckets.delete(ground.bucket, ground.prefix + "a.pdf", etag=etag)
    assert ground.names() == ["a.pdf"]


def test_a_move_takes_the_object_away_and_a_second_one_says_so(ground):
    etag = ground.put("a b+%.pdf", b"one")
    ground.move("a b+%.pdf", "done/x/a b+%.pdf", etag)
    assert [name for name in ground.names() if not name.endswith("/")] == ["done/x/a b+%.pdf"]
    moved = ground.buckets.stat(ground.bucket, f"{ground.prefix}done/x/a b+%.pdf")
    assert ground.read("done/x/a b+%.pdf", moved.etag) == b"one"
    with pytest.raises(SourceUnreachable):
        ground.move("a b+%.pdf", "done/x/a b+%.pdf", etag)
    ground.buckets.delete(ground.bucket, f"{ground.prefix}a b+%.pdf", etag=etag)


def test_copying_in_hashes_and_looks_at_the_content(ground, blobs):
    etag = ground.put("a.pdf")
    file = IncomingFile(blobs, "uploads/x", "doc_1", "a.pdf", 10_000)
    document = copy_in(ground.buckets, ground.bucket, f"{ground.prefix}a.pdf", etag=etag, file=file)
    assert (document.media_type, document.bytes, document.error) == ("application/pdf", len(PDF), None)
    assert blobs.get("uploads/x") == PDF
    assert len(document.sha256) == 64


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "empty_file"), (b"hello", "unsupported_type"), (PDF * 4, "file_too_large")]
)
def test_bad_content_is_a_documents_error_and_leaves_nothing(ground, blobs, data, code):
    etag = ground.put("a.pdf", data)
    file = IncomingFile(blobs, "uploads/x", "doc_1", "a.pdf", 10_000)
    document = copy_in(ground.buckets, ground.bucket, f"{ground.prefix}a.pdf", etag=etag, file=file)
    assert (document.error.code, document.bytes, document.source_key) == (code, len(data), "")
    assert list(blobs.list("")) == []


def test_no_bucket_is_told_apart_from_an_empty_one(ground):
    nowhere = "no-such-place" if ground.directory is None else "/no/such/place"
    with pytest.raises(SourceUnreachable):
        list(ground.buckets.list(nowhere, ""))
    assert list(ground.buckets.list(ground.bucket, f"{ground.prefix}none/")) == []


def test_wrong_credentials_are_forbidden(seaweedfs):
    settings = s3_settings(seaweedfs).model_copy(update={"s3_access_key": "stranger"})
    buckets = Places(settings).of(Location("s3", BUCKET, ""))
    with pytest.raises(SourceForbidden):
        list(buckets.list(BUCKET, ""))
    with pytest.raises(SourceForbidden):
        buckets.stat(BUCKET, "x")
    with pytest.raises(OutputForbidden):
        buckets.put(BUCKET, "x", b"")
    buckets.close()


def test_a_bucket_that_is_not_there_takes_no_output(seaweedfs):
    buckets = Places(s3_settings(seaweedfs)).of(Location("s3", BUCKET, ""))
    with pytest.raises(OutputForbidden):
        buckets.put("no-such-place", "x", b"")
    buckets.close()


def test_a_server_that_is_away_is_the_storage(seaweedfs):
    settings = s3_settings(seaweedfs).model_copy(update={"s3_endpoint": "http://127.0.0.1:1", "s3_timeout": 1.0})
    buckets = Places(settings).of(Location("s3", BUCKET, ""))
    with pytest.raises(StorageUnavailable):
        buckets.stat(BUCKET, "x")
    buckets.close()


def test_tags_are_added_to_those_that_are_there(seaweedfs):
    buckets = Places(s3_settings(seaweedfs)).of(Location("s3", BUCKET, ""))
    key = f"tags{next(_numbers)}/a.pdf"
    seaweedfs.client.put_object(Bucket=BUCKET, Key=key, Body=b"x", Tagging="mine=1")
    before = buckets.stat(BUCKET, key)
    time.sleep(1.1)  # a change of the time would be seen
    buckets.tag(BUCKET, key, {"pagemill-state": "done"}, etag=before.etag)
    found = seaweedfs.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in found} == {"mine": "1", "pagemill-state": "done"}
    assert buckets.stat(BUCKET, key) == before
    with pytest.raises(SourceChanged):
        buckets.tag(BUCKET, key, {"pagemill-state": "done"}, etag="other")
    buckets.close()


def test_what_is_too_large_for_one_copy_is_moved_in_parts(seaweedfs, monkeypatch):
    monkeypatch.setattr(s3_module, "COPY_AT_ONCE", 1)
    buckets = Places(s3_settings(seaweedfs)).of(Location("s3", BUCKET, ""))
    data = os.urandom(17 * 1024 * 1024)
    key = f"large{next(_numbers)}/a.pdf"
    buckets.put(BUCKET, key, data)
    etag = buckets.stat(BUCKET, key).etag
    buckets.move(BUCKET, key, BUCKET, f"done/{key}", etag=etag)
    assert buckets.stat(BUCKET, key) is None
    assert seaweedfs.client.get_object(Bucket=BUCKET, Key=f"done/{key}")["Body"].read() == data
    buckets.close()


# --- folders


def test_links_dotfiles_and_unfinished_files_are_not_listed(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.pdf").write_bytes(PDF)
    (folder.directory / "link.pdf").symlink_to(outside / "secret.pdf")
    (folder.directory / "linked").symlink_to(outside)
    os.mkfifo(folder.directory / "pipe.pdf")
    for name in (".hidden.pdf", "a.pdf.partial", "b.pdf"):
        (folder.directory / name).write_bytes(PDF)
    assert folder.names() == ["b.pdf"]


@pytest.mark.parametrize(
    "key", ["link.pdf", "linked/secret.pdf", "../outside/secret.pdf", "pipe.pdf", "sub", "sub/", ""]
)
def test_nothing_outside_of_the_folder_is_read_or_moved(folder, tmp_path, key):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.pdf").write_bytes(PDF)
    (folder.directory / "sub").mkdir()
    (folder.directory / "link.pdf").symlink_to(outside / "secret.pdf")
    (folder.directory / "linked").symlink_to(outside)
    os.mkfifo(folder.directory / "pipe.pdf")
    found = (outside / "secret.pdf").stat()
    etag = f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"
    with pytest.raises((SourceUnreachable, SourceForbidden)):
        folder.read(key, etag)
    with pytest.raises((SourceUnreachable, SourceForbidden)):
        folder.move(key, "done/x.pdf", etag)
    assert (outside / "secret.pdf").read_bytes() == PDF


def test_nothing_outside_of_the_folder_is_written(folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (folder.directory / "linked").symlink_to(tmp_path / "outside")
    for key in ("linked/a.pdf", "../outside/a.pdf", "x/../../outside/a.pdf"):
        with pytest.raises(OutputForbidden):
            folder.buckets.put(folder.bucket, key, PDF)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_that_grows_while_it_is_read_has_changed(folder, blobs):
    etag = folder.put("a.pdf", PDF * 100)
    with folder.buckets.open(folder.bucket, "a.pdf", etag=etag, chunk=1000) as opened:
        next(opened.pieces)
        with (folder.directory / "a.pdf").open("ab") as file:
            file.write(b"more")
        with pytest.raises(SourceChanged):
            list(opened.pieces)


def test_a_move_that_died_between_its_two_renames_is_ended_by_the_next(folder, monkeypatch):
    etag = folder.put("a.pdf", b"one")
    rename, calls = os.rename, itertools.count()

    def dies(*args, **kwargs):
        if next(calls) == 1:
            raise KeyboardInterrupt
        rename(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            folder.move("a.pdf", "done/a.pdf", etag)
    assert folder.names() == []
    folder.move("a.pdf", "done/a.pdf", etag)
    assert folder.names() == ["done/a.pdf"]


def test_a_file_exchanged_in_the_middle_of_a_move_is_put_back(folder, monkeypatch):
    etag = folder.put("a.pdf", b"one")
    rename, calls = os.rename, itertools.count()

    def exchanging(*args, **kwargs):
        if next(calls) == 0:
            (folder.directory / "new").write_bytes(b"newer")
            rename(folder.directory / "new", folder.directory / "a.pdf")
        rename(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", exchanging)
        with pytest.raises(SourceChanged):
            folder.move("a.pdf", "done/a.pdf", etag)
    assert folder.names() == ["a.pdf"]
    assert (folder.directory / "a.pdf").read_bytes() == b"newer"
    assert list((folder.directory / "done").iterdir()) == []


def test_a_writer_that_fails_leaves_nothing(folder):
    def fail():
        with folder.buckets.writer(folder.bucket, "a/b.md") as writer:
            writer.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((folder.directory / "a").iterdir()) == []


def test_files_have_no_tags(folder):
    etag = folder.put("a.pdf")
    with pytest.raises(InvalidRequest):
        folder.buckets.tag(folder.bucket, "a.pdf", {"x": "y"}, etag=etag)


def test_a_store_and_a_place_may_share_a_server(seaweedfs):
    settings = s3_settings(seaweedfs)
    store, buckets = open_store(settings), Places(settings).of(Location("s3", BUCKET, ""))
    buckets.put(BUCKET, "shared/a.pdf", PDF)
    file = IncomingFile(store, "uploads/x", "doc_1", "a.pdf", 10_000)
    copy_in(buckets, BUCKET, "shared/a.pdf", etag=buckets.stat(BUCKET, "shared/a.pdf").etag, file=file)
    assert store.get("uploads/x") == PDF
    buckets.close()
    store.close()
