"""Uploads that never became a job are deleted, those of jobs are not."""

from __future__ import annotations

from datetime import date

from jobs.blobs import open_store, upload_key
from jobs.ids import new_document_id, new_job_id
from jobs.lifecycle import NewDocument, submit
from jobs.options import JobOptions
from jobs.settings import BlobSettings, DatabaseSettings
from jobs.store.database import open_database
from jobs.sweep import sweep_uploads

DAY = date(2026, 3, 1)


def test_orphans_go_and_sources_stay(tmp_path, database_url):
    db = open_database(DatabaseSettings(database_url=database_url))
    db.migrate()
    blobs = open_store(BlobSettings(store_url=f"file:{tmp_path}/objects"))
    job, orphan, young = new_job_id(), new_job_id(), new_job_id()
    document = new_document_id()
    kept = upload_key(DAY, job, document)
    new = NewDocument(document, "a.pdf", kept, "application/pdf", 1, "x")
    submit(db, job_id=job, options=JobOptions(), engine="echo", documents=[new], vault=None)
    recent = upload_key(date(2026, 3, 2), young, new_document_id())
    for key in (kept, recent, *(upload_key(DAY, orphan, new_document_id()) for _ in range(3))):
        blobs.put(key, b"%PDF-")

    assert sweep_uploads(db, blobs, today=date(2026, 3, 3)) == 1

    assert {stat.key for stat in blobs.list("uploads/")} == {kept, recent}
    assert sweep_uploads(db, blobs, today=date(2026, 3, 3)) == 0
    assert sweep_uploads(db, blobs, today=date(2026, 3, 4)) == 1
    assert {stat.key for stat in blobs.list("uploads/")} == {kept}
    db.dispose()
