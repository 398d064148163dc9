"""Readings on disk. A key names the reader, its version and options, and the page's pixels: nothing stale is found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson


@dataclass(frozen=True)
class Stored:
    """What a reader said of a page, and the seconds it took."""

    value: bytes
    seconds: float
    error: str = ""


class Cache:
    """`PAGEMILL_BENCH_CACHE`, else a folder below the user's cache folder; never inside the checkout."""

    def __init__(self, folder: Path | None = None) -> None:
        default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pagemill-bench"
        self.folder = folder or Path(os.environ.get("PAGEMILL_BENCH_CACHE") or default)

    def get(self, *key: str) -> Stored | None:
        try:
            stored = orjson.loads(self._path(key).read_bytes())
        except FileNotFoundError:
            return None
        return Stored(stored["value"].encode(), stored["seconds"], stored["error"])

    def put(self, stored: Stored, *key: str) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        value = stored.value.decode("utf-8", "replace")
        part.write_bytes(orjson.dumps({"key": key, "value": value, "seconds": stored.seconds, "error": stored.error}))
        part.replace(path)

    def _path(self, key: tuple[str, ...]) -> Path:
        name = sha256("\0".join(key).encode()).hexdigest()
        return self.folder / name[:2] / name
