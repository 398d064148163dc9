"""Drop folders: every object becomes a document, once, whoever scans; in buckets (SeaweedFS) and folders."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs import lifecycle
from jobs.blobs import Places
from jobs.errors import InvalidRequest, SourceForbidden, SourceUnreachable, StorageUnavailable
from jobs.hints import Hint, HintList
from jobs.models import State
from jobs.queue import make_app
from jobs.settings import BlobSettings, BrokerSettings, LimitSettings
from jobs.store import inbox as objects
from jobs.store import leases, reading
from tests.drop_folder import PDF, DropFolder, drop_folder
from tests.protocol import change, one, rows
from workers import scan
from workers.inbox import InboxWatch

BUCKET = "inboxes"
ODD = [
    "a b+c%20d%.pdf", "é.pdf", "e\u0301.pdf", "deep/er/a.pdf", "q?x#y&z.pdf", "nl\nx.pdf", "<&>\"'.pdf",
    "\U0001f600.pdf", "/".join(["s" * 100] * 9), "l" * 250, "odd-names/x.pdf", "a.pdf.error.json",
]  # fmt: skip

_numbers = itertools.count(1)


@pytest.fixture
def bucket(db, blobs, seaweedfs):
    seaweedfs.create_bucket(BUCKET)
    with drop_folder(db, blobs, seaweedfs.settings(BUCKET, "store"), f"s3://{BUCKET}/t{next(_numbers)}/") as found:
        yield found


@pytest.fixture
def local(db, blobs, tmp_path):
    store = BlobSettings(store_url=f"file:{tmp_path / 'objects'}")
    with drop_folder(db, blobs, store, f"file:{tmp_path}/drop/") as found:
        yield found


@pytest.fixture(params=["local", "bucket"])
def folder(request, db):
    return request.getfixturevalue(request.param)


def taken(folder: DropFolder) -> list[tuple[str, str]]:
    """Name and state of every object that was taken."""
    return sorted((r[0], r[1]) for r in rows(folder.db, "SELECT key, state FROM inbox_object"))


def names(folder: DropFolder) -> list[str]:
    return sorted(r[0] for r in rows(folder.db, "SELECT name FROM document"))


# --- taking


def test_every_object_becomes_a_document_of_one_job_and_its_content_is_ours(folder):
    for number in range(5):
        folder.put(f"incoming/sub/{number}.pdf", PDF + bytes([number]))
    assert folder.sweep() == 5
    assert names(folder) == [f"sub/{number}.pdf" for number in range(5)]
    [[job_id, owner]] = rows(folder.db, "SELECT id, owner FROM job")
    assert owner == folder.inbox.owner
    with folder.db.read() as session:
        job = reading.get_job(session, job_id)
        documents = reading.list_documents(session, job_id, limit=10)
        sources = {d.name: reading.get_source(session, d.id).key for d in documents}
    assert (job.state, job.sealed, job.documents.total) == (State.QUEUED, True, 5)
    assert job.metadata == {"inbox": str(folder.inbox.location)}
    assert folder.blobs.get(sources["sub/3.pdf"]) == PDF + bytes([3])
    lifecycle.pause(folder.db, owner)


def test_nothing_is_taken_twice(folder):
    folder.put("incoming/a.pdf")
    assert [folder.sweep(), folder.sweep(), folder.sweep()] == [1, 0, 0]
    folder.put("incoming/b.pdf")
    assert folder.sweep() == 1
    assert names(folder) == ["a.pdf", "b.pdf"]


def test_two_scanners_at_once_take_each_object_once(folder):
    """Each with its own connections, sweeping again and again while objects still arrive."""
    count, stop = 60, threading.Event()

    def scan_on() -> None:
        while not stop.is_set():
            folder.sweep()

    with ThreadPoolExecutor(4) as threads:
        scanners = [threads.submit(scan_on) for _ in range(2)]
        try:
            for number in range(count):
                folder.put(f"incoming/{number}.pdf", PDF + number.to_bytes(2, "big"))
        finally:
            stop.set()
        for scanner in scanners:
            scanner.result()
    folder.sweep()
    assert Counter(names(folder)) == Counter(f"{number}.pdf" for number in range(count))


def test_sweeps_and_events_at_once_take_each_object_once(bucket):
    location = bucket.inbox.location
    for number in range(30):
        bucket.put(f"incoming/{number}.pdf")
    hints = [Hint(location.bucket, f"{location.path}{number}.pdf") for number in range(30)]
    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(bucket.scanner().look, hints) for _ in range(2)]
        done += [threads.submit(bucket.sweep) for _ in range(2)]
        assert sum(one.result() for one in done) == 30
    assert len(names(bucket)) == 30


def test_events_of_other_places_and_of_nothing_do_nothing(folder):
    location = folder.inbox.location
    folder.put("incoming/a.pdf")
    hints = [Hint("elsewhere", f"{location.path}a.pdf"), Hint(location.bucket, "a.pdf"), Hint(location.bucket, "")]
    hints += [Hint(location.bucket, f"{location.path}missing.pdf"), Hint(location.bucket, location.path)]
    assert folder.scanner().look(hints) == 0


def test_batches_bound_the_documents_of_a_job(folder):
    folder.configure(inbox_batch=4)
    for number in range(10):
        folder.put(f"incoming/{number}.pdf")
    assert folder.sweep() == 10
    assert sorted(r[0] for r in rows(folder.db, "SELECT count(*) FROM document GROUP BY job_id")) == [2, 4, 4]


def test_a_scanner_that_died_is_followed_when_its_claim_has_run_out(folder):
    folder.put("incoming/a.pdf")
    scanner = folder.scanner()
    listing = list(folder.buckets.list(folder.inbox.location.bucket, folder.inbox.location.path))
    found = [folder.inbox.found(stat) for stat in listing if folder.inbox.accepts(stat)]
    with folder.db.write() as session:
        assert len(objects.claim(session, str(folder.inbox.location), found, "dead", 600)) == 1
    assert scanner.sweep(folder.inbox).taken == 0  # it may still be at work
    with folder.db.write() as session:
        objects.renew(session, "dead", [f.id for f in found], -1)
    assert scanner.sweep(folder.inbox).taken == 1
    with folder.db.write() as session:
        assert objects.submit(session, "dead", "job_x", [(found[0].id, "doc_x")]) == set()
    assert names(folder) == ["a.pdf"]


def test_a_scanner_that_was_too_slow_enters_nothing_that_another_one_has(folder, monkeypatch):
    for number in range(3):
        folder.put(f"incoming/{number}.pdf")
    submit = lifecycle.submit

    def slowly(db, **given):
        monkeypatch.setattr(lifecycle, "submit", submit)
        change(db, "UPDATE inbox_object SET holder = 'other' WHERE key = '1.pdf'")
        return submit(db, **given)

    monkeypatch.setattr(lifecycle, "submit", slowly)
    assert folder.sweep() == 2
    assert names(folder) == ["0.pdf", "2.pdf"]
    assert one(folder.db, "SELECT count(*) FROM job") == 1


def test_what_was_overwritten_before_it_was_copied_is_taken_as_it_is_then(folder, monkeypatch):
    folder.put("incoming/a.pdf", PDF + b"old")
    take = scan.Scanner.take

    def overwritten(*given):
        folder.put("incoming/a.pdf", PDF + b"new!")
        return take(*given)

    with monkeypatch.context() as patch:
        patch.setattr(scan.Scanner, "take", overwritten)
        assert folder.sweep() == 0
    assert taken(folder) == []
    assert folder.sweep() == 1
    [[key]] = rows(folder.db, "SELECT source_key FROM document")
    assert folder.blobs.get(key) == PDF + b"new!"


def test_what_went_before_it_was_copied_is_forgotten(folder, monkeypatch):
    folder.put("incoming/a.pdf")
    take = scan.Scanner.take

    def gone(*given):
        folder.delete("incoming/a.pdf")
        return take(*given)

    monkeypatch.setattr(scan.Scanner, "take", gone)
    assert folder.sweep() == 0
    assert taken(folder) == []
    assert one(folder.db, "SELECT count(*) FROM job") == 0


def test_an_object_that_is_overwritten_later_is_another_document(folder):
    folder.put("incoming/a.pdf", PDF + b"1")
    folder.sweep()
    folder.put("incoming/a.pdf", PDF + b"22")
    assert folder.sweep() == 1
    keys = [r[0] for r in rows(folder.db, "SELECT source_key FROM document ORDER BY id")]
    assert [folder.blobs.get(key) for key in keys] == [PDF + b"1", PDF + b"22"]


def test_odd_names_are_taken_as_they_are(folder):
    for name in ODD:
        folder.put(f"incoming/{name}")
    assert folder.sweep() == len(ODD)
    assert [name for name, _ in taken(folder)] == sorted(ODD)
    assert folder.sweep() == 0
    keys = [r[0] for r in rows(folder.db, "SELECT source_key FROM document")]
    assert len(set(keys)) == len(ODD)
    assert all(folder.blobs.get(key) == PDF for key in keys)


def test_bad_objects_are_failed_documents_and_their_neighbours_go_on(folder):
    folder.put("incoming/empty.pdf", b"")
    folder.put("incoming/text.pdf", b"hello")
    folder.put("incoming/large.pdf", PDF + bytes(100_000))
    folder.put("incoming/good.pdf")
    assert folder.sweep() == 4
    [[job_id]] = rows(folder.db, "SELECT id FROM job")
    with folder.db.read() as session:
        documents = reading.list_documents(session, job_id, limit=10)
    assert {d.name: (d.state.value, d.error and d.error.code) for d in documents} == {
        "empty.pdf": ("failed", "empty_file"), "text.pdf": ("failed", "unsupported_type"),
        "large.pdf": ("failed", "file_too_large"), "good.pdf": ("queued", None),
    }  # fmt: skip
    assert folder.sweep() == 0


def test_folder_markers_are_no_documents(folder, seaweedfs):
    folder.put("incoming/sub/a.pdf")
    if folder.inbox.location.kind == "s3":
        for key in ("", "sub/", "empty/"):
            seaweedfs.client.put_object(Bucket=BUCKET, Key=f"{folder.inbox.location.path}{key}", Body=b"")
    else:
        Path(folder.inbox.location.bucket, "empty").mkdir()
    assert folder.sweep() == 1


def test_what_pagemill_writes_within_an_inbox_is_not_taken(db, blobs, seaweedfs):
    """A whole bucket is the inbox, and everything else lies in it."""
    bucket = seaweedfs.create_bucket(f"whole{next(_numbers)}")
    store = seaweedfs.settings(bucket, "store")
    with drop_folder(db, blobs, store, f"s3://{bucket}/") as folder:
        folder.configure(inbox=f"s3://{bucket}/", inbox_originals="move")
        for key in (
            "a.pdf", "outgoing/a.pdf/document.md", "done/b.pdf", "failed/c.pdf", "store/uploads/x/y", "store/jobs/z",
            "outgoing2.pdf", "storeroom.pdf",
        ):  # fmt: skip
            seaweedfs.client.put_object(Bucket=bucket, Key=key, Body=PDF)
        folder.sweep()
        assert names(folder) == ["a.pdf", "outgoing2.pdf", "storeroom.pdf"]


# --- trouble


class Away:
    """A store that is away after so many writers."""

    def __init__(self, blobs, after: int) -> None:
        self._blobs, self._left = blobs, itertools.count(after, -1)

    def writer(self, key, content_type="application/octet-stream"):
        if next(self._left) <= 0:
            raise StorageUnavailable("the object store cannot be reached")
        return self._blobs.writer(key, content_type)

    def __getattr__(self, name):
        return getattr(self._blobs, name)


def test_a_store_that_goes_away_keeps_what_was_copied_and_lets_go_of_the_rest(folder):
    for number in range(20):
        folder.put(f"incoming/{number}.pdf")
    with ThreadPoolExecutor(1) as threads, pytest.raises(StorageUnavailable):
        folder.scanner(blobs=Away(folder.blobs, 7), threads=threads).sweep(folder.inbox)
    assert len(names(folder)) == 7
    time.sleep(0.01)  # claims are let go as of a millisecond
    assert folder.sweep() == 13
    assert len(set(names(folder))) == len(names(folder)) == 20


def test_a_scanner_that_is_told_to_end_keeps_what_it_copied_and_lets_go_of_the_rest(local, monkeypatch):
    monkeypatch.setattr(scan, "LISTEN", 0.01)
    for number in range(6):
        local.put(f"incoming/{number}.pdf")
    copied, told = threading.Event(), threading.Event()
    copy_in = scan.copy_in

    def slowly(*given, **more):
        if copied.is_set():
            told.wait(60)
        copied.set()
        return copy_in(*given, **more)

    def go_on():
        if copied.is_set() and len(asked) > 5:
            told.set()
        asked.append(copied.is_set())
        return not told.is_set()

    asked: list[bool] = []
    monkeypatch.setattr(scan, "copy_in", slowly)
    with ThreadPoolExecutor(1) as threads:
        assert local.scanner(threads=threads).sweep(local.inbox, go_on).taken == 2
    time.sleep(0.01)
    assert local.sweep() == 4


@pytest.mark.parametrize("wrong", [InvalidRequest("no such thing"), RuntimeError("nobody expected it")])
def test_a_batch_that_cannot_be_entered_leaves_no_copies(folder, monkeypatch, wrong):
    def refuse(*_):
        raise wrong

    monkeypatch.setattr(scan._Batch, "_within", refuse)
    folder.put("incoming/a.pdf")
    with pytest.raises(type(wrong)):
        folder.sweep()
    assert list(folder.blobs.list("uploads/")) == []
    monkeypatch.undo()
    time.sleep(0.01)  # claims are let go as of a millisecond
    assert folder.sweep() == 1


def test_a_folder_that_may_not_be_read_keeps_no_other_out(local, monkeypatch, caplog):
    local.put("incoming/a.pdf")
    local.put("incoming/lost+found/b.pdf")
    local.put("incoming/z.pdf")
    open_folder = os.open

    def denied(path, *given, **more):
        if path == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_folder(path, *given, **more)

    monkeypatch.setattr(os, "open", denied)
    assert local.sweep() == 2
    assert names(local) == ["a.pdf", "z.pdf"]
    assert [record.action for record in caplog.records if record.levelname == "WARNING"] == ["folder_ignored"]


def test_an_inbox_that_may_not_be_read_is_an_error(local, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(SourceForbidden):
        local.sweep()


def test_a_path_that_is_too_long_keeps_no_other_out(local, caplog):
    local.put("incoming/a.pdf")
    folder = os.open(local.inbox.location.bucket, os.O_RDONLY)
    for _ in range(20):  # Linux takes 4,096 bytes at once, and deeper folders step by step
        os.mkdir("z" * 250, dir_fd=folder)
        beneath = os.open("z" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = beneath
    os.close(os.open("x.pdf", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    try:
        assert local.sweep() == 1
        assert [record.action for record in caplog.records if record.levelname == "WARNING"] == ["folder_ignored"]
    finally:
        subprocess.run(["rm", "-rf", f"{local.inbox.location.bucket}/{'z' * 250}"], check=True)


def test_an_inbox_that_is_not_there_is_an_error(folder, seaweedfs):
    if folder.inbox.location.kind == "s3":
        folder.configure(inbox="s3://no-such-bucket/incoming/")
    else:
        Path(folder.inbox.location.bucket).rmdir()
    with pytest.raises(SourceUnreachable):
        folder.sweep()


def test_an_object_that_may_not_be_read_waits_and_its_neighbours_go_on(local, monkeypatch):
    local.put("incoming/a.pdf")
    local.put("incoming/secret.pdf")
    copy_in = scan.copy_in

    def forbidden(buckets, bucket, key, **given):
        if key == "secret.pdf":
            raise SourceForbidden("no", where=key)
        return copy_in(buckets, bucket, key, **given)

    monkeypatch.setattr(scan, "copy_in", forbidden)
    assert local.sweep() == 1
    assert taken(local) == [("a.pdf", "submitted"), ("secret.pdf", "taken")]
    assert local.sweep() == 0
    assert names(local) == ["a.pdf"]


# --- whose turn it is to sweep


@pytest.fixture
def watch(local, valkey):
    app = make_app(BrokerSettings(broker_url=valkey.url))
    yield InboxWatch(local.db, local.scanner(), HintList(app, "pagemill:"), every=3600.0)
    app.close()


def lease(local: DropFolder, holder: str, seconds: float) -> bool:
    with local.db.write() as session:
        return leases.take_lease(session, local.inbox.owner, holder, seconds)


def test_one_worker_sweeps_and_then_nobody_for_a_while(local, watch):
    local.put("incoming/a.pdf")
    assert lease(local, "another worker", 600)
    watch.round()
    assert names(local) == []
    assert lease(local, "another worker", 0)
    time.sleep(0.01)
    watch.round()
    assert names(local) == ["a.pdf"]
    assert not lease(local, "another worker", 600)
    local.put("incoming/b.pdf")
    watch.round()
    assert names(local) == ["a.pdf"]


def test_an_inbox_that_cannot_be_swept_is_left_for_a_while_too(local, watch, caplog):
    Path(local.inbox.location.bucket).rmdir()
    watch.round()
    watch.round()
    assert [record.code for record in caplog.records if record.action == "inbox_failed"] == ["source_unreachable"]


def test_stopping_gives_the_turn_back(local, watch, monkeypatch):
    for number in range(3):
        local.put(f"incoming/{number}.pdf")
    take = scan.Scanner.take

    def stopping(*given):
        watch.stop()
        return take(*given)

    monkeypatch.setattr(scan.Scanner, "take", stopping)
    watch.round()
    time.sleep(0.01)
    assert lease(local, "another worker", 600)


def test_what_is_told_is_looked_at_and_what_is_no_message_is_not(db, blobs, seaweedfs, valkey, caplog):
    seaweedfs.create_bucket(BUCKET)
    valkey.flush()
    app = make_app(BrokerSettings(broker_url=valkey.url))
    with drop_folder(db, blobs, seaweedfs.settings(BUCKET, "store"), f"s3://{BUCKET}/t{next(_numbers)}/") as bucket:
        bucket.put("incoming/a.pdf")
        hints = HintList(app, "pagemill:")
        with valkey.client() as client:
            client.rpush("pagemill:inbox.events", b"{")
        hints.push([Hint(BUCKET, f"{bucket.inbox.location.path}a.pdf")])
        InboxWatch(db, bucket.scanner(), hints, every=3600.0).listen()
        assert names(bucket) == ["a.pdf"]
    app.close()
    assert [record.action for record in caplog.records if record.levelname == "WARNING"] == ["inbox_event_ignored"]


# --- folders


def test_a_file_that_is_still_being_written_waits(local):
    local.configure(inbox_settle=3600.0)
    local.put("incoming/a.pdf")
    assert local.sweep() == 0
    local.configure(inbox_settle=0.0)
    assert local.sweep() == 1


def test_an_old_file_that_was_moved_in_just_now_waits_too(local):
    """`cp -p` and `mv` keep the time of the last write."""
    local.put("incoming/a.pdf")
    os.utime(Path(local.inbox.location.bucket, "a.pdf"), (1_000_000, 1_000_000))
    local.configure(inbox_settle=3600.0)
    assert local.sweep() == 0


def test_links_and_unfinished_files_are_not_taken(local, tmp_path):
    (tmp_path / "secret.pdf").write_bytes(PDF)
    inbox = Path(local.inbox.location.bucket)
    (inbox / "link.pdf").symlink_to(tmp_path / "secret.pdf")
    (inbox / "folder").symlink_to(tmp_path)
    for name in (".hidden.pdf", "a.pdf.partial"):
        (inbox / name).write_bytes(PDF)
    assert local.sweep() == 0


def test_a_file_that_grows_while_it_is_copied_is_taken_when_it_is_whole(local, monkeypatch):
    local.put("incoming/a.pdf", PDF * 10)
    path = Path(local.inbox.location.bucket, "a.pdf")
    opened = type(local.buckets).open

    def growing(buckets, bucket, key, *, etag, chunk=1 << 20):
        return opened(buckets, bucket, key, etag=etag, chunk=100)

    read, calls = os.read, itertools.count()

    def append(descriptor, size):
        if next(calls) == 1:
            with path.open("ab") as file:
                file.write(b"more")
        return read(descriptor, size)

    with monkeypatch.context() as patch:
        patch.setattr(type(local.buckets), "open", growing)
        patch.setattr(os, "read", append)
        assert local.sweep() == 0
    assert list(local.blobs.list("uploads/")) == []
    assert local.sweep() == 1
    [[key]] = rows(local.db, "SELECT source_key FROM document")
    assert local.blobs.get(key) == PDF * 10 + b"more"


def test_limits_are_those_of_uploads(local):
    local.put("incoming/a.pdf", PDF)
    local.scanner(limits=LimitSettings(max_file_bytes=10)).sweep(local.inbox)
    assert one(local.db, "SELECT state FROM document") == "failed"


def test_places_are_closed(local):
    places = Places(local.store)
    places.of(local.inbox.location)
    places.close()
