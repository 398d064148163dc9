"""A service at rest for tests of reconcile: rows, objects and Redis as workers leave them, made without a worker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from jobs import lifecycle
from jobs.blobs import BlobStore, page_key, result_key, upload_key
from jobs.dispatch import RescueRules
from jobs.ids import new_document_id, new_job_id
from jobs.models import close_state
from jobs.options import JobOptions
from jobs.queue import Doorbell
from jobs.reconcile import messages
from jobs.reconcile.differences import Difference
from jobs.reconcile.parts import Parts, Patience
from jobs.reconcile.run import reconcile
from jobs.results import EngineInfo, PageResult
from jobs.store import leases
from jobs.store.database import Database
from tests import protocol
from tests.protocol import change, one, rows

PATIENCE = Patience(stale=0.3, late=30.0, ring_expires=0.3, purge=0.0, orphan=3600.0, upload=0.0, worker=1000.0)
"""What only time tells was long ago in these tests."""
RULES = RescueRules(stale=0.3, ring_expires=0.3, settled=0.0, max_crashes=3)


SOURCE = b"0123456789"


@dataclass
class Mill:
    """A service at rest, whose workers are the tests themselves."""

    db: Database
    blobs: BlobStore
    bell: Doorbell
    worker: str

    @property
    def parts(self) -> Parts:
        return Parts(self.db, self.blobs, self.bell, PATIENCE, RULES)

    def look(self, patience: Patience = PATIENCE, **how: Any) -> list[Difference]:
        parts = replace(self.parts, patience=patience, **how)
        found = list(reconcile(parts))
        assert parts.blind == []
        return found

    def codes(self, **how: Any) -> list[str]:
        return sorted({difference.code for difference in self.look(**how)})

    def submit(self, documents: int = 1) -> tuple[str, list[str]]:
        """A job whose sources are in the store."""
        job, ids = new_job_id(), sorted(new_document_id() for _ in range(documents))
        new = []
        for id_ in ids:
            key = upload_key(datetime.now(UTC).date(), job, id_)
            self.blobs.put(key, SOURCE)
            digest = hashlib.sha256(SOURCE).hexdigest()
            new.append(replace(protocol.new_document(), id=id_, source_key=key, sha256=digest))
        lifecycle.submit(
            self.db, job_id=job, options=JobOptions(), engine="echo", documents=new, vault=None
        )  # fmt: skip
        return job, ids

    def read(self, document: str, **how: Any) -> None:
        """Split, read, assemble and close it, with everything in the store that a worker puts there."""
        protocol.through(self.db, self.worker, document, **how)
        self.put_results(document)

    def put_results(self, document: str) -> None:
        [(job, attempt)] = rows(self.db, "SELECT job_id, result_attempt FROM document WHERE id = :d", d=document)
        good = rows(
            self.db, "SELECT number, attempt FROM page WHERE document_id = :d AND state = 'succeeded'", d=document
        )
        for number, page_attempt in good:
            self.blobs.put(page_key(job, document, number, page_attempt), result(number))
        if attempt is not None:
            state = one(self.db, "SELECT state FROM document WHERE id = :d", d=document)
            told = orjson.dumps({"id": document, "job_id": job, "state": state})
            self.blobs.put(result_key(job, document, attempt, "document.md"), b"text")
            self.blobs.put(result_key(job, document, attempt, "document.json"), told)
        lifecycle.close(self.db, self.blobs, job)

    def good_job(self, documents: int = 1, **how: Any) -> tuple[str, list[str]]:
        job, ids = self.submit(documents)
        for id_ in ids:
            self.read(id_, **how)
        return job, ids

    def finish(self) -> None:
        """What workers do with messages and with everything that runs again, until all of it has ended."""
        for queue in messages.queues():
            for message in self.bell.waiting(queue, 1000):
                assert self.bell.remove(queue, message)
        for id_, sealed, source_pages in rows(
            self.db, "SELECT id, sealed, source_pages FROM document WHERE state IN ('queued', 'running') ORDER BY id"
        ):
            change(self.db, "UPDATE page SET rung_at = NULL WHERE document_id = :d", d=id_)
            if not sealed:
                protocol.split(self.db, self.worker, [id_], source_pages or 2)
            claims = protocol.claim(self.db, self.worker, id_)
            ended = protocol.record(self.db, protocol.good(claims), assemble_as=self.worker).assemblies
            counts = rows(self.db, "SELECT succeeded, failed, canceled FROM document WHERE id = :d", d=id_)
            ended = ended or protocol.claim_assemblies(self.db, self.worker, [id_])
            protocol.finish(self.db, ended, close_state(*counts[0]))
            self.put_results(id_)


def result(number: int) -> bytes:
    """A blank page's result."""
    return (
        PageResult(number=number, engine=EngineInfo(name="echo", version="1", model="none")).model_dump_json().encode()
    )


def at_rest(db: Database, blobs: BlobStore, bell: Doorbell) -> Mill:
    """A service whose only worker never falls silent and dispatches, as far as anybody can see."""
    found = Mill(db, blobs, bell, protocol.register(db))
    change(db, f"UPDATE worker SET heartbeat_at = {moment(found, 7200)}")
    dispatches(found)
    return found


def dispatches(mill: Mill) -> None:
    with mill.db.write() as session:
        leases.take_lease(session, "tick", mill.worker, 50)


def moment(mill: Mill, seconds: int) -> str:
    """So many seconds from now, as SQL."""
    if protocol.is_sqlite(mill.db):
        return f"strftime('%Y-%m-%d %H\\:%M\\:%f', 'now', '{seconds} seconds')"
    return f"now() + interval '{seconds} seconds'"
