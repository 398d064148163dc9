"""What a page leaves behind: bytes in PostgreSQL and in its log, objects and bytes in the store.

Echo for the rows, which do not depend on what a page says; RapidOCR with `text: auto` over 60 pages of public documents
for the objects, which do. The store is a folder; on an S3 the same objects have the same bytes.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from tests.bench.cpu_engine import subset
from tests.documents import pdf
from tests.installation import Installation
from tests.services import Postgres, Valkey

TABLES = ("page", "document", "job")
PATIENCE = 3600.0
"""Seconds for a load; nothing is timed here, and the machine may be busy."""


def run(documents: int = 100) -> str:
    """Tables of bytes a page, for documents of 100 pages, of 1 page, and real ones."""
    with _installation() as found:
        lines = [_rows(found, documents, 100), _rows(found, documents * 10, 1), _objects(found)]
    return "\n\n".join(lines)


@contextmanager
def _installation() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory() as root, Valkey() as valkey, Postgres(fsync=True) as postgres:
        url = postgres.create_database("bench")
        calm = {"PAGEMILL_TIME_FACTOR": "1", "PAGEMILL_HEARTBEAT_STALE": "6000"}
        with Installation(Path(root), url, valkey.url, settings=calm) as found:
            yield found


def _rows(found: Installation, documents: int, pages: int) -> str:
    """Echo: bytes a page of each table with its indexes, at its largest and after VACUUM FULL, and of the log."""
    _truncate(found)
    before = _number(found, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
    with found.worker():
        data = pdf(pages)
        jobs = [found.submit(*[data] * min(100, documents - n)) for n in range(0, documents, 100)]
        for job in jobs:
            found.wait(job, PATIENCE)
    log = _number(found, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')") - before
    count = documents * pages
    lines = [f"{documents} documents of {pages} pages: {log / count:.0f} bytes of WAL a page"]
    grown = {table: _number(found, f"SELECT pg_total_relation_size('{table}')") for table in TABLES}
    _autocommit(found, *(f"VACUUM FULL {table}" for table in TABLES))
    for table in TABLES:
        packed = _number(found, f"SELECT pg_total_relation_size('{table}')")
        rows = _number(found, f"SELECT count(*) FROM {table}")
        lines.append(f"{table:9} {grown[table] / rows:8.0f} bytes a row, {packed / rows:8.0f} packed, {rows} rows")
    return "\n".join(lines)


def _objects(found: Installation) -> str:
    """RapidOCR: objects and bytes a page by kind."""
    numbers: dict[Path, list[int]] = defaultdict(list)
    for path, number in subset():
        numbers[path].append(number)
    count = sum(map(len, numbers.values()))
    with found.worker(PAGEMILL_ENGINE="rapidocr"):
        jobs = [
            found.submit(path.read_bytes(), pages=",".join(map(str, chosen)), engine="rapidocr", text="auto")
            for path, chosen in numbers.items()
        ]
        for job in jobs:
            assert found.wait(job, PATIENCE).pages.succeeded, job
    lines = [f"{len(jobs)} documents, {count} pages of them: objects and bytes a page"]
    sizes: dict[str, list[int]] = defaultdict(list)
    for path in (found.root / "objects").rglob("*"):
        if path.is_file() and any(job in str(path) for job in jobs):
            sizes[_kind(path)].append(path.stat().st_size)
    for kind, found_sizes in sorted(sizes.items()):
        lines.append(f"{kind:16} {len(found_sizes) / count:6.2f} objects {sum(found_sizes) / count:10.0f} bytes")
    return "\n".join(lines)


def _kind(path: Path) -> str:
    parts = path.parts
    if "uploads" in parts:
        return "sources"
    if "pages" in parts:
        return "pages/*.json"
    return path.name if path.suffix in (".json", ".md") else "figures"


def _number(found: Installation, query: str) -> int:
    with found.db.read() as session:
        return int(session.connection().execute(text(query)).scalar_one())


def _truncate(found: Installation) -> None:
    _autocommit(found, f"TRUNCATE {', '.join(TABLES)} CASCADE", "CHECKPOINT")


def _autocommit(found: Installation, *statements: str) -> None:
    with found.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
