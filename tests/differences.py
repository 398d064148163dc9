"""Every difference that reconcile knows, made by hand in a service at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from jobs.blobs import manifest_key, page_key, result_key, upload_key
from jobs.deletion import delete
from jobs.ids import new_document_id, new_job_id
from jobs.store import ending, ringing
from jobs.store.claiming import DocumentRef, PageRef
from tests import protocol
from tests.protocol import age_heartbeat, change, is_sqlite, one, rows
from tests.reconciling import PATIENCE, Mill, moment, result


def page(rule: str) -> Callable[[Mill], None]:
    """A good job, one of whose pages is changed so."""

    def spoil(mill: Mill) -> None:
        _, [document] = mill.good_job(pages=3, failed=[3])
        change(mill.db, f"UPDATE page SET {rule} AND document_id = :d", d=document)

    return spoil


def running_page(rule: str) -> Callable[[Mill], None]:
    """A job one of whose pages is claimed, then changed so."""

    def spoil(mill: Mill) -> None:
        _, [document] = mill.submit()
        protocol.split(mill.db, mill.worker, [document], 2)
        protocol.claim(mill.db, mill.worker, document, [1])
        change(mill.db, f"UPDATE page SET {rule} AND document_id = :d", d=document)

    return spoil


def document(rule: str, failed: tuple[int, ...] = ()) -> Callable[[Mill], None]:
    """A job that has ended, whose document's row is changed so."""

    def spoil(mill: Mill) -> None:
        mill.good_job(pages=2, failed=failed)
        change(mill.db, f"UPDATE document SET {rule}")

    return spoil


def queued(rule: str) -> Callable[[Mill], None]:
    def spoil(mill: Mill) -> None:
        mill.submit()
        change(mill.db, f"UPDATE document SET {rule}")

    return spoil


def job(rule: str) -> Callable[[Mill], None]:
    """A good job, whose row is changed so."""

    def spoil(mill: Mill) -> None:
        mill.good_job(2)
        change(mill.db, f"UPDATE job SET {rule}")

    return spoil


def stored(spoil_object: Callable[[Mill, str, str], None]) -> Callable[[Mill], None]:
    """A good job of two documents; what is done to the store beside the first one."""

    def spoil(mill: Mill) -> None:
        job_id, documents = mill.good_job(2)
        spoil_object(mill, job_id, documents[0])

    return spoil


def no_document(mill: Mill) -> None:
    _, [document_id] = mill.good_job()
    unchecked(mill, "UPDATE page SET document_id = 'doc_0'")
    change(mill.db, "UPDATE document SET total = 0, succeeded = 0, result_attempt = NULL WHERE id = :d", d=document_id)
    change(mill.db, "UPDATE job SET pages_total = 0, pages_succeeded = 0")
    mill.blobs.delete([stat.key for stat in mill.blobs.list("jobs/") if not stat.key.endswith("job.json")])


def no_job(mill: Mill) -> None:
    mill.good_job()
    mill.submit()
    unchecked(mill, "DELETE FROM job WHERE state = 'queued'")
    mill.blobs.delete([stat.key for stat in mill.blobs.list("uploads/")])


def unchecked(mill: Mill, sql: str) -> None:
    """A disaster that foreign keys forbid."""
    with mill.db.engine.connect() as connection:
        off = "PRAGMA foreign_keys=OFF" if is_sqlite(mill.db) else "SET session_replication_role = replica"
        on = "PRAGMA foreign_keys=ON" if is_sqlite(mill.db) else "SET session_replication_role = origin"
        raw = connection.connection.cursor()
        raw.execute(off)
        raw.execute(sql)
        raw.execute(on)
        connection.connection.commit()


def pages_left(mill: Mill) -> None:
    _, [document_id] = mill.good_job(pages=2)
    change(mill.db, "UPDATE page SET state = 'pending', finished_at = NULL WHERE number = 2")
    change(mill.db, "UPDATE document SET succeeded = 1, pending = 1 WHERE id = :d", d=document_id)
    change(mill.db, "UPDATE job SET pages_succeeded = 1")


def begun(mill: Mill) -> None:
    _, [document_id] = mill.submit()
    protocol.split(mill.db, mill.worker, [document_id], 2)
    change(mill.db, "UPDATE document SET state = 'queued'")
    change(mill.db, "UPDATE job SET state = 'queued'")


def job_begun(mill: Mill) -> None:
    _, [document_id] = mill.submit()
    protocol.split(mill.db, mill.worker, [document_id], 2)
    change(mill.db, "UPDATE job SET state = 'queued'")


def delayed(table: str) -> Callable[[Mill], None]:
    """The clock was a year ahead when this was put off."""

    def spoil(mill: Mill) -> None:
        _, documents = mill.submit(2)
        protocol.split(mill.db, mill.worker, documents[:1], 2)
        one_of_them = "number = 1" if table == "page" else "NOT sealed"
        change(mill.db, f"UPDATE {table} SET ready_at = {moment(mill, 31_536_000)} WHERE {one_of_them}")

    return spoil


def held_by_nobody(mill: Mill) -> None:
    _, documents = mill.submit()
    protocol.claim_splits(mill.db, mill.worker, documents)
    change(mill.db, "UPDATE document SET worker = 'wrk_gone'")


def manifest_early(mill: Mill) -> None:
    mill.submit()
    change(mill.db, "UPDATE job SET manifest = :yes", yes=True)
    [(job_id,)] = rows(mill.db, "SELECT id FROM job")
    mill.blobs.put(manifest_key(job_id), b"{}")


def documents_left(mill: Mill) -> None:
    mill.submit()
    change(mill.db, "UPDATE job SET state = 'canceled', finished_at = created_at")
    change(mill.db, "UPDATE job SET manifest = :yes", yes=True)
    [job_id] = [row[0] for row in rows(mill.db, "SELECT id FROM job")]
    mill.blobs.put(manifest_key(job_id), b"{}")


def unclosed(mill: Mill) -> None:
    mill.good_job()
    long_ago(mill, "document", "finished_at", "created_at")
    long_ago(mill, "job", "created_at")
    change(mill.db, "UPDATE job SET state = 'running', manifest = :no, finished_at = NULL", no=False)


def manifest_late(mill: Mill) -> None:
    mill.good_job()
    long_ago(mill, "document", "finished_at", "created_at")
    long_ago(mill, "job", "created_at", "finished_at")
    change(mill.db, "UPDATE job SET manifest = :no", no=False)


def deleted(mill: Mill) -> None:
    job_id, _ = mill.good_job()
    with mill.db.write() as session:
        ending.mark_deleted(session, job_id)


def purged_rows(mill: Mill) -> None:
    mill.good_job()
    change(mill.db, "UPDATE job SET deleted_at = created_at, purged_at = created_at")
    mill.blobs.delete([stat.key for stat in mill.blobs.list("")])


def lose_result(mill: Mill, job_id: str, document_id: str) -> None:
    [(attempt,)] = rows(
        mill.db, "SELECT attempt FROM page WHERE document_id = :d AND number = 1", d=document_id
    )  # fmt: skip
    mill.blobs.delete([page_key(job_id, document_id, 1, attempt)])


def empty_result(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(page_key(job_id, document_id, 1, 1), b"")


def break_result(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(page_key(job_id, document_id, 1, 1), result(2))


def result_attempt(mill: Mill, document_id: str) -> int:
    attempt: int = one(mill.db, "SELECT result_attempt FROM document WHERE id = :d", d=document_id)
    return attempt


def lose_file(name: str) -> Callable[[Mill, str, str], None]:
    def spoil(mill: Mill, job_id: str, document_id: str) -> None:
        mill.blobs.delete([result_key(job_id, document_id, result_attempt(mill, document_id), name)])

    return spoil


def break_file(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(result_key(job_id, document_id, result_attempt(mill, document_id), "document.json"), b'{"pages": ')


def lose_manifest(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.delete([manifest_key(job_id)])


def break_manifest(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(manifest_key(job_id), b'{"id": "another"}')


def late_result(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(page_key(job_id, document_id, 1, 7), b"of a worker that was taken for dead")


def unknown_job(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(page_key(new_job_id(), new_document_id(), 1, 1), b"of another life")


def foreign(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(f"jobs/{job_id}/{document_id}/notes.txt", b"mine")


def after_purge(mill: Mill, job_id: str, document_id: str) -> None:
    delete(mill.db, mill.blobs, job_id)
    mill.blobs.put(page_key(job_id, document_id, 1, 1), b"of a frozen worker")


def unfinished_upload(mill: Mill, job_id: str, document_id: str) -> None:
    mill.blobs.put(upload_key(date(2026, 1, 2), new_job_id(), new_document_id()), b"half")


def source(how: str) -> Callable[[Mill], None]:
    def spoil(mill: Mill) -> None:
        mill.submit()
        [(key,)] = rows(mill.db, "SELECT source_key FROM document")
        if how == "missing":
            mill.blobs.delete([key])
        else:
            mill.blobs.put(key, {"size": b"short", "hash": b"9876543210"}[how])

    return spoil


def silent(mill: Mill) -> None:
    _, [document_id] = mill.submit()
    protocol.split(mill.db, mill.worker, [document_id], 2)
    dead = protocol.register(mill.db)
    protocol.claim(mill.db, dead, document_id)
    age_heartbeat(mill.db, dead)


def left_work(mill: Mill) -> None:
    silent(mill)
    change(mill.db, "UPDATE worker SET state = 'dead' WHERE id <> :w", w=mill.worker)


def unforgotten(mill: Mill) -> None:
    protocol.register(mill.db)
    old = moment(mill, -2000)
    change(mill.db, f"UPDATE worker SET state = 'stopped', heartbeat_at = {old} WHERE id <> :w", w=mill.worker)


def long_lease(mill: Mill) -> None:
    change(mill.db, f"UPDATE lease SET expires_at = {moment(mill, 7200)}")


def old_ring(mill: Mill) -> None:
    _, [document_id] = mill.submit()
    protocol.split(mill.db, mill.worker, [document_id], 2)
    with mill.db.write() as session:
        ringing.stamp_pages(session, "echo", 2)
    long_ago(mill, "page", "rung_at")


def long_ago(mill: Mill, table: str, *columns: str, seconds: int = 600) -> None:
    sets = ", ".join(f"{column} = {moment(mill, -seconds)}" for column in columns)
    change(mill.db, f"UPDATE {table} SET {sets}")


def unrung(mill: Mill) -> None:
    _, [document_id] = mill.submit()
    protocol.split(mill.db, mill.worker, [document_id], 2)
    long_ago(mill, "page", "ready_at")


def unrung_split(mill: Mill) -> None:
    mill.submit()
    long_ago(mill, "document", "ready_at")


def no_tick(mill: Mill) -> None:
    change(mill.db, "DELETE FROM lease")


def stale_message(mill: Mill) -> None:
    _, [document_id] = mill.good_job()
    mill.bell.ring_pages("echo", [PageRef(document_id, 1, 0)])
    mill.bell.ring_splits([DocumentRef(document_id, 0)])
    _, [open_one] = mill.submit()
    mill.bell.ring_splits([DocumentRef(open_one, 0), DocumentRef(document_id, 0)])


AT_ONCE = replace(PATIENCE, orphan=0.0)
"""Objects of nobody are told however young they are."""

CASES: dict[str, tuple[str, Callable[[Mill], None]]] = {
    # name: (the code that is told, and nothing else; how it is made)
    "page state": ("page_state_unknown", page("state = 'lost', finished_at = NULL WHERE number = 1")),
    "page without holder": ("page_without_holder", running_page("worker = NULL WHERE number = 1")),
    "page held by nobody": ("page_holder_unknown", running_page("worker = 'wrk_gone' WHERE number = 1")),
    "page end": ("page_end_time", page("finished_at = NULL WHERE number = 1")),
    "page rung": ("page_rung", page("rung_at = ready_at WHERE number = 2")),
    "page without error": ("page_error_missing", page("error = NULL WHERE number = 3")),
    "page with error": ("page_error_kept", page("error = '{}' WHERE number = 1")),
    "page delayed": ("page_delayed", delayed("page")),
    "document delayed": ("document_delayed", delayed("document")),
    "document held by nobody": ("document_holder_unknown", held_by_nobody),
    "partial named good": ("document_state", document("state = 'succeeded'", failed=(1,))),
    "good named partial": ("document_state", document("state = 'partial'")),
    "job named partial": ("job_state", job("state = 'partial'")),
    "manifest early": ("job_manifest_early", manifest_early),
    "pages of nobody": ("page_without_document", no_document),
    "document state": ("document_state_unknown", document("state = 'lost'")),
    "document of nobody": ("document_without_job", no_job),
    "document counters": ("document_counters", document("succeeded = 1, failed = 1")),
    "pages left": ("document_pages_left", pages_left),
    "document end": ("document_end_time", document("finished_at = NULL")),
    "document unsealed": ("document_unsealed", document("sealed = (1 = 0)")),
    "document begun": ("document_begun", begun),
    "document held": ("document_held", document("worker = (SELECT max(id) FROM worker)")),
    "document rung": ("document_rung", document("rung_at = ready_at")),
    "document uncounted": ("document_uncounted", document("source_pages = NULL")),
    "result unnamed": ("document_result_unnamed", document("result_attempt = NULL")),
    "failed with result": ("document_result_unnamed", document("result_attempt = 2", failed=(1, 2))),
    "job state unknown": ("job_state_unknown", job("state = 'lost'")),
    "job unsealed": ("job_unsealed", job("sealed = (1 = 0)")),
    "job end": ("job_end_time", job("finished_at = NULL")),
    "job documents left": ("job_documents_left", documents_left),
    "job begun": ("job_begun", job_begun),
    "job password": ("job_password_kept", job("password = 'x'")),
    "job totals": ("job_totals", job("pages_succeeded = pages_succeeded + 1")),
    "job unclosed": ("job_unclosed", unclosed),
    "manifest late": ("job_manifest_late", manifest_late),
    "unpurged": ("job_unpurged", deleted),
    "purged rows": ("job_purged_rows", purged_rows),
    "result lost": ("result_missing", stored(lose_result)),
    "result empty": ("result_missing", stored(empty_result)),
    "markdown lost": ("document_files_missing", stored(lose_file("document.md"))),
    "json lost": ("document_files_missing", stored(lose_file("document.json"))),
    "manifest lost": ("manifest_missing", stored(lose_manifest)),
    "source lost": ("source_missing", source("missing")),
    "source cut": ("source_size", source("size")),
    "late result": ("object_orphaned", stored(late_result)),
    "unknown job": ("object_orphaned", stored(unknown_job)),
    "after purge": ("object_orphaned", stored(after_purge)),
    "foreign": ("object_foreign", stored(foreign)),
    "upload": ("upload_unfinished", stored(unfinished_upload)),
    "silent": ("worker_silent", silent),
    "left work": ("worker_left_work", left_work),
    "unforgotten": ("worker_unforgotten", unforgotten),
    "no tick": ("tick_stopped", no_tick),
    "long lease": ("lease_too_long", long_lease),
    "old ring": ("ring_old", old_ring),
    "unrung pages": ("unrung", unrung),
    "unrung split": ("unrung", unrung_split),
    "stale messages": ("message_stale", stale_message),
}
DEEP: dict[str, tuple[str, Callable[[Mill], None]]] = {
    "result broken": ("result_broken", stored(break_result)),
    "json broken": ("document_files_broken", stored(break_file)),
    "manifest broken": ("manifest_broken", stored(break_manifest)),
    "source changed": ("source_hash", source("hash")),
}


BESIDES = {
    "document_counters": ("job_totals",),
    "document_state_unknown": ("job_totals",),
    "page_state_unknown": ("document_counters",),
    "document_state": ("job_state", "job_totals"),
}
"""What cannot be wrong without something else being wrong with it."""
