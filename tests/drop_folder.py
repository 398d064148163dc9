"""A drop folder for a test: what lies there, scanners and publishers that look at it, documents that end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.blobs import BlobStore, Buckets, Places, figure_key, result_key
from jobs.inbox import Inbox, open_inboxes
from jobs.options import JobOptions
from jobs.settings import BlobSettings, InboxSettings, LimitSettings
from jobs.store.database import Database
from tests.protocol import one, register, rows, through
from workers.originals import Originals
from workers.publish import Publisher
from workers.scan import Scanner

PDF = b"%PDF-1.7\n" + bytes(64)


@dataclass
class DropFolder:
    """`base` is where incoming/, outgoing/, done/ and failed/ lie."""

    db: Database
    blobs: BlobStore
    store: BlobSettings
    base: str
    settings: InboxSettings = field(init=False)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    def __post_init__(self) -> None:
        self.places = Places(self.store)
        self.configure()

    def configure(self, **values: Any) -> None:
        given = {"inbox": f"{self.base}incoming/", "inbox_settle": 0.0} | values
        self.settings = InboxSettings(**given)
        self.inbox: Inbox = open_inboxes(self.settings, self.store)[0]

    @property
    def buckets(self) -> Buckets:
        return self.places.of(self.inbox.location)

    @property
    def _root(self) -> tuple[str, str]:
        """Bucket and prefix of `base`."""
        if self.base.startswith("s3://"):
            bucket, _, prefix = self.base.removeprefix("s3://").partition("/")
            return bucket, prefix
        return self.base.removeprefix("file:").rstrip("/"), ""

    def put(self, name: str, data: bytes = PDF) -> None:
        """`name` beneath the base: `incoming/a.pdf`."""
        bucket, prefix = self._root
        self.buckets.put(bucket, prefix + name, data)

    def delete(self, name: str) -> None:
        bucket, prefix = self._root
        self.buckets.delete(bucket, prefix + name)

    def read(self, name: str) -> bytes:
        bucket, prefix = self._root
        stat = self.buckets.stat(bucket, prefix + name)
        assert stat is not None, name
        with self.buckets.open(bucket, prefix + name, etag=stat.etag) as opened:
            return b"".join(opened.pieces)

    def names(self, beneath: str = "") -> set[str]:
        bucket, prefix = self._root
        found = self.buckets.list(bucket, prefix + beneath)
        return {stat.key.removeprefix(prefix + beneath) for stat in found if not stat.key.endswith("/")}

    def scanner(self, **values: Any) -> Scanner:
        given = {
            "db": self.db, "blobs": self.blobs, "places": self.places, "inboxes": [self.inbox],
            "settings": self.settings, "limits": LimitSettings(max_file_bytes=100_000), "options": JobOptions(),
            "engine": "echo", "vault": None, "threads": self.threads,
        } | values  # fmt: skip
        return Scanner(**given)

    def sweep(self) -> int:
        return self.scanner().sweep(self.inbox).taken

    def publish(self) -> int:
        publisher = Publisher(
            self.db, self.blobs, self.places, Originals(self.db, self.places, [self.inbox]), self.threads,
            threading.Event(),
        )  # fmt: skip
        return publisher.run()

    def document(self, name: str) -> str:
        """The id of the newest document of this object beneath the inbox."""
        found = rows(self.db, "SELECT document_id FROM inbox_object WHERE key = :k ORDER BY taken_at DESC", k=name)
        return str(found[0][0])

    def end(self, document: str, text: str = "# read", *, failed: bool = False) -> None:
        """Split, read and assemble, as a worker would; one figure on page 1."""
        job = one(self.db, "SELECT job_id FROM document WHERE id = :d", d=document)
        again = one(self.db, "SELECT sealed FROM document WHERE id = :d", d=document)
        assert not again
        through(self.db, register(self.db), document, pages=1, failed=[1] if failed else [])
        self.write_result(job, document, text)

    def write_result(self, job: str, document: str, text: str) -> None:
        attempt = one(self.db, "SELECT result_attempt FROM document WHERE id = :d", d=document)
        if attempt is None:
            return
        number, page_attempt = rows(self.db, "SELECT number, attempt FROM page WHERE document_id = :d", d=document)[0]
        self.blobs.put(figure_key(job, document, number, page_attempt, "page-0001-figure-1.jpg"), b"\xff\xd8figure")
        self.blobs.put(figure_key(job, document, number, page_attempt - 1, "page-0001-figure-9.jpg"), b"\xff\xd8late")
        self.blobs.put(result_key(job, document, attempt, "document.md"), text.encode())
        self.blobs.put(result_key(job, document, attempt, "document.json"), b"{}")

    def close(self) -> None:
        self.threads.shutdown()
        self.places.close()


@contextmanager
def drop_folder(db: Database, blobs: BlobStore, store: BlobSettings, base: str) -> Iterator[DropFolder]:
    if base.startswith("file:"):
        Path(base.removeprefix("file:"), "incoming").mkdir(parents=True)
    folder = DropFolder(db, blobs, store, base)
    yield folder
    folder.close()
