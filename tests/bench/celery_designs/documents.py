"""What an ordinary design keeps: files of a store, and a row per document (not per page) in PostgreSQL.

Each file is flushed once and then renamed; its folder is flushed before the row that counts on it changes, once for all
files that have come until then. The name of a document's own folder is not flushed, which pagemill does.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

DATABASE, STORE = "BENCH_DATABASE", "BENCH_STORE"
TABLE = """
CREATE TABLE document (
    id text PRIMARY KEY, pages integer NOT NULL, done integer NOT NULL DEFAULT 0, finished_at timestamptz
)
"""

_here = threading.local()
_numbers = itertools.count()


def _connection() -> psycopg.Connection[Any]:
    """One for each thread that asks, kept."""
    if not hasattr(_here, "connection"):
        _here.connection = psycopg.connect(os.environ[DATABASE], autocommit=True)
    connection: psycopg.Connection[Any] = _here.connection
    return connection


def enter(document: str, pages: int, data: bytes) -> None:
    """A new document: its folders, its file, then its row."""
    Path(os.environ[STORE], document, "pages").mkdir(parents=True)
    _put(f"{document}/source.pdf", data)
    _flush_folder(document)
    _connection().execute("INSERT INTO document (id, pages) VALUES (%s, %s)", (document, pages))


def count(document: str, pages: int) -> bool:
    """So many more pages of it are stored. Whether these were the last."""
    _flush_folder(f"{document}/pages")
    row = _connection().execute(
        "UPDATE document SET done = done + %s WHERE id = %s RETURNING done >= pages", (pages, document)
    )
    return bool(row.fetchone()[0])  # type: ignore[index]


def save_page(document: str, page: dict[str, Any]) -> None:
    """Readable at once; sure to be there after a power cut when it is counted, or its document assembled."""
    _put(f"{document}/pages/{page['number']}.json", json.dumps(page).encode())


def load_pages(document: str) -> list[dict[str, Any]]:
    """In the order of the document."""
    folder = Path(os.environ[STORE], document, "pages")
    return sorted((json.loads(path.read_bytes()) for path in folder.glob("*.json")), key=lambda page: page["number"])


def assemble(document: str, pages: Sequence[dict[str, Any]]) -> None:
    """document.md and document.json, then the row says so."""
    text = "\n\n".join(block["content"] for page in pages for block in page["blocks"])
    _put(f"{document}/document.md", text.encode())
    _put(f"{document}/document.json", json.dumps({"id": document, "pages": pages}).encode())
    for folder in (f"{document}/pages", document):
        _flush_folder(folder)
    _connection().execute("UPDATE document SET finished_at = clock_timestamp() WHERE id = %s", (document,))


def _put(key: str, data: bytes) -> None:
    """Whole or not at all: no reader sees half of it, nor does anybody after a power cut."""
    path = Path(os.environ[STORE], key)
    temporary = path.with_name(f".{os.getpid()}-{next(_numbers)}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _flush_folder(key: str) -> None:
    """The names in it."""
    folder = os.open(Path(os.environ[STORE], key), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
