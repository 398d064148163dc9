"""Results where they are wanted: beside drop folders, and wherever else; in buckets (SeaweedFS) and folders."""

from __future__ import annotations

import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from jobs import deletion, dispatch, lifecycle, publishing
from jobs.blobs import Location, figure_key
from jobs.ids import new_job_id
from jobs.options import JobOptions
from jobs.queue import Doorbell, make_app
from jobs.settings import BlobSettings, BrokerSettings
from jobs.store import publishing as rows_of
from tests.drop_folder import PDF, DropFolder, drop_folder
from tests.protocol import change, finish, new_document, one, read, register, rows
from workers import publish as publish_module
from workers.publish import Publisher

BUCKET = "publishing"
FILES = {"document.md", "document.json", "figures/page-0001-figure-1.jpg"}

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


def drop(folder: DropFolder, name: str = "a.pdf", data: bytes = PDF) -> str:
    """The document that the object becomes."""
    folder.put(f"incoming/{name}", data)
    assert folder.sweep() == 1
    return folder.document(name)


def states(folder: DropFolder) -> list[str]:
    return [r[0] for r in rows(folder.db, "SELECT state FROM publication ORDER BY document_id")]


def test_a_result_lies_in_a_folder_named_like_its_source_with_links_that_work(folder):
    document = drop(folder, "sub/a b+%.pdf")
    assert folder.publish() == 0  # it runs
    folder.end(document, "# read\n\n![](figures/page-0001-figure-1.jpg)\n")
    assert folder.publish() == 1
    assert folder.names("outgoing/") == {f"sub/a b+%.pdf/{name}" for name in FILES}
    markdown = folder.read("outgoing/sub/a b+%.pdf/document.md").decode()
    [link] = re.findall(r"\]\((.*?)\)", markdown)
    assert folder.read(f"outgoing/sub/a b+%.pdf/{link}") == b"\xff\xd8figure"
    assert folder.publish() == 0
    assert folder.names("incoming/") == {"sub/a b+%.pdf"}
    assert states(folder) == ["published"]


def test_files_carry_their_types(bucket, seaweedfs):
    bucket.end(drop(bucket))
    bucket.publish()
    prefix = f"{bucket.inbox.output.path}a.pdf/"
    types = {name: seaweedfs.client.head_object(Bucket=BUCKET, Key=prefix + name)["ContentType"] for name in FILES}
    assert types == {
        "document.md": "text/markdown; charset=utf-8", "document.json": "application/json",
        "figures/page-0001-figure-1.jpg": "image/jpeg",
    }  # fmt: skip


def test_a_document_that_failed_says_why(folder):
    folder.put("incoming/bad.pdf", b"")
    folder.sweep()
    assert folder.publish() == 1
    assert folder.names("outgoing/") == {"bad.pdf/error.json"}
    assert orjson.loads(folder.read("outgoing/bad.pdf/error.json"))["code"] == "empty_file"


def test_a_retry_takes_the_place_of_the_error(folder):
    document = drop(folder)
    folder.end(document, failed=True)
    folder.publish()
    assert folder.names("outgoing/") == {"a.pdf/error.json"}
    retry(folder, document, "# at last")
    assert folder.publish() == 1
    assert folder.names("outgoing/") == {f"a.pdf/{name}" for name in FILES}
    assert folder.read("outgoing/a.pdf/document.md") == b"# at last"


def retry(folder: DropFolder, document: str, text: str) -> None:
    job = one(folder.db, "SELECT job_id FROM document WHERE id = :d", d=document)
    lifecycle.close(folder.db, folder.blobs, job)
    lifecycle.retry(folder.db, folder.blobs, job)
    assert folder.publish() == 0
    worker = register(folder.db)
    assert finish(folder.db, read(folder.db, worker, document)) == [document]
    folder.write_result(job, document, text)


def test_a_canceled_document_leaves_nothing_and_its_original_stays(folder):
    folder.configure(inbox_originals="move")
    document = drop(folder)
    lifecycle.cancel(folder.db, one(folder.db, "SELECT job_id FROM document WHERE id = :d", d=document))
    assert folder.publish() == 1
    assert states(folder) == ["canceled"]
    assert folder.names() == {"incoming/a.pdf"}


@pytest.mark.parametrize("newer_first", [True, False])
def test_the_newest_version_wins_whichever_ends_last(folder, newer_first):
    older = drop(folder, data=PDF + b"1")
    newer = drop(folder, data=PDF + b"22")
    for document in (newer, older) if newer_first else (older, newer):
        folder.end(document, "# newer" if document == newer else "# older")
        folder.publish()
    assert folder.read("outgoing/a.pdf/document.md") == b"# newer"
    assert sorted(states(folder)) == ["published", "superseded" if newer_first else "published"]
    assert folder.publish() == 0


def test_the_newest_version_wins_where_both_have_ended(folder):
    older, newer = drop(folder, data=PDF + b"1"), drop(folder, data=PDF + b"22")
    folder.end(older, "# older")
    folder.end(newer, "# newer")
    while folder.publish():
        pass
    assert folder.read("outgoing/a.pdf/document.md") == b"# newer"
    assert sorted(states(folder)) == ["published", "superseded"]


def test_a_newest_version_that_failed_is_what_is_seen(folder):
    older, newer = drop(folder, data=PDF + b"1"), drop(folder, data=PDF + b"22")
    folder.end(older)
    folder.publish()
    folder.end(newer, failed=True)
    folder.publish()
    assert {name for name in folder.names("outgoing/a.pdf/") if not name.startswith("figures/")} == {"error.json"}


def test_an_older_version_is_not_seen_while_the_newest_runs_again(local):
    older, newer = drop(local, data=PDF + b"1"), drop(local, data=PDF + b"22")
    local.end(newer, failed=True)
    local.publish()
    job = one(local.db, "SELECT job_id FROM document WHERE id = :d", d=newer)
    lifecycle.close(local.db, local.blobs, job)
    lifecycle.retry(local.db, local.blobs, job)
    local.end(older, "# older")
    assert local.publish() == 0
    assert local.names("outgoing/") == {"a.pdf/error.json"}
    assert sorted(states(local)) == ["superseded", "waiting"]


def test_rivals_for_one_place_hold_up_no_other(local):
    for number in range(publish_module.BATCH + 2):
        local.end(drop(local, data=PDF + str(number).encode()))
    with local.db.write() as session:
        assert len(rows_of.claim(session, "dead", publish_module.BATCH, 600)) == 1
    with local.db.read() as session:
        assert not rows_of.any_due(session)
    local.end(drop(local, "other.pdf"))
    assert local.publish() == 1
    assert "other.pdf/document.md" in local.names("outgoing/")


def submitted(folder: DropFolder, place: Location, path: str) -> str:
    """A document that has ended, whose results are wanted at `path` in `place`."""
    document = new_document()
    lifecycle.submit(
        folder.db, job_id=new_job_id(), options=JobOptions(), engine="echo", documents=[document], vault=None,
        within=lambda session: publishing.plan(session, place, [(document.id, path)]),
    )  # fmt: skip
    folder.end(document.id)
    return document.id


def test_places_take_turns_and_whoever_waits_longest_is_first(local):
    busy, quiet = local.inbox.output, local.inbox.output.beside("quiet")
    many = [submitted(local, busy, f"{number}.pdf") for number in range(3)]
    change(local.db, "UPDATE publication SET ready_at = '2020-01-01 00:00:00.000' WHERE document_id = :d", d=many[2])
    few = submitted(local, quiet, "x.pdf")
    with local.db.write() as session:
        claims = rows_of.claim(session, "one", 2, 600)
    assert {claim.document for claim in claims} == {many[2], few}


def test_what_was_written_to_a_place_before_is_not_looked_at_again(local):
    """A claim locks and reads only what waits, however many were there before."""
    for number in range(3):
        local.end(drop(local, data=PDF + str(number).encode()), f"# {number}")
        local.publish()
    document = drop(local, data=PDF + b"last")
    local.end(document, "# last")
    with local.db.write() as session:
        target = one(local.db, "SELECT target FROM publication WHERE document_id = :d", d=document)
        locked = rows_of._LOCK_TARGETS.run(session, targets=[{"t": target}]).all()
    assert [row[1] for row in locked] == [document]
    assert local.publish() == 1
    assert local.read("outgoing/a.pdf/document.md") == b"# last"


def test_two_publishers_write_each_document_once(folder):
    count = 12
    for number in range(count):
        folder.put(f"incoming/{number}.pdf", PDF + bytes([number]))
    folder.sweep()
    for number in range(count):
        folder.end(folder.document(f"{number}.pdf"), f"# {number}")
    with ThreadPoolExecutor(3) as threads:
        assert sum(done.result() for done in [threads.submit(folder.publish) for _ in range(3)]) == count
    for number in range(count):
        assert folder.read(f"outgoing/{number}.pdf/document.md") == f"# {number}".encode()


def test_while_one_writes_to_a_place_nobody_else_does(folder):
    older, newer = drop(folder, data=PDF + b"1"), drop(folder, data=PDF + b"22")
    folder.end(older)
    with folder.db.write() as session:
        [claim] = rows_of.claim(session, "slow", 10, 600)
    folder.end(newer)
    assert folder.publish() == 0
    with folder.db.write() as session:
        assert rows_of.renew(session, claim, -1)
    assert folder.publish() == 1
    with folder.db.write() as session:
        assert not rows_of.renew(session, claim, 600)  # it was too slow, and writes no more


# --- originals


def test_originals_are_moved_once_results_are_there(folder):
    folder.configure(inbox_originals="move")
    good, bad = drop(folder, "sub/é.pdf"), drop(folder, "bad.pdf")
    folder.end(good)
    folder.end(bad, failed=True)
    assert folder.publish() == 2
    assert folder.names() == {
        *(f"outgoing/sub/é.pdf/{name}" for name in FILES), "outgoing/bad.pdf/error.json", "done/sub/é.pdf",
        "failed/bad.pdf", "failed/bad.pdf.error.json",
    }  # fmt: skip
    assert orjson.loads(folder.read("failed/bad.pdf.error.json"))["code"] == "engine_error"
    assert folder.sweep() == 0


def test_after_a_retry_a_failed_original_is_done(folder):
    folder.configure(inbox_originals="move")
    document = drop(folder)
    folder.end(document, failed=True)
    folder.publish()
    retry(folder, document, "# at last")
    folder.publish()
    assert folder.names("failed/") == set()
    assert folder.names("done/") == {"a.pdf"}


def test_a_newer_version_that_came_meanwhile_is_not_moved(folder):
    folder.configure(inbox_originals="move")
    document = drop(folder, data=PDF + b"1")
    folder.put("incoming/a.pdf", PDF + b"22")
    folder.end(document)
    assert folder.publish() == 1
    assert folder.names("done/") == set()
    assert folder.sweep() == 1
    assert folder.read("incoming/a.pdf") == PDF + b"22"
    folder.end(folder.document("a.pdf"))
    assert folder.publish() == 1
    assert folder.read("done/a.pdf") == PDF + b"22"


def test_a_retry_moves_only_what_was_moved_before(folder):
    """Not what somebody else, or a newer document, put in its place."""
    folder.configure(inbox_originals="move")
    document = drop(folder, data=PDF + b"1")
    folder.end(document, failed=True)
    folder.publish()
    folder.put("failed/a.pdf", PDF + b"another")
    retry(folder, document, "# at last")
    assert folder.publish() == 1
    assert folder.names("done/") == set()
    assert folder.names("failed/") == {"a.pdf", "a.pdf.error.json"}
    assert folder.read("failed/a.pdf") == PDF + b"another"


def test_what_lies_in_the_place_of_an_original_that_went_is_not_taken_for_it(folder):
    folder.configure(inbox_originals="move")
    folder.put("done/a.pdf", PDF + b"of before")
    document = drop(folder)
    folder.delete("incoming/a.pdf")
    folder.end(document)
    assert folder.publish() == 1
    assert rows(folder.db, "SELECT original, moved_etag FROM inbox_object") == [("", None)]


def test_a_move_whose_worker_died_before_it_was_noted_is_known_again(folder, monkeypatch):
    folder.configure(inbox_originals="move")
    document = drop(folder)
    folder.end(document)
    with monkeypatch.context() as patch:
        patch.setattr("jobs.store.inbox.note_moved", lambda *_: 1 / 0)
        assert folder.publish() == 0
    assert folder.names("done/") == {"a.pdf"}
    change(folder.db, "UPDATE publication SET ready_at = '2000-01-01 00:00:00.000'")
    assert folder.publish() == 1
    assert one(folder.db, "SELECT original FROM inbox_object") == "done"


@pytest.mark.parametrize("originals", ["move", "tag"])
def test_the_same_bytes_put_again_are_another_object(bucket, seaweedfs, originals):
    bucket.configure(inbox_originals=originals)
    bucket.end(drop(bucket))
    threading.Event().wait(1.1)  # LastModified has whole seconds
    bucket.put("incoming/a.pdf")
    assert bucket.publish() == 1
    assert bucket.names("done/") == set()
    key = f"{bucket.inbox.location.path}a.pdf"
    assert seaweedfs.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"] == []
    assert bucket.sweep() == 1


def test_an_original_that_somebody_took_away_is_nobodys_trouble(folder):
    folder.configure(inbox_originals="move")
    document = drop(folder)
    folder.delete("incoming/a.pdf")
    folder.end(document)
    assert folder.publish() == 1
    assert folder.names() == {f"outgoing/a.pdf/{name}" for name in FILES}


def test_an_original_that_is_put_back_is_read_again(folder):
    folder.configure(inbox_originals="move")
    folder.end(drop(folder))
    folder.publish()
    place = folder.inbox.done
    moved = folder.buckets.stat(place.bucket, f"{place.path}a.pdf")
    folder.buckets.move(
        place.bucket, moved.key, folder.inbox.location.bucket, f"{folder.inbox.location.path}a.pdf", etag=moved.etag
    )
    if folder.inbox.location.kind == "s3":
        threading.Event().wait(1.1)  # a copy within the same second would look the same
        folder.put("incoming/a.pdf")
    assert folder.sweep() == 1


def test_originals_are_tagged(bucket, seaweedfs):
    bucket.configure(inbox_originals="tag")
    bucket.end(drop(bucket, "good.pdf"))
    bucket.end(drop(bucket, "bad.pdf"), failed=True)
    bucket.publish()
    tags = {}
    for name in ("good.pdf", "bad.pdf"):
        key = f"{bucket.inbox.location.path}{name}"
        [tag] = seaweedfs.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        tags[name] = (tag["Key"], tag["Value"])
    assert tags == {"good.pdf": ("pagemill-state", "done"), "bad.pdf": ("pagemill-state", "failed")}
    assert bucket.sweep() == 0


# --- odd names


def test_names_that_can_be_no_folder_get_one_that_can(folder):
    folder.configure(inbox_originals="move")
    odd = ["nl\nx.pdf", "l" * 250, "odd-names/x.pdf", "a.pdf.error.json"]
    odd.append("/".join(["s" * 100] * 10)[: 1024 - len(folder.inbox.location.path)])
    for name in odd:
        folder.end(drop(folder, name), name[:5])
    folder.publish()
    found = {name.rpartition("/")[0] for name in folder.names("outgoing/") if name.endswith("document.md")}
    assert len(found) == len(odd)
    assert all(re.fullmatch(r"odd-names/[0-9a-f]{64}", path) for path in found)
    sources = {orjson.loads(folder.read(f"outgoing/{path}/source.json"))["name"] for path in found}
    assert sources == set(odd)
    assert folder.names("done/") == found


# --- trouble, and others than inboxes


def test_what_cannot_be_written_is_tried_again_later(local):
    document = drop(local)
    local.end(document)
    outgoing = Path(local.inbox.output.bucket)
    outgoing.write_text("a file where the folder would be")
    assert local.publish() == 0
    [[state, attempts, error]] = rows(local.db, "SELECT state, attempts, error FROM publication")
    assert (state, attempts) == ("waiting", 1)
    assert "output_forbidden" in str(error)
    change(local.db, "UPDATE publication SET ready_at = '2000-01-01 00:00:00.000'")
    outgoing.unlink()
    assert local.publish() == 1
    assert one(local.db, "SELECT error FROM publication") is None


def test_after_many_attempts_it_is_given_up_and_a_retry_begins_anew(local, monkeypatch):
    monkeypatch.setattr(publish_module, "GIVE_UP", 1)
    document = drop(local)
    local.end(document, failed=True)
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_files", lambda *_: 1 / 0)
        assert local.publish() == 0
    assert states(local) == ["failed"]
    assert local.publish() == 0
    retry(local, document, "# at last")
    assert local.publish() == 1
    assert states(local) == ["published"]


def test_a_publication_that_fails_after_its_files_writes_them_no_second_time(local, monkeypatch):
    document = drop(local)
    local.end(document)
    with monkeypatch.context() as patch:
        patch.setattr("workers.originals.Originals.see_to", lambda *_: 1 / 0)
        assert local.publish() == 0
    change(local.db, "UPDATE publication SET ready_at = '2000-01-01 00:00:00.000'")
    local.blobs.delete_prefix("jobs/")  # nothing could be read any more
    assert local.publish() == 1


def test_a_document_that_runs_again_while_it_is_written_is_written_again(folder):
    document = drop(folder)
    folder.end(document, failed=True)
    with folder.db.write() as session:
        [claim] = rows_of.claim(session, "slow", 10, 600)
    retry(folder, document, "# at last")
    with folder.db.write() as session:
        assert not rows_of.finish(session, claim, publish_module.PublicationState.PUBLISHED)
    assert folder.publish() == 1
    assert folder.read("outgoing/a.pdf/document.md") == b"# at last"


def test_any_job_may_have_its_results_written_elsewhere(folder):
    submitted(folder, folder.inbox.output, "results/x.pdf")
    assert folder.publish() == 1
    assert folder.names("outgoing/") == {f"results/x.pdf/{name}" for name in FILES}


def test_a_deleted_job_is_published_no_more(folder):
    document = drop(folder)
    folder.end(document)
    job = one(folder.db, "SELECT job_id FROM document WHERE id = :d", d=document)
    deletion.delete(folder.db, folder.blobs, job)
    assert folder.publish() == 0
    assert rows(folder.db, "SELECT * FROM publication") == []
    assert folder.sweep() == 0


def test_late_figures_of_other_attempts_are_not_written(folder):
    document = drop(folder)
    folder.end(document)
    job = one(folder.db, "SELECT job_id FROM document WHERE id = :d", d=document)
    folder.blobs.put(figure_key(job, document, 1, 99, "page-0001-figure-7.jpg"), b"\xff\xd8late")
    folder.publish()
    assert folder.names("outgoing/") == {f"a.pdf/{name}" for name in FILES}


def test_the_tick_rings_while_something_is_due(local, valkey):
    valkey.flush()
    app = make_app(BrokerSettings(broker_url=valkey.url))
    bell = Doorbell(app)
    document = drop(local)
    dispatch.ring_publications(local.db, bell)
    assert bell.lengths(["deliver"]) == {"deliver": 0}
    local.end(document)
    for _ in range(20):
        dispatch.ring_publications(local.db, bell)
    assert bell.lengths(["deliver"]) == {"deliver": dispatch.PUBLISH_WINDOW}
    local.publish()
    valkey.flush()
    dispatch.ring_publications(local.db, bell)
    assert bell.lengths(["deliver"]) == {"deliver": 0}
    app.close()
