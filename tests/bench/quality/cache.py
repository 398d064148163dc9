"""What was read, on disk. A key names what read it, its version, and the pixels: nothing stale is found."""

from __future__ import annotations

import os
import sqlite3
from hashlib import sha256
from pathlib import Path


class Cache:
    """One SQLite file in `PAGEMILL_BENCH_CACHE`, else in the user's cache folder; never inside the checkout.

    Several processes may share it. Values are bytes.
    """

    def __init__(self, folder: Path | None = None) -> None:
        default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pagemill-bench"
        folder = folder or Path(os.environ.get("PAGEMILL_BENCH_CACHE") or default)
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "quality.sqlite", timeout=60, isolation_level=None)
        # A power cut may cost the last answers, never the file.
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS read (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def get(self, *key: str) -> bytes | None:
        row = self._database.execute("SELECT value FROM read WHERE key = ?", (_digest(key),)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, value: bytes, *key: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO read VALUES (?, ?)", (_digest(key), value))


def _digest(key: tuple[str, ...]) -> bytes:
    return sha256("\0".join(key).encode()).digest()
